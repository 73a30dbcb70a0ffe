"""The system: whether gate, database, queue and providers are well, who may sign in here, and what the doctor says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from comporta.console.page import Page
from comporta.console.parts.acting import attempt, button
from comporta.console.parts.components import Cell, Column, Row, Table, When
from comporta.console.parts.pieces import badge, card, command_line, facts, figure, head, notice, skeleton
from comporta.console.parts.tags import tag
from comporta.console.state import State, read_state
from comporta.console.view import Finding, View
from comporta.console.words import Texts
from comporta.errors import ComportaError
from comporta.telemetry.audit import Entry, read

TEXTS: Texts = {
    "title": ("System", "Sistema"),
    "gate": ("Gate", "Comporta"),
    "up": ("open", "aberta"),
    "away": ("away", "fora"),
    "gate_away": ("The gate did not answer", "A comporta não respondeu"),
    "version": ("Version", "Versão"),
    "console": ("Console", "Console"),
    "since": ("Since", "Desde"),
    "workers": ("Workers", "Processos"),
    "in_flight": ("Running calls", "Chamadas em curso"),
    "spool": ("Waiting in the spool", "Esperando no spool"),
    "spool_of": ("{waiting} of {limit}", "{waiting} de {limit}"),
    "database": ("Database", "Banco de dados"),
    "server": ("PostgreSQL", "PostgreSQL"),
    "size": ("Size", "Tamanho"),
    "records": ("Calls and spans", "Chamadas e spans"),
    "rows": ("{calls} calls, {spans} spans (estimates)", "{calls} chamadas, {spans} spans (estimativas)"),
    "oldest": ("Oldest call", "Chamada mais antiga"),
    "connections": ("Connections", "Conexões"),
    "queue": ("Queue of jobs", "Fila de trabalhos"),
    "queue_empty": ("No jobs wait, none failed.", "Nenhum trabalho espera, nenhum falhou."),
    "failed_jobs": ("{task}: {n} failed", "{task}: {n} falharam"),
    "providers": ("Providers", "Provedores"),
    "provider": ("Provider", "Provedor"),
    "kind": ("Kind", "Tipo"),
    "address": ("Address", "Endereço"),
    "credentials": ("Credentials", "Credenciais"),
    "models": ("Models", "Modelos"),
    "ready": ("ready", "pronto"),
    "no_key": ("no key", "sem chave"),
    "resting": ("resting", "em repouso"),
    "breakers": ("Left alone after failures", "Deixados em paz após falhas"),
    "no_breakers": ("Every provider is asked: no breaker is open.", "Todos são perguntados: nenhum disjuntor aberto."),
    "left": ("{left} left", "faltam {left}"),
    "kept_redis_away": (
        "Redis is away: each worker finds out for itself.",
        "Redis está fora: cada processo descobre por si.",
    ),
    "doctor": ("Doctor", "Doutor"),
    "ask_doctor": ("Ask the doctor", "Perguntar ao doutor"),
    "doctor_about": (
        "Looks at everything the gate needs; some seconds.",
        "Olha tudo de que a comporta precisa; alguns segundos.",
    ),
    "audit": ("Audit log", "Registro de auditoria"),
    "by": ("By", "Por"),
    "act": ("Act", "Ato"),
    "subject": ("Of", "De"),
    "why_head": ("Why", "Por quê"),
    "when": ("When", "Quando"),
    "people": ("Who may sign in", "Quem pode entrar"),
    "people_link": ("Console users", "Usuários do console"),
}  # fmt: skip
_TONES = {"ok": "good", "warning": "warn", "failed": "bad", "skipped": "dim"}


async def build(view: View) -> None:
    """The gate is asked once; all else is read here."""
    told, state, entries = await asyncio.gather(_status(view), read_state(view.database), read(view.database, limit=15))
    with head(view.t("title")):
        if view.admin:
            tag("a.button", view.t("people_link"), href="/system/users")
    _figures(view, told, state)
    if isinstance(told, ComportaError):
        notice(told.message, "bad", title=view.t("gate_away"))
    with tag("div.cards"):
        _database(view, state)
        _queue(view, state)
    if not isinstance(told, ComportaError):
        _breakers(view, told["breakers"])
        _providers(view, told["providers"], told["breakers"]["resting"])
    _doctor(view)
    _audit(view, entries)


async def _status(view: View) -> dict[str, Any] | ComportaError:
    try:
        found = await view.ask("GET", "/admin/status")
    except ComportaError as error:
        return error
    return dict(found)


def _figures(view: View, told: dict[str, Any] | ComportaError, state: State) -> None:
    t, away = view.t, isinstance(told, ComportaError)
    with tag("div.figures"):
        figure(view, t("gate"), t("away" if away else "up"))
        if not isinstance(told, ComportaError):
            figure(view, t("version"), str(told["version"]))
            figure(view, t("workers"), t.number(told["workers"]))
            figure(view, t("in_flight"), t.number(told["in_flight"]))
            spool = told["spool"]
            hint = t("spool_of", waiting=t.bytes(spool["waiting_bytes"]), limit=t.bytes(spool["limit_bytes"]))
            figure(view, t("spool"), t.bytes(spool["waiting_bytes"]), hint=hint)
        figure(view, t("size"), t.bytes(state.database_bytes))


def _database(view: View, state: State) -> None:
    t, oldest = view.t, state.oldest_call
    # Until the planner has looked at a table, it knows nothing of its rows.
    rows = t("rows", calls=t.short(state.calls), spans=t.short(state.spans)) if state.calls else ""
    with card(t("database")):
        facts([
            (t("server"), state.server), (t("size"), t.bytes(state.database_bytes)),
            (t("records"), " · ".join(filter(None, (t.bytes(state.records_bytes), rows)))),
            *([(t("oldest"), lambda: When(oldest.timestamp(), "full"))] if oldest is not None else []),
            (t("connections"), t.number(state.connections)), (t("console"), view.around.version),
        ])  # fmt: skip


def _queue(view: View, state: State) -> None:
    with card(view.t("queue")):
        waiting = {name: n for name, n in state.jobs.items() if n}
        if not waiting:
            tag("p.muted", view.t("queue_empty"))
        with tag("div.chips"):
            for name, n in waiting.items():
                badge(f"{name} {n}", {"failed": "bad", "doing": "info"}.get(name, "dim"))
        for task, at, n in state.failed:
            with tag("div.events__one"):
                tag("span.events__text", view.t("failed_jobs", task=task, n=n))
                When(at.timestamp())


def _breakers(view: View, told: dict[str, Any]) -> None:
    with card(view.t("breakers")):
        if told["kept"] == "redis_away":
            notice(view.t("kept_redis_away"), "warn")
        if not told["resting"]:
            tag("p.muted", view.t("no_breakers"))
        with tag("ol.events"):
            for one in told["resting"]:
                with tag("li.events__one"):
                    badge(str(one["state"]), "bad" if one["state"] in ("open", "refused") else "warn")
                    names = (one["provider"], one.get("model"), one.get("credential"))
                    tag("span.events__text", " · ".join(filter(None, names)))
                    tag("span.when", view.t("left", left=view.t.seconds(one["left_s"])))


def _providers(view: View, found: Sequence[dict[str, Any]], resting: Sequence[dict[str, Any]]) -> None:
    t = view.t
    ailing = {one["provider"] for one in resting}
    columns = [
        Column("name", t("provider")), Column("state", "", "badge"), Column("kind", t("kind"), wide=True),
        Column("address", t("address"), wide=True), Column("credentials", t("credentials")),
        Column("models", t("models"), "number"),
    ]  # fmt: skip
    rows = []
    for one in found:
        state = (
            ("resting", "bad") if one["name"] in ailing else ("ready", "good") if one["ready"] else ("no_key", "warn")
        )
        cells: dict[str, str | Cell] = {
            "name": one["name"], "state": Cell(t(state[0]), tone=state[1]), "kind": one["kind"],
            "address": one["base_url"] or "–", "credentials": ", ".join(one["credentials"]) or "–",
            "models": t.number(one["models"]),
        }  # fmt: skip
        rows.append(Row(cells))
    with card(t("providers"), classes="flush"):
        Table(t("providers"), columns, rows)


def _doctor(view: View) -> None:
    with card(view.t("doctor"), sub=view.t("doctor_about")):
        shown = tag("div.stack", aria_live="polite")

        async def look() -> None:
            shown.clear()
            with shown:
                skeleton(5)
            found: list[Finding] = []
            went_well = await attempt(view, _filling(view, found))
            shown.clear()
            if went_well:
                with shown:
                    _findings(view, found)

        button(view, view.t("ask_doctor"), look, admin=False, key="d")


def _filling(view: View, found: list[Finding]) -> Any:
    async def asked() -> None:
        found.extend(await view.around.doctor())

    return asked


def _findings(view: View, found: Sequence[Finding]) -> None:
    with tag("ol.events"):
        for one in found:
            with tag("li.events__one"):
                badge(one.state, _TONES.get(one.state, "dim"))
                with tag("span.events__text"):
                    tag("strong", one.name)
                    tag("div", one.text)
                    if one.mend and one.state != "ok":
                        command_line(view, one.mend)


def _audit(view: View, entries: Sequence[Entry]) -> None:
    t = view.t
    columns = [
        Column("when", t("when"), "when"), Column("by", t("by")), Column("act", t("act")),
        Column("subject", t("subject")), Column("why", t("why_head"), wide=True),
    ]  # fmt: skip
    rows = [
        Row({"when": Cell("", at=one.at_s), "by": one.by, "act": one.act, "subject": one.subject, "why": one.why})
        for one in entries
    ]
    if rows:
        with card(t("audit"), classes="flush"):
            Table(t("audit"), columns, rows)


PAGE = Page("/system", "title", build, TEXTS, group="run", letter="y", icon="system")
