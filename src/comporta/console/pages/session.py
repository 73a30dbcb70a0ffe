"""One session: the conversation on one page, with what each turn cost and how it was judged."""

from __future__ import annotations

import asyncio

from comporta.console.messages import Said, conversation
from comporta.console.page import Page
from comporta.console.pages.calls import tone_of
from comporta.console.parts.chat import chat
from comporta.console.parts.components import When
from comporta.console.parts.pieces import badge, card, facts, head, notice
from comporta.console.parts.scores import score_badge, score_list
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import NotFound
from comporta.telemetry.score_reads import ScoreRow, list_scores
from comporta.telemetry.session_reads import SessionRow, Turn, read_turns, some_sessions

TEXTS: Texts = {
    "title": ("Session", "Sessão"),
    "none": ("There is no session {id}, or it is past retention.", "Não há sessão {id}, ou passou da retenção."),
    "earlier": ("Earlier turns", "Turnos anteriores"),
    "whole": ("The whole session", "A sessão inteira"),
    "calls": ("Calls", "Chamadas"),
    "failed": ("Failed", "Falhas"),
    "cost": ("Cost", "Custo"),
    "unpriced": ("without a price", "sem preço"),
    "first": ("First call", "Primeira chamada"),
    "last": ("Last call", "Última chamada"),
    "model_time": ("Time of models", "Tempo dos modelos"),
    "user": ("User", "Usuário"),
    "routes": ("Routes", "Rotas"),
    "scores": ("Scores", "Notas"),
    "no_scores": ("Nothing was judged.", "Nada foi avaliado."),
    "no_content": ("No content is kept of this call.", "Nenhum conteúdo foi guardado desta chamada."),
    "trace": ("Trace", "Rastro"),
}
_TURNS = 30


async def build(view: View) -> None:
    """`?id=` names the session; the last turns first come, and older ones by `?after=`."""
    name = view.query.get("id", "")
    known, page, scores = await asyncio.gather(
        some_sessions(view.database, [name]),
        read_turns(view.database, name, after=view.query.get("after"), limit=_TURNS),
        list_scores(view.database, filters={"session": name}, limit=200),
    )
    session = known.get(name)
    if session is None:
        raise NotFound(view.t("none", id=name[:100]))
    with head(view.t("title"), session.session):
        tag("span.figure__value", view.t.money(session.cost_microusd))
    with tag("div.halves"):
        with card():
            if page.next:
                tag("a.button", view.t("earlier"), href=view.link(after=page.next), data_key="older")
            by_call: dict[str, list[ScoreRow]] = {}
            for score in scores.scores:
                by_call.setdefault(score.call_id or "", []).append(score)
            for turn in page.turns:
                _turn(view, turn, by_call.get(turn.call.id, []))
        with tag("div.rail"):
            _whole(view, session)
            _scores(view, scores.scores)


def _turn(view: View, turn: Turn, scores: list[ScoreRow]) -> None:
    call = turn.call
    with tag("section.turn"):
        with tag("div.turn__head"):
            with tag("div.chips"):
                When(call.started_at.timestamp(), "full")
                if call.outcome_class != "ok":
                    badge(call.outcome, tone_of(call))
                for score in scores[:5]:
                    score_badge(view, score, named=True)
            with tag("div.chips"):
                tag("span.when", f"{call.model or call.asked} · {view.t.seconds(call.duration_us / 1e6)} · "
                                 f"{view.t.money(call.cost_microusd)}")  # fmt: skip
                link = view.link(f"/traces/{call.trace_id}", call=call.id)
                tag("a", view.t("trace"), href=link, data_row=True)
        said = latest(conversation(turn.prompt, turn.reply))
        if call.error_message:
            notice(call.error_message, "bad")
        if said:
            chat(view, said)
        else:
            tag("p.muted", view.t("no_content"))


def latest(said: list[Said]) -> list[Said]:
    """What is new in a turn: from the last thing that the user said on. What was before stands in earlier turns."""
    asked = [i for i, one in enumerate(said) if one.role == "user"]
    return said[asked[-1] :] if asked else said


def _whole(view: View, one: SessionRow) -> None:
    t = view.t
    unpriced = f" ({one.unpriced} {t('unpriced')})" if one.unpriced else ""
    user = one.user
    with card(t("whole")):
        facts([
            (t("calls"), t.number(one.calls)), (t("failed"), t.number(one.failed)),
            (t("cost"), t.money(one.cost_microusd) + unpriced),
            (t("model_time"), t.seconds(one.duration_us / 1e6)),
            (t("first"), lambda: When(one.first_at.timestamp(), "full")),
            (t("last"), lambda: When(one.last_at.timestamp(), "full")),
            (t("routes"), ", ".join(one.routes)),
            *([(t("user"), lambda: tag("a", user, href=view.link("/sessions", user=user)))] if user else []),
        ])  # fmt: skip


def _scores(view: View, scores: list[ScoreRow]) -> None:
    with card(view.t("scores")):
        if not scores:
            tag("p.muted", view.t("no_scores"))
            return
        score_list(view, scores[:20])


PAGE = Page("/session", "title", build, TEXTS, icon="sessions", parent="/sessions", teams=True)
