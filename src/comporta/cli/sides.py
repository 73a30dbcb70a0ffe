"""What the commands for rollouts and for experiments share: side B as it is said, metrics, tags, and how sides look."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic_core import PydanticCustomError

from comporta.cli.gate import find, part
from comporta.cli.shown import cell, day, facts, say, say_json, table, usd
from comporta.cli.written import json_pairs, pairs
from comporta.config.values import parse_share, show_share
from comporta.prompts.commit import commit_here

ROUTE = typer.Argument(None, help="The route; left out where a prompt's label moves (--prompt, --env).")
WHICH = typer.Argument(help="Its route, its name, its id, or prompt@environment.", metavar="WHICH")
PROMPT = typer.Option(None, "--prompt", help="The version whose environment is to move: support@2.4.0.")
ENV = typer.Option(None, "--env", "-e", help="The environment of that prompt: production, staging …")
FROM = typer.Option(None, "--from", help="Which variant of the route is side A; default: its heaviest.")
TO_VARIANT = typer.Option(None, "--to-variant", help="Side B: another variant of the route.")
TO_MODEL = typer.Option(None, "--to-model", help="Side B: another model, provider/model.")
TO_PROMPT = typer.Option(None, "--to-prompt", help="Side B: another version of the prompt, support@2.4.0.")
PARAM = typer.Option([], "--param", help="Side B: a parameter, as name=value; several times.")
GUARD = typer.Option(
    [], "--guard",
    help="What must not become worse, with its margin: errors:1pp, latency_p95:20%, cost:10%, score:helpful:0.05; "
    "several times.",
)  # fmt: skip
TAG = typer.Option([], "--tag", help="A word on the deploy, as name=value; several times.")
SHA = typer.Option(None, "--commit-sha", help="Default: as the prompt's push says, else as git says here.")
AUTHOR = typer.Option(None, "--author", help="Default: as the prompt's push says, else as git says here.")
MODEL = typer.Option(None, "--model-version", help="Default: the model of side B.")
NAME = typer.Option(None, "--name", help="What to call it; default: what it is about.")
WHY = typer.Option("", "--why", help="For the log.")
LIVE = typer.Option(False, "--live", help="Only those that still say where calls go.")
LIMIT = typer.Option(50, "--limit", min=1, max=500, help="At most so many.")
_KINDS = ("errors", "latency", "cost", "score")


def about(
    route: str | None, prompt: str | None, env: str | None, variant: str | None, to_variant: str | None,
    to_model: str | None, to_prompt: str | None, param: list[str],
) -> dict[str, Any]:  # fmt: skip
    """What a rollout or an experiment is about, as the admin API wants it."""
    if (route is None) == (prompt is None):
        raise typer.BadParameter("name a route, or a prompt's version with --prompt and --env")
    if route is not None:
        to = {"variant": to_variant, "model": to_model, "prompt": to_prompt, "params": json_pairs(param, "--param")}
        return {"route": route, "variant": variant, "to": to}
    id, at, version = (prompt or "").partition("@")
    if not at or not version:
        raise typer.BadParameter("name the version too: support@2.4.0", param_hint="--prompt")
    if env is None:
        raise typer.BadParameter("say which environment moves: --env production", param_hint="--env")
    if to_variant or to_model or to_prompt or param:
        raise typer.BadParameter("where a prompt's environment moves, side B is the version of --prompt alone")
    return {"prompt": id, "label": env, "to": {"prompt": prompt}}


def tags_of(
    tag: list[str], commit_sha: str | None, author: str | None, model_version: str | None, *, by_push: bool
) -> dict[str, str]:
    """The tags that are said; commit and author as git says in this folder, where no push of a prompt says them."""
    said = {"commit_sha": commit_sha, "author": author, "model_version": model_version}
    tags = pairs(tag, "--tag") | {name: value for name, value in said.items() if value}
    if by_push or {"commit_sha", "author"} <= tags.keys():
        return tags
    here = asyncio.run(commit_here(Path.cwd()))
    if here is None:
        return tags
    found = {"commit_sha": here.sha, "author": here.author}
    return {name: value for name, value in found.items() if value} | tags


def share_of(text: str, option: str) -> float:
    """`5%` or `0.05`."""
    try:
        return parse_share(text)
    except PydanticCustomError as error:
        raise typer.BadParameter(error.message(), param_hint=option) from None


def guards_of(written: Iterable[str]) -> list[dict[str, Any]] | None:
    """Metrics with their margins; None where none are said."""
    return [metric_of(one, "--guard") for one in written] or None


def metric_of(text: str, option: str) -> dict[str, Any]:
    """`errors:1pp`, `latency_p95:20%`, `cost:10%`, `score:helpful:0.05`; of scores also `:1-5` and `:lower`."""
    kind, *rest = text.split(":")
    metric: dict[str, Any] = {}
    if kind.startswith("latency_p"):
        kind, metric["quantile"] = "latency", _quantile(kind, option)
    if kind not in _KINDS:
        raise typer.BadParameter(f"{text!r}: a metric is one of {', '.join(_KINDS)}", param_hint=option)
    metric["kind"] = kind
    if kind == "score":
        if not rest or not rest[0]:
            raise typer.BadParameter(f"{text!r}: name the score, as in score:helpful", param_hint=option)
        metric["score"], *rest = rest
    if rest:
        metric["margin"] = _margin(rest.pop(0), option)
    for word in rest:
        metric |= _of_score(word, option)
    return metric


def _quantile(kind: str, option: str) -> float:
    try:
        return float(kind.removeprefix("latency_p")) / 100
    except ValueError:
        raise typer.BadParameter(f"{kind!r} is no quantile, as latency_p95 is", param_hint=option) from None


def _margin(text: str, option: str) -> float:
    """`1pp` and `5%` are shares; a plain number is one as it stands."""
    try:
        if text.endswith("pp"):
            return float(text.removesuffix("pp").strip()) / 100
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no margin: 1pp, 10% or 0.05", param_hint=option) from None


def _of_score(word: str, option: str) -> dict[str, Any]:
    """Which way a score is good, and between what it lies."""
    if word in ("higher", "lower"):
        return {"better": word}
    low, dash, high = word.partition("-")
    try:
        if dash:
            return {"low": float(low), "high": float(high)}
    except ValueError:
        pass
    raise typer.BadParameter(f"{word!r} is none of higher, lower, or bounds as 1-5", param_hint=option)


def share(value: float) -> str:
    return show_share(round(value, 6))


def list_all(kind: str, live: bool, limit: int, data: Path, as_json: bool, *, empty: str) -> None:
    """List rollouts or experiments (`kind` in the singular), the live ones first."""
    found = find(data).ask("GET", f"/admin/{kind}s", query={"live": str(live).lower(), "limit": limit})["data"]
    if as_json:
        say_json(found)
    else:
        show_list(found, empty)


def log(kind: str, which: str, limit: int, data: Path, as_json: bool) -> None:
    """Show what was done with one, and decided of it."""
    found = find(data).ask("GET", f"/admin/{kind}s/{part(which)}/events", query={"limit": limit})["data"]
    if as_json:
        say_json(found)
    else:
        show_events(found)


def act(kind: str, word: str, which: str, body: Mapping[str, Any], data: Path, as_json: bool) -> None:
    """Change how one stands, and say how it stands then."""
    row = find(data).ask("POST", f"/admin/{kind}s/{part(which)}/{word}", body)
    if as_json:
        say_json(row)
    else:
        say(f"The {kind} {row['name']} is {row['state'].replace('_', ' ')}, with {share(row['share'])} on B.")


def side_b(row: Mapping[str, Any]) -> str:
    """Side B in a few words."""
    to = row["to"]
    parts = [to[name] for name in ("variant", "model", "prompt") if to[name]]
    return ", ".join([*parts, *(f"{name}={value}" for name, value in to["params"].items())])


def show_row(row: Mapping[str, Any]) -> None:
    """What one is about, and how it stands."""
    what = row["route"] or f"{row['prompt']} in {row['label']}"
    facts(
        [("name", row["name"]), ("about", what), ("state", row["state"].replace("_", " ")), ("side A", row["variant"]),
         ("side B", side_b(row)), ("share of B", share(row["share"])), ("tags", row["tags"]),
         ("started", f"{day(row['started_at'])} by {row['started_by']}"), ("ended", day(row["ended_at"])),
         ("problem", row["problem"]), ("id", row["id"])]
    )  # fmt: skip


def show_sides(row: Mapping[str, Any]) -> None:
    """The figures of the sides beside each other."""
    sides = row["sides"]
    scores = sorted({name for side in sides.values() for name in side["scores"]})
    rows = [
        (name.upper() if len(name) == 1 else name, side["calls"], side["errors"], _percent(side["error_share"]),
         _ms(side["latency_p50_ms"]), _ms(side["latency_p95_ms"]), _money(side["cost_per_call_microusd"]),
         *(_score(side["scores"].get(one)) for one in scores))
        for name, side in sides.items()
    ]  # fmt: skip
    table(("side", "calls", "errors", "share", "p50", "p95", "cost a call", *scores), rows, "")


def show_events(found: list[Any]) -> None:
    rows = (
        (day(one["at"]), one["by"], one["act"].replace("_", " "),
         None if one["share"] is None else share(one["share"]), one["why"])
        for one in reversed(found)
    )  # fmt: skip
    table(("when", "by", "what", "share of B", "why"), rows, "Nothing was done yet.")


def show_list(found: list[Any], empty: str) -> None:
    rows = (
        (one["name"], one["route"] or f"{one['prompt']}@{one['label']}", one["variant"], side_b(one),
         one["state"].replace("_", " "), share(one["share"]), day(one["started_at"]), one["id"])
        for one in found
    )  # fmt: skip
    table(("name", "about", "side A", "side B", "state", "share of B", "started", "id"), rows, empty)


def tell_decision(row: Mapping[str, Any]) -> None:
    """What the last look found, and what a live one waits for."""
    decision = row["decision"]
    if decision is None:
        copies = row["state"] == "shadow"
        say("\nOf copies nothing is decided: promote it, or abort it." if copies else "\nNobody has looked yet.")
        return
    say(f"\n{decision['reason']}")
    more = decision["more_calls"]
    if more and row["ended_at"] is None:
        say(f"About {more:,} more calls {'of B ' if 'action' in decision else ''}would decide it.")


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.2%}"


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f} ms"


def _money(value: float | None) -> str | None:
    return None if value is None else usd(round(value))


def _score(value: Mapping[str, Any] | None) -> str:
    return "–" if value is None else f"{cell(value['mean'])} ({value['n']:,})"
