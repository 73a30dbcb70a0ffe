"""Two sides compared: their figures beside each other, and how much worse side B is, as an interval on a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comporta.console.parts.components import Cell, Column, Row, Table
from comporta.console.parts.pieces import badge
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts, Words

TEXTS: Texts = {
    "side": ("Side", "Lado"),
    "calls": ("Calls", "Chamadas"),
    "errors": ("Errors", "Erros"),
    "p50": ("p50", "p50"),
    "p95": ("p95", "p95"),
    "cost": ("Cost by call", "Custo por chamada"),
    "sides": ("Both sides", "Os dois lados"),
    "shadow": ("copies", "cópias"),
    "harmed": ("worse", "pior"),
    "sign": ("a sign of harm", "sinal de dano"),
    "shown": ("no worse", "não é pior"),
    "open": ("not known yet", "ainda não se sabe"),
    "worse_by": ("B worse by {value}", "B pior em {value}"),
    "better_by": ("B better by {value}", "B melhor em {value}"),
    "between": ("{low} to {high}", "{low} a {high}"),
    "margin": ("margin {margin}", "margem {margin}"),
    "no_interval": ("too few calls for an interval", "poucas chamadas para um intervalo"),
    "required": ("asked for before 100%", "exigido antes de 100%"),
}
_STATES = (("harmed", "bad"), ("sign", "warn"), ("shown", "good"))


def sides_table(view: View, sides: Mapping[str, Mapping[str, Any]]) -> None:
    """The sides' figures; scores in columns of their own."""
    words = Words(view.t.language, TEXTS)
    scores = sorted({name for side in sides.values() for name in side.get("scores", {})})
    columns = [
        Column("side", words("side")), Column("calls", words("calls"), "number"),
        Column("errors", words("errors"), "number"), Column("p50", words("p50"), "number", wide=True),
        Column("p95", words("p95"), "number"), Column("cost", words("cost"), "number"),
        *(Column(f"score.{name}", name, "number", wide=True) for name in scores),
    ]  # fmt: skip
    Table(words("sides"), columns, [_side(words, name, side, scores) for name, side in sides.items()])


def _side(words: Words, name: str, side: Mapping[str, Any], scores: Sequence[str]) -> Row:
    share, late, usual = side.get("error_share"), side.get("latency_p95_ms"), side.get("latency_p50_ms")
    cells: dict[str, str | Cell] = {
        "side": Cell(name.upper() if len(name) == 1 else words("shadow"), tone="accent" if name == "b" else ""),
        "calls": words.number(side.get("calls", 0)),
        "errors": Cell(words.share(share, 2), sub=words.number(side.get("errors", 0))),
        "p50": words.seconds(None if usual is None else usual / 1000),
        "p95": words.seconds(None if late is None else late / 1000),
        "cost": words.money(side.get("cost_per_call_microusd")),
    }
    for score in scores:
        found = side["scores"].get(score)
        mean = Cell(words.number(found["mean"], 3), sub=f"n {words.number(found['n'])}") if found else "–"
        cells[f"score.{score}"] = mean
    return Row(cells)


def findings(view: View, found: Sequence[Mapping[str, Any]]) -> None:
    """Each metric: what is known, in words and as an interval around «no difference»."""
    words = Words(view.t.language, TEXTS)
    with tag("div.findings"):
        for one in found:
            _finding(words, one)


def _finding(words: Words, one: Mapping[str, Any]) -> None:
    state, tone = next(((name, tone) for name, tone in _STATES if one.get(name)), ("open", "dim"))
    with tag("div.finding"):
        with tag("div.row.spread"):
            with tag("div.chips"):
                tag("strong", one["metric"])
                badge(words(state), tone)
                if one.get("required"):
                    badge(words("required"), "dim")
            tag("span.when", words("margin", margin=_difference(words, one["kind"], one["margin"])))
        tag("p.small", one["text"])
        _interval(words, one, tone)


def _interval(words: Words, one: Mapping[str, Any], tone: str) -> None:
    low, high, middle = one.get("low"), one.get("high"), one.get("difference")
    if low is None or high is None or middle is None:
        tag("span.field__hint", words("no_interval"))
        return
    reach = max(abs(low), abs(high), abs(one["margin"]) * 1.2) or 1.0
    told = words("worse_by" if middle > 0 else "better_by", value=_difference(words, one["kind"], abs(middle)))
    between = words("between", low=_difference(words, one["kind"], low), high=_difference(words, one["kind"], high))
    with tag("div.whisker", role="img", aria_label=f"{told} ({between})"):
        tag("span.whisker__none").style["left"] = "50%"
        tag("span.whisker__margin").style["left"] = _at(one["margin"], reach)
        bar = tag(f"span.whisker__bar.tone-{tone}")
        bar.style["left"] = _at(low, reach)
        bar.style["width"] = f"{(high - low) / reach * 50:.2f}%"
        tag(f"span.whisker__dot.tone-{tone}").style["left"] = _at(middle, reach)
    tag("span.field__hint", f"{told} · {between}")


def _at(value: float, reach: float) -> str:
    return f"{50 + value / reach * 50:.2f}%"


def _difference(words: Words, kind: str, value: float) -> str:
    """Scores are told in their own units, all else as a share."""
    return words.number(value, 3) if kind == "score" else words.share(value, 2)
