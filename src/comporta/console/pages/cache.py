"""The caches: how much they save, how alike questions were, which hits were wrong, and what may be promised of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from comporta.console.exporting import MOST_ROWS
from comporta.console.messages import conversation
from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, choice, go, say, text
from comporta.console.parts.choosing import pages, range_links, range_of
from comporta.console.parts.components import Chart, Line, When
from comporta.console.parts.judging import judge
from comporta.console.parts.pieces import badge, card, empty, facts, figure, head
from comporta.console.parts.tags import tag
from comporta.console.recalled import BOUNDS, GIVEN_HEAD, Hit, Wrong, given, hits, likenesses, wrong
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest, ComportaError
from comporta.telemetry.series import Series, series

TEXTS: Texts = {
    "title": ("Cache", "Cache"),
    "hit_rate": ("Hits", "Acertos"),
    "saving": ("Saved", "Economizado"),
    "entries": ("Answers held", "Respostas guardadas"),
    "size": ("Size", "Tamanho"),
    "over_time": ("Hits over time", "Acertos ao longo do tempo"),
    "saved_over_time": ("Saved over time", "Economia ao longo do tempo"),
    "alike": ("How alike questions were", "Semelhança das perguntas"),
    "alike_sub": ("{n} hits by meaning", "{n} acertos por significado"),
    "no_alike": ("No hit by meaning in this time.", "Nenhum acerto por significado neste período."),
    "below": ("below {bound}", "abaixo de {bound}"),
    "budget": ("Wrong hits and what is promised", "Acertos errados e o que se promete"),
    "yes": ("promised", "prometido"),
    "no": ("not kept", "não cumprido"),
    "unknown": ("not enough is known", "ainda não se sabe o bastante"),
    "off": ("off now", "desligado agora"),
    "bound": ("Wrong hits, at most", "Acertos errados, no máximo"),
    "bound_of": (
        "{bound} with 95% confidence; {budget} are allowed",
        "{bound} com 95% de confiança; {budget} permitidos",
    ),
    "checked": ("Checked", "Verificados"),
    "checked_of": (
        "{checked}, {wrong} of them wrong; {reported} reported",
        "{checked}, {wrong} errados; {reported} relatados",
    ),
    "threshold": ("Alike enough from", "Parecido o bastante a partir de"),
    "held": ("Held", "Guardadas"),
    "held_of": ("{entries} answers, {seeded} seeded, {size}", "{entries} respostas, {seeded} semeadas, {size}"),
    "hits": ("Hits", "Acertos"),
    "latest": ("Given again lately", "Dadas de novo há pouco"),
    "wrong_reports": ("Hits that were wrong", "Acertos que estavam errados"),
    "no_wrong": ("None is known.", "Nenhum conhecido."),
    "shadow": ("a fresh answer said otherwise", "uma resposta nova disse outra coisa"),
    "feedback": ("reported", "relatado"),
    "report": ("This was wrong", "Estava errado"),
    "reported_now": (
        "Reported. The answer goes, and the threshold follows.",
        "Relatado. A resposta sai, e o limiar acompanha.",
    ),
    "saved_by_it": ("saved {money}", "economizou {money}"),
    "seeded": ("seeded", "semeada"),
    "clear": ("Clear …", "Limpar …"),
    "clear_what": ("What is to go", "O que deve sair"),
    "clear_route": ("A route's answers", "Respostas de uma rota"),
    "clear_tag": ("Answers with a tag", "Respostas com uma etiqueta"),
    "clear_all": ("Everything, in both caches", "Tudo, nos dois caches"),
    "clear_name": ("Route or tag", "Rota ou etiqueta"),
    "cleared": ("{n} answers went.", "{n} respostas saíram."),
    "name_needed": ("Name the route or the tag.", "Diga a rota ou a etiqueta."),
    "away": ("The gate did not answer: {reason}", "A comporta não respondeu: {reason}"),
    "no_content": ("(no content is kept)", "(nenhum conteúdo guardado)"),
    "none_title": ("Nothing is given again yet", "Nada é dado de novo ainda"),
    "none_text": (
        "With “cache: {enabled: true}” in comporta.yaml, or on a route, answers to the same question are given again; "
        "with “semantic” also to questions that mean the same. Hits, savings and what was wrong stand here.",
        "Com “cache: {enabled: true}” no comporta.yaml, ou numa rota, a mesma pergunta recebe a mesma resposta; com "
        "“semantic”, também perguntas de mesmo sentido. Acertos, economia e erros ficam aqui.",
    ),
}  # fmt: skip
_FIGURES = ("cache_hit_rate", "cache_saving", "calls")
_TONES = {"yes": "good", "no": "bad", "unknown": "warn"}
_COMMAND = "comporta cache status"
_SHOWN, _EXCERPT = 8, 220


async def build(view: View) -> None:
    """Over `?range=`."""
    chosen = range_of(view, "7d")
    base = view.database
    held = asyncio.create_task(_held(view))
    over_time, alike, latest, bad = await asyncio.gather(
        series(base, _FIGURES, since=chosen.since, until=chosen.until, step_s=chosen.step_s),
        likenesses(base, chosen.since, chosen.until),
        hits(base, chosen.since, chosen.until, _SHOWN),
        wrong(base, _SHOWN),
    )
    overview = await held
    with head(view.t("title")):
        range_links(view, chosen)
        button(view, view.t("clear"), lambda: _clear(view), tone="danger")
    if not over_time.lines[0].total["cache_hit_rate"] and not latest and not _any(overview):
        with card():
            empty(view, view.t("none_title"), view.t("none_text"), command=_COMMAND)
        return
    _figures(view, over_time, overview)
    _charts(view, over_time, alike)
    _promises(view, overview)
    with tag("div.halves"):
        _latest(view, latest)
        _wrong(view, bad)
    pages(view, None, csv=view.link("/cache.csv", range=chosen.name))


async def _held(view: View) -> dict[str, Any]:
    """What the gate says of both caches; an empty one with the reason where it is away."""
    try:
        found: dict[str, Any] = await view.ask("GET", "/admin/cache")
    except ComportaError as error:
        return {"exact_entries": None, "exact_bytes": None, "routes": [], "away": error.message}
    return found


def _any(overview: dict[str, Any]) -> bool:
    return bool(overview["exact_entries"]) or any(one["entries"] or one["hits"] for one in overview["routes"])


def _figures(view: View, over_time: Series, overview: dict[str, Any]) -> None:
    line, t = over_time.lines[0], view.t
    saving = line.total["cache_saving"]
    entries, size = overview["exact_entries"], overview["exact_bytes"]
    for one in overview["routes"]:
        entries, size = (entries or 0) + one["entries"], (size or 0) + one["size_bytes"]
    with tag("div.figures"):
        figure(view, t("hit_rate"), t.share(line.total["cache_hit_rate"]), values=line.points["cache_hit_rate"])
        money = t.money(None if saving is None else saving * 1e6)
        figure(view, t("saving"), money, values=line.points["cache_saving"])
        figure(view, t("entries"), t.short(entries))
        figure(view, t("size"), t.bytes(size))


def _charts(view: View, over_time: Series, alike: Sequence[int]) -> None:
    line, t = over_time.lines[0], view.t
    times = [at.timestamp() for at in over_time.times]
    saved = [None if value is None else value * 1e6 for value in line.points["cache_saving"]]
    with tag("div.cards.thirds"):
        with card(t("over_time")):
            Chart(t("hit_rate"), times, [Line(t("hit_rate"), line.points["cache_hit_rate"], "area", "sky")],
                  unit="share", locale=t.locale, height_px=250)  # fmt: skip
        with card(t("saved_over_time")):
            Chart(t("saving"), times, [Line(t("saving"), saved, "bar", "olive")], unit="money", locale=t.locale,
                  height_px=250)  # fmt: skip
        with card(t("alike"), sub=t("alike_sub", n=t.number(sum(alike))) if any(alike) else ""):
            _alike(view, alike)


def _alike(view: View, alike: Sequence[int]) -> None:
    """A bar for each stretch of likeness."""
    t, most = view.t, max(alike) or 1
    if not any(alike):
        tag("p.muted", t("no_alike"))
        return
    names = [t("below", bound=t.number(BOUNDS[0], 2))]
    names += [f"{t.number(a, 2)} – {t.number(b, 2)}" for a, b in zip(BOUNDS, (*BOUNDS[1:], 1.0), strict=True)]
    with tag("div.rungs"):
        for name, count in zip(names, alike, strict=True):
            tag("span.rungs__name", name)
            with tag("span.rungs__track", aria_hidden="true"):
                tag("span.rungs__bar.tone-sky").style["width"] = f"{count / most * 100:.1f}%"
            tag("span.rungs__n", t.number(count))


def _promises(view: View, overview: dict[str, Any]) -> None:
    if overview.get("away"):
        with card(view.t("budget")):
            tag("p.muted", view.t("away", reason=overview["away"]))
    if overview["routes"]:
        with tag("div.cards.thirds"):
            for one in overview["routes"]:
                _promise(view, one)


def _promise(view: View, one: dict[str, Any]) -> None:
    t = view.t
    with card(classes="tight"):
        with tag("div.row.spread"):
            tag("h2.card__title", one["route"])
            on = one["enabled"]
            badge(t(one["promise"] if on else "off"), _TONES[one["promise"]] if on else "dim")
        tag("p.muted.small", one["told"])
        facts([
            (t("bound"), t("bound_of", bound=t.share(one["bound"], 2), budget=t.share(one["budget"], 2))),
            (t("checked"), t("checked_of", checked=t.number(one["checked"]), wrong=t.number(one["wrong"]),
                             reported=t.number(one["reported"]))),
            (t("threshold"), t.number(one["threshold"], 3)), (t("hits"), t.number(one["hits"])),
            (t("held"), t("held_of", entries=t.number(one["entries"]), seeded=t.number(one["seeded"]),
                          size=t.bytes(one["size_bytes"]))),
        ])  # fmt: skip
        if one["why"]:
            tag("p.muted.small", one["why"])


def _latest(view: View, latest: Sequence[Hit]) -> None:
    with card(view.t("latest")):
        if not latest:
            tag("p.muted", view.t("no_alike"))
        with tag("ol.events"):
            for one in latest:
                _hit(view, one)


def _hit(view: View, one: Hit) -> None:
    t = view.t
    said = conversation(one.prompt, one.reply)
    asked = next((piece.text for turn in reversed(said) if turn.role == "user" for piece in turn.pieces), "")
    answered = next((piece.text for turn in said if turn.reply for piece in turn.pieces), "")

    async def report() -> None:
        await judge(view, one.call_id, "wrong_answer", True, id=f"wrong-hit/{one.call_id}")
        say(t("reported_now"))

    with tag("li.events__one"):
        badge("–" if one.similarity is None else t.number(one.similarity, 3), "info")
        with tag("div.events__text"):
            place = view.link(f"/traces/{one.trace_id}", call=one.call_id)
            tag("a", asked[:_EXCERPT] or t("no_content"), href=place)
            if answered:
                tag("div.muted", answered[:_EXCERPT])
            with tag("div.chips.small"):
                tag("span.muted", one.route or "")
                if one.saved_microusd:
                    tag("span.muted", t("saved_by_it", money=t.money(one.saved_microusd)))
                if one.seeded:
                    badge(t("seeded"), "dim")
                When(one.at.timestamp())
        button(view, t("report"), report, tone="small")


def _wrong(view: View, bad: Sequence[Wrong]) -> None:
    t = view.t
    with card(t("wrong_reports")):
        if not bad:
            tag("p.muted", t("no_wrong"))
        with tag("ol.events"):
            for one in bad:
                with tag("li.events__one"):
                    badge(t.number(one.confidence, 3), "bad" if one.source == "feedback" else "warn")
                    with tag("span.events__text"):
                        place = view.link(f"/traces/{one.trace_id}", call=one.call_id) if one.trace_id else ""
                        tag("a" if place else "span", one.route, href=place or None)
                        tag("span.muted", f" · {t(one.source)}")
                    When(one.at.timestamp())


async def _clear(view: View) -> None:
    t = view.t
    fields: list[Any] = []

    def body() -> None:
        kinds = [("route", t("clear_route")), ("tag", t("clear_tag")), ("everything", t("clear_all"))]
        fields.append(choice(t("clear_what"), kinds))
        fields.append(text(t("clear_name"), most=200))

    if not await ask(view, t("clear"), body, label=t("clear"), tone="danger"):
        return
    kind, name = fields[0].value, fields[1].value.strip()
    if kind != "everything" and not name:
        raise BadRequest(t("name_needed"), param="name")
    wanted = {kind: "true" if kind == "everything" else name}
    gone = await view.act("DELETE", view.link("/admin/cache", **wanted))
    say(t("cleared", n=t.number(gone["removed"])))
    go(view.link())


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    """Every hit of `?range=`, by the same question and by the meaning; none of what was asked or answered."""
    chosen = range_of(view, "7d")
    yield GIVEN_HEAD
    async for row in given(view.database, chosen.since, chosen.until, MOST_ROWS):
        yield row


PAGE = Page(
    "/cache", "title", build, TEXTS, group="protect", letter="h", icon="cache",
    files=(File("/cache.csv", "cache-hits.csv", _rows),),
)  # fmt: skip
