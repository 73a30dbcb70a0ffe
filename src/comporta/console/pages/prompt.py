"""One prompt: its versions and their differences, environments with their history, tests, approving and deploying."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.cases import as_suite, cases_of
from comporta.console.page import Page
from comporta.console.parts.acting import ask, button, choice, go, say, text
from comporta.console.parts.choosing import links
from comporta.console.parts.components import Cell, Column, Row, Table, When
from comporta.console.parts.differing import diff_view
from comporta.console.parts.pieces import badge, card, code, command_line, head, notice
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.types import JSON

TEXTS: Texts = {
    "title": ("Prompt", "Prompt"),
    "versions": ("Versions", "Versões"),
    "version": ("Version", "Versão"),
    "model": ("Model", "Modelo"),
    "author": ("Author", "Autor"),
    "pushed": ("Pushed", "Enviada"),
    "message": ("Message", "Mensagem"),
    "environments": ("Environments", "Ambientes"),
    "no_environments": ("Not deployed anywhere yet.", "Ainda não está em nenhum ambiente."),
    "history": ("History", "Histórico"),
    "no_history": ("No label was moved yet.", "Nenhuma mudança ainda."),
    "text": ("Text", "Texto"),
    "diff": ("Changes", "Mudanças"),
    "against": ("against {version}", "em relação a {version}"),
    "nothing_before": ("This is the first version.", "Esta é a primeira versão."),
    "no_diff": ("Both say the same.", "As duas dizem o mesmo."),
    "tests": ("Tests", "Testes"),
    "no_tests": ("No test run of this version is kept.", "Nenhum teste desta versão guardado."),
    "cases": ("{n} saved cases, for prompts/tests/", "{n} casos guardados, para prompts/tests/"),
    "approvals": ("Approvals", "Aprovações"),
    "no_approvals": ("Nobody has approved this version.", "Ninguém aprovou esta versão."),
    "approve": ("Approve", "Aprovar"),
    "approve_sure": ("Approve {version}?", "Aprovar {version}?"),
    "deploy": ("Deploy …", "Deploy …"),
    "deploy_to": ("Deploy {version} to {environment}", "Deploy de {version} em {environment}"),
    "do_deploy": ("Deploy", "Fazer deploy"),
    "environment": ("Environment", "Ambiente"),
    "replaces": ("It replaces {version}.", "Substitui {version}."),
    "first_there": ("There is none there yet.", "Ainda não há nenhuma lá."),
    "same": ("It is there already.", "Já está lá."),
    "missing": ("This stands in the way", "Isto impede"),
    "commit_sha": ("Commit", "Commit"),
    "model_version": ("Model version", "Versão do modelo"),
    "roll_back": ("Roll back", "Reverter"),
    "roll_back_sure": ("Roll {environment} back to what it had before?", "Reverter {environment} ao que tinha antes?"),
    "play": ("Try it", "Experimentar"),
    "forced": ("forced", "forçado"),
    "kind_deploy": ("deploy", "deploy"),
    "kind_rollback": ("rolled back", "revertido"),
    "see_calls": ("Calls", "Chamadas"),
    "other": ("another one", "outro"),
    "other_name": ("Its name", "O nome"),
}  # fmt: skip
_USUAL = ("staging", "production")


async def build(view: View) -> None:
    """`?at=` is shown, else the highest; `?before=` is what it is compared with; `?deploy=` where it may go."""
    id = view.path["id"]
    place = f"/admin/prompts/{quote(id, safe='')}"
    prompt, history = await asyncio.gather(view.ask("GET", place), view.ask("GET", f"{place}/history?limit=40"))
    versions = [one["version"] for one in prompt["versions"]]
    at = view.query.get("at") or versions[0]
    before = view.query.get("before") or _before(versions, at)
    shown, diff, cases = await asyncio.gather(
        view.ask("GET", f"{place}/versions/{quote(at, safe='')}"),
        view.ask("GET", view.link(f"{place}/diff", after=at, before=before)),
        cases_of(view.database, id),
    )
    with head(id, f"{view.t('version')} {shown['version']} · {shown['model'] or '–'}"):
        tag("a.button", view.t("see_calls"), href=view.link("/calls", prompt=id))
        tag("a.button.button--main", view.t("play"), href=view.link("/playground", prompt=f"{id}@{shown['version']}"))
    if view.query.get("deploy"):
        await _plan(view, place, shown, view.query["deploy"])
    with tag("div.halves"):
        with tag("div.rail"):
            _shown(view, shown, diff, versions)
        with tag("div.rail"):
            _environments(view, place, prompt["labels"], shown)
            _approvals(view, place, shown, _known(prompt))
            _tests(view, id, shown, cases)
            _history(view, history["data"])
    _versions(view, prompt)


def _before(versions: Sequence[str], at: str) -> str | None:
    """The next lower one; `versions` come with the highest first."""
    below = versions[versions.index(at) + 1 :] if at in versions else []
    return below[0] if below else None


def _known(prompt: Mapping[str, Any]) -> list[str]:
    """Environments to choose from: those that point here, and those that most have."""
    return list(dict.fromkeys([*(one["environment"] for one in prompt["labels"]), *_USUAL]))


def _shown(view: View, shown: Mapping[str, Any], diff: Mapping[str, Any], versions: Sequence[str]) -> None:
    t = view.t
    sub = t("against", version=diff["before"]) if diff["before"] else ""
    with card(t("diff"), sub=sub, classes="tight"):
        others = [one for one in versions if one != shown["version"]][:8]
        if len(others) > 1:
            at = shown["version"]
            links(t("diff"), [(one, view.link(before=one, at=at), one == diff["before"]) for one in others])
        if not diff["before"]:
            tag("p.muted", t("nothing_before"))
        elif diff["diff"]:
            diff_view(diff["diff"], label=t("diff"))
        else:
            tag("p.muted", t("no_diff"))
    with card(t("text"), sub=shown["digest"][:12]):
        code(shown["text"], label=t("text"))


def _environments(view: View, place: str, labels: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> None:
    t = view.t
    with card(t("environments"), classes="tight"):
        if not labels:
            tag("p.muted", t("no_environments"))
        with tag("ol.events"):
            for one in labels:
                with tag("li.events__one"):
                    badge(one["environment"], "accent")
                    with tag("span.events__text"):
                        tag("a", one["version"], href=view.link(at=one["version"], before=None, deploy=None))
                        with tag("span.muted.small", " · "):
                            When(_seconds(one["moved_at"]))
                    _roll_back(view, place, one)
        if view.admin:
            with tag("div.row"):
                for name in list(dict.fromkeys([*(one["environment"] for one in labels), *_USUAL])):
                    there = any(one["environment"] == name and one["version"] == shown["version"] for one in labels)
                    if not there:
                        words = t("deploy_to", version=shown["version"], environment=name)
                        href = view.link(at=shown["version"], deploy=name)
                        tag("a.button.button--small", words, href=href)
                _elsewhere(view, shown)


def _elsewhere(view: View, shown: Mapping[str, Any]) -> None:
    t = view.t

    async def other() -> None:
        names: list[Any] = []

        def body() -> None:
            names.append(text(t("other_name"), most=100))

        if await ask(view, t("environment"), body, label=t("deploy")) and names[0].value.strip():
            go(view.link(at=shown["version"], deploy=names[0].value.strip()))

    button(view, t("other"), other, tone="small")


def _roll_back(view: View, place: str, label: Mapping[str, Any]) -> None:
    t = view.t

    async def back() -> None:
        fields: list[Any] = []

        def body() -> None:
            fields.append(text(t("why"), most=1000))

        title = t("roll_back_sure", environment=label["environment"])
        if await ask(view, title, body, label=t("roll_back"), tone="danger"):
            said = {"environment": label["environment"], "why": fields[0].value, "expecting": label["deploy"]}
            done = await view.act("POST", f"{place}/rollback", said)
            say(f"{done['environment']}: {done['version']}")
            go(view.link(deploy=None, at=done["version"], before=None))

    button(view, t("roll_back"), back, tone="small")


async def _plan(view: View, place: str, shown: Mapping[str, Any], environment: str) -> None:
    """What a deploy would do, and the button that does it."""
    t = view.t
    plan = await view.ask("POST", f"{place}/plan", {"version": shown["version"], "environment": environment})
    with card(t("deploy_to", version=shown["version"], environment=environment), classes="tight"):
        if plan["same"]:
            notice(t("same"), "info")
            return
        tag("p.muted", t("replaces", version=plan["before"]) if plan["before"] else t("first_there"))
        # Tags that are missing can be given here; whatever else is, can't.
        others = [one for one in plan["missing"] if not any(name in one for name in _TAGS)]
        if others:
            notice("; ".join(others), "warn", title=t("missing"))
        if plan["diff"] and plan["before"]:
            diff_view(plan["diff"], label=t("diff"))
        _confirm(view, place, shown, plan)


_TAGS = ("commit_sha", "author", "model_version")


def _confirm(view: View, place: str, shown: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    t = view.t
    with tag("div.filters__form.bare"):
        given = {name: text(t(name), plan["tags"].get(name, ""), most=200) for name in _TAGS}
        why = text(t("why"), most=1000)

        async def deploy() -> None:
            tags = {name: field.value.strip() for name, field in given.items() if field.value.strip()}
            body = {
                "version": shown["version"], "environment": plan["environment"], "why": why.value, "tags": tags,
                "replacing": plan["before"] or "",
            }  # fmt: skip
            done = await view.act("POST", f"{place}/deploy", body)
            say(f"{done['environment']}: {done['version']}")
            go(view.link(deploy=None))

        with tag("div.filters__acts"):
            button(view, t("do_deploy"), deploy, tone="main")
            tag("a.button", t("cancel"), href=view.link(deploy=None))


def _approvals(view: View, place: str, shown: Mapping[str, Any], environments: Sequence[str]) -> None:
    t = view.t

    async def approve() -> None:
        fields: list[Any] = []

        def body() -> None:
            fields.append(choice(t("environment"), [(name, name) for name in environments]))
            fields.append(text(t("why"), most=1000))

        if await ask(view, t("approve_sure", version=shown["version"]), body, label=t("approve")):
            said = {"version": shown["version"], "environment": fields[0].value, "why": fields[1].value}
            await view.act("POST", f"{place}/approvals", said)
            go(view.link())

    with card(t("approvals"), classes="tight"):
        if not shown["approvals"]:
            tag("p.muted", t("no_approvals"))
        with tag("ol.events"):
            for one in shown["approvals"]:
                with tag("li.events__one"):
                    badge(one["environment"], "good")
                    tag("span.events__text", " · ".join(filter(None, (one["by"], one["why"]))))
                    When(_seconds(one["at"]))
        button(view, t("approve"), approve, tone="small")


def _tests(view: View, id: str, shown: Mapping[str, Any], cases: Sequence[JSON]) -> None:
    t = view.t
    with card(t("tests"), classes="tight"):
        if not shown["tests"]:
            tag("p.muted", t("no_tests"))
            command_line(view, f"comporta prompts test {id}@{shown['version']}")
        with tag("ol.events"):
            for one in shown["tests"]:
                with tag("li.events__one"):
                    badge(one["verdict"], "good" if one["green"] else "bad")
                    figures = [f"{k}: {v}" for k, v in one["summary"].items() if isinstance(v, str | int | float)]
                    tag("span.events__text", " · ".join([one["by"], *figures[:6]]))
                    When(_seconds(one["at"]))
        if cases:
            _cases(view, id, cases)


def _cases(view: View, id: str, cases: Sequence[JSON]) -> None:
    """What was saved from calls, as a file to copy into the folder of tests."""
    text = as_suite(id, cases)
    with tag("details.fold"):
        tag("summary", view.t("cases", n=len(cases)))
        code(text, label=view.t("cases", n=len(cases)))
        tag("button.button.button--small", view.t("copy"), type="button", data_copy=text, data_done=view.t("copied"))


def _history(view: View, moves: Sequence[Mapping[str, Any]]) -> None:
    t = view.t
    with card(t("history")):
        if not moves:
            tag("p.muted", t("no_history"))
        with tag("ol.events"):
            for one in moves:
                with tag("li.events__one"):
                    badge(t(f"kind_{one['kind']}"), "info" if one["kind"] == "deploy" else "warn")
                    with tag("span.events__text"):
                        tag("strong", f"{one['environment']}: {one['before'] or '–'} → {one['version']}")
                        tag("div.muted", " · ".join(filter(None, (one["by"], one["why"]))))
                    if one["forced"]:
                        badge(t("forced"), "warn")
                    When(_seconds(one["at"]))


def _versions(view: View, prompt: Mapping[str, Any]) -> None:
    t = view.t
    pointed: dict[str, list[str]] = {}
    for one in prompt["labels"]:
        pointed.setdefault(one["version"], []).append(one["environment"])
    columns = [
        Column("version", t("version")), Column("environments", t("environments")),
        Column("model", t("model"), wide=True), Column("author", t("author"), wide=True),
        Column("message", t("message"), wide=True), Column("pushed", t("pushed"), "when"),
    ]  # fmt: skip
    rows = []
    for one in prompt["versions"]:
        cells: dict[str, str | Cell] = {
            "version": Cell(one["version"], sub=one["digest"][:12]),
            "environments": ", ".join(pointed.get(one["version"], [])) or "–", "model": one["model"] or "–",
            "author": one["author"] or one["pushed_by"], "message": one["message"] or "–",
            "pushed": Cell("", at=_seconds(one["pushed_at"])),
        }  # fmt: skip
        rows.append(Row(cells, href=view.link(at=one["version"], before=None, deploy=None)))
    with card(t("versions"), classes="flush"):
        Table(t("versions"), columns, rows)


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()


PAGE = Page("/prompts/{id}", "title", build, TEXTS, icon="prompts", parent="/prompts")
