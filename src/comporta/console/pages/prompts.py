"""The prompts: all of them with where their labels point."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.exporting import MOST_ROWS
from comporta.console.page import File, Page
from comporta.console.parts.choosing import range_of
from comporta.console.parts.components import Cell, Column, Row, Table
from comporta.console.parts.pieces import card, empty, head
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.telemetry.series import series

TEXTS: Texts = {
    "title": ("Prompts", "Prompts"),
    "about": (
        "Versions never change; environments point at one of them, and every move is kept.",
        "Versões nunca mudam; cada ambiente aponta para uma delas, e cada mudança fica registrada.",
    ),
    "prompt": ("Prompt", "Prompt"),
    "versions": ("Versions", "Versões"),
    "highest": ("Highest", "Mais alta"),
    "environments": ("Environments", "Ambientes"),
    "pushed": ("Pushed", "Enviado"),
    "calls": ("Calls, 7 days", "Chamadas, 7 dias"),
    "satisfaction": ("Satisfaction", "Satisfação"),
    "none_title": ("No prompt yet", "Nenhum prompt ainda"),
    "none_text": (
        "Prompts are files that are pushed here: each version is kept for good, deployed to environments, tested, "
        "compared and rolled back.",
        "Prompts são arquivos enviados para cá: cada versão fica para sempre, vai para ambientes, é testada, comparada "
        "e revertida.",
    ),
}
_PAGE = 100
_HEAD = (
    "id", "version", "environments", "model", "author", "commit_sha", "message", "digest", "pushed_at", "pushed_by",
)  # fmt: skip
#: More groups of figures than there are prompts.
_ALL = 1_000_000


async def build(view: View) -> None:
    """By id, a hundred at a time."""
    t, chosen = view.t, range_of(view, "7d")
    place = view.link("/admin/prompts", after=view.query.get("after", ""), limit=_PAGE)
    found, used = await asyncio.gather(
        view.ask("GET", place),
        series(view.database, ("calls", "user_satisfaction"), since=chosen.since, until=chosen.until,
               group_by="prompt", most=_ALL),
    )  # fmt: skip
    with head(t("title"), t("about")):
        pass
    if not found["data"]:
        with card():
            empty(view, t("none_title"), t("none_text"), command="comporta prompts push prompts/")
        return
    by_prompt = {line.group: line.total for line in used.lines}
    columns = [
        Column("id", t("prompt")), Column("highest", t("highest")), Column("environments", t("environments")),
        Column("calls", t("calls"), "number"), Column("satisfaction", t("satisfaction"), "number", wide=True),
        Column("versions", t("versions"), "number", wide=True), Column("pushed", t("pushed"), "when", wide=True),
    ]  # fmt: skip
    with card(classes="flush"):
        Table(t("title"), columns, [_row(view, one, by_prompt.get(one["id"], {})) for one in found["data"]])
    with tag("nav.pages", aria_label=t("next")):
        tag("a.button", t("csv"), href="/prompts.csv", download=True)
        if found["next"]:
            tag("a.button", t("next"), href=view.link(after=found["next"]), rel="next")


def _row(view: View, one: dict[str, Any], used: dict[str, float | None]) -> Row:
    t = view.t
    cells: dict[str, str | Cell] = {
        "id": one["id"], "highest": one["highest"],
        "environments": ", ".join(f"{name} {version}" for name, version in sorted(one["labels"].items())) or "–",
        "calls": t.number(used.get("calls") or 0), "satisfaction": t.share(used.get("user_satisfaction"), 0),
        "versions": t.number(one["versions"]),
        "pushed": Cell("", at=datetime.datetime.fromisoformat(one["pushed_at"]).timestamp()),
    }  # fmt: skip
    return Row(cells, href=view.link(f"/prompts/{one['id']}"))


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    """Every version of every prompt, by id, the highest first, with the environments that point at it."""
    after, sent = "", 0
    while sent < MOST_ROWS:
        page = await view.ask("GET", view.link("/admin/prompts", after=after, limit=_PAGE))
        if not after:
            yield _HEAD
        for listed in page["data"]:
            for row in _lines(await view.ask("GET", f"/admin/prompts/{quote(listed['id'], safe='')}")):
                yield row
                sent += 1
        after = str(page["next"] or "")
        if not after:
            return


def _lines(prompt: dict[str, Any]) -> list[Sequence[object]]:
    at: dict[str, list[str]] = {}
    for one in prompt["labels"]:
        at.setdefault(one["version"], []).append(one["environment"])
    return [
        (prompt["id"], one["version"], ", ".join(at.get(one["version"], ())),
         *(one[name] for name in _HEAD[3:]))
        for one in prompt["versions"]
    ]  # fmt: skip


PAGE = Page(
    "/prompts", "title", build, TEXTS, group="build", letter="p", icon="prompts",
    files=(File("/prompts.csv", "prompts.csv", _rows),),
)  # fmt: skip
