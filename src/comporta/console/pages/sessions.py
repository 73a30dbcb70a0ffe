"""The sessions: who talked with the application lately, how long, at what cost, and how it was judged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from comporta.console.page import File, Page
from comporta.console.parts.choosing import Filter, filters, links, pages, range_links, range_of
from comporta.console.parts.components import Cell, Column, Row, Table
from comporta.console.parts.pieces import card, empty, head
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.telemetry.series import top
from comporta.telemetry.session_reads import SessionRow, list_sessions, some_sessions

TEXTS: Texts = {
    "title": ("Sessions", "Sessões"),
    "session": ("Session", "Sessão"),
    "last": ("Last call", "Última chamada"),
    "calls": ("Calls", "Chamadas"),
    "failed": ("Failed", "Falhas"),
    "lasted": ("Lasted", "Durou"),
    "cost": ("Cost", "Custo"),
    "judged": ("Judged", "Avaliada"),
    "user": ("User", "Usuário"),
    "order": ("Order", "Ordem"),
    "by_last": ("Latest", "Recentes"),
    "by_cost": ("Dearest", "Mais caras"),
    "by_calls": ("Longest", "Mais longas"),
    "by_error_rate": ("Most failures", "Mais falhas"),
    "none_title": ("No sessions yet", "Nenhuma sessão ainda"),
    "none_text": (
        "Calls that name a session, by the header x-comporta-session or metadata.session_id, stand together here.",
        "Chamadas que dizem sua sessão, no cabeçalho x-comporta-session ou em metadata.session_id, ficam juntas aqui.",
    ),
}
_ORDERS = ("last", "cost", "calls", "error_rate")
_COMMAND = 'comporta call --session chat-1 "What is a sluice gate?"'
_HEAD = ("session", "first_at", "last_at", "calls", "failed", "cost_usd", "user", "routes", "judged", "mean")
_CSV_PAGES = 100


async def build(view: View) -> None:
    """The latest, or with `?by=` those that lead a figure over the chosen time."""
    # Lists of who leads are made of everybody's calls.
    orders = _ORDERS[:1] if view.bound else _ORDERS
    order = view.query.get("by", "last")
    order = order if order in orders else "last"
    rows, following = await _read(view, order)
    with head(view.t("title")):
        if len(orders) > 1:
            known = [(n, view.link(by=None if n == "last" else n, after=None)) for n in orders]
            links(view.t("order"), [(view.t(f"by_{n}"), place, n == order) for n, place in known])
        if order != "last":
            range_links(view, range_of(view, "7d"))
    filters(view, [Filter("user", view.t("user"))], keep=())
    if not rows:
        with card():
            asked = view.query.get("user") or order != "last"
            title = view.t("nothing_found") if asked else view.t("none_title")
            empty(view, title, view.t("none_text"), command=_COMMAND)
        return
    with card(classes="flush"):
        Table(view.t("title"), _columns(view), [_row(view, one) for one in rows])
    pages(view, following, csv=view.link("/sessions.csv", user=view.query.get("user")) if order == "last" else "")


async def _read(view: View, order: str) -> tuple[list[SessionRow], str | None]:
    user = view.query.get("user") or None
    if order == "last" or user:
        page = await list_sessions(view.database, user=user, after=view.query.get("after"))
        return page.sessions, page.next
    chosen = range_of(view, "7d")
    leading = await top(view.database, "session", order, since=chosen.since, until=chosen.until, n=50)
    known = await some_sessions(view.database, [one.name for one in leading])
    return [known[one.name] for one in leading if one.name in known], None


def _columns(view: View) -> list[Column]:
    t = view.t
    return [
        Column("session", t("session")), Column("last", t("last"), "when"), Column("calls", t("calls"), "number"),
        Column("failed", t("failed"), "number"), Column("lasted", t("lasted"), "number", wide=True),
        Column("cost", t("cost"), "number"), Column("judged", t("judged"), "badge", wide=True),
    ]  # fmt: skip


def _row(view: View, one: SessionRow) -> Row:
    t = view.t
    sub = " · ".join(filter(None, (one.user, ", ".join(one.routes[:3]))))
    tone = "" if one.mean is None else "good" if one.mean >= 0.5 else "bad"
    cells: dict[str, str | Cell] = {
        "session": Cell(one.session, sub=sub),
        "last": Cell("", at=one.last_at.timestamp()),
        "calls": t.number(one.calls),
        "failed": Cell(t.number(one.failed) if one.failed else "–", tone="bad" if one.failed else "dim"),
        "lasted": t.seconds((one.last_at - one.first_at).total_seconds() if one.calls > 1 else None),
        "cost": t.money(one.cost_microusd),
        "judged": Cell("" if one.mean is None else t.share(one.mean, 0), tone=tone, title=str(one.judged or "")),
    }
    return Row(cells, href=view.link("/session", id=one.session))


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    yield _HEAD
    after: str | None = None
    for _ in range(_CSV_PAGES):
        page = await list_sessions(view.database, user=view.query.get("user") or None, after=after, limit=200)
        for one in page.sessions:
            yield (
                one.session, one.first_at.isoformat(), one.last_at.isoformat(), one.calls, one.failed,
                None if one.cost_microusd is None else one.cost_microusd / 1e6, one.user, " ".join(one.routes),
                one.judged, one.mean,
            )  # fmt: skip
        after = page.next
        if after is None:
            return


PAGE = Page(
    "/sessions", "title", build, TEXTS, group="watch", letter="s", icon="sessions",
    files=(File("/sessions.csv", "sessions.csv", _rows),), teams=True,
)  # fmt: skip
