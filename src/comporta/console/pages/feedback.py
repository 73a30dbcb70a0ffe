"""Feedback: how pleased people are, what they say, what complaints are about, and what has changed by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from comporta.console.exporting import SCORE_HEAD, scores
from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, go, text
from comporta.console.parts.choosing import Filter, filters, range_links, range_of
from comporta.console.parts.components import Chart, Line, Mark, When
from comporta.console.parts.pieces import badge, card, empty, facts, figure, head
from comporta.console.parts.scores import score_badge
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.feedback.findings.reads import clusters, get_finding, list_findings, set_state, trends
from comporta.feedback.findings.shapes import Cluster, ExampleCall, Finding, State, Trend
from comporta.telemetry.score_reads import ScoreRow, list_scores
from comporta.telemetry.series import Series, series

TEXTS: Texts = {
    "title": ("Feedback", "Feedback"),
    "finding": ("Finding", "Achado"),
    "user_satisfaction": ("Satisfaction", "Satisfação"),
    "thumbs_up_ratio": ("Thumbs up", "Polegares para cima"),
    "correction_rate": ("Corrections", "Correções"),
    "over_time": ("Satisfaction over time", "Satisfação ao longo do tempo"),
    "said": ("What was said", "O que foi dito"),
    "nothing_said": ("No comment in this time.", "Nenhum comentário neste período."),
    "complaints": ("Complaints alike", "Reclamações parecidas"),
    "no_complaints": (
        "Comments that complain are gathered here by what they are about.",
        "Comentários que reclamam são reunidos aqui por assunto.",
    ),
    "of_all": ("{n}, {share} of all", "{n}, {share} do total"),
    "changed": ("What changed by itself", "O que mudou sozinho"),
    "nothing_changed": (
        "No drift, no anomaly: shifts of questions, answers, costs and scores stand here with examples.",
        "Sem desvio nem anomalia: mudanças de perguntas, respostas, custos e notas ficam aqui com exemplos.",
    ),
    "trends": ("By week", "Por semana"),
    "rising": ("rising", "subindo"),
    "falling": ("falling", "caindo"),
    "steady": ("steady", "estável"),
    "unknown": ("too early to tell", "cedo para dizer"),
    "mood": ("mood of comments", "tom dos comentários"),
    "route": ("Route", "Rota"),
    "prompt": ("Prompt", "Prompt"),
    "since": ("Since about", "Desde cerca de"),
    "found": ("Found", "Achado"),
    "before": ("Before", "Antes"),
    "after": ("After", "Depois"),
    "size": ("How much", "Quanto"),
    "compared": ("Compared", "Comparadas"),
    "examples": ("Calls that show it", "Chamadas que mostram isso"),
    "acts": ("What was done", "O que foi feito"),
    "state": ("State", "Estado"),
    "open": ("open", "aberto"),
    "acknowledged": ("seen", "visto"),
    "closed": ("over", "encerrado"),
    "to_acknowledged": ("Seen", "Visto"),
    "to_closed": ("It is over", "Encerrar"),
    "to_open": ("Open again", "Reabrir"),
    "note": ("Note", "Nota"),
    "review": ("To the review queue", "Para a fila de revisão"),
    "none_title": ("Nobody has judged anything yet", "Ninguém avaliou nada ainda"),
    "none_text": (
        "Thumbs, ratings, comments and what users do after an answer stand here, with what complaints are about, "
        "trends by week, and drift.",
        "Polegares, notas, comentários e o que os usuários fazem depois de uma resposta ficam aqui, com o assunto das "
        "reclamações, tendências por semana e desvios.",
    ),
}  # fmt: skip
_FIGURES = ("user_satisfaction", "thumbs_up_ratio", "correction_rate")
_TONES = {"open": "bad", "acknowledged": "warn", "closed": "dim"}
_WAYS = {"rising": "good", "falling": "bad", "steady": "dim", "unknown": "dim"}
_COMMENTS, _FINDINGS, _TRENDS = 12, 8, 8
_COMMAND = "comporta feedback send --call CALL_ID --thumbs up"


async def build(view: View) -> None:
    """Over `?range=`, of `?route=`."""
    chosen, base = range_of(view, "7d"), view.database
    route = view.query.get("route") or None
    narrowed = {"route": route} if route else {}
    over_time, comments, alike, weeks, found = await asyncio.gather(
        series(base, _FIGURES, since=chosen.since, until=chosen.until, step_s=chosen.step_s, filters=narrowed),
        list_scores(base, filters={"name": "comment", **narrowed}, since=chosen.since, until=chosen.until,
                    limit=_COMMENTS),
        clusters(base, route=route, since=chosen.since, until=chosen.until, limit=8),
        trends(base, route=route, weeks=8),
        list_findings(base, filters=narrowed, limit=_FINDINGS),
    )  # fmt: skip
    judged = any(value is not None for value in over_time.lines[0].total.values())
    with head(view.t("title")):
        filters(view, [Filter("route", view.t("route"))])
        if not view.bound:
            tag("a.button", view.t("review"), href="/review")
        tag("a.button", view.t("csv"), href=view.link("/feedback.csv", route=route, range=chosen.name), download=True)
        range_links(view, chosen)
    if not (judged or comments.scores or found.findings or weeks):
        with card():
            empty(view, view.t("none_title"), view.t("none_text"), command=_COMMAND)
        return
    _figures(view, over_time, found.findings)
    with tag("div.halves"):
        # Findings and titles of complaints are made of what users of all teams ask and say.
        if not view.bound:
            with tag("div.rail"):
                _findings(view, found.findings)
                _clusters(view, alike)
        with tag("div.rail"):
            _trends(view, weeks)
            _comments(view, comments.scores)


def _figures(view: View, over_time: Series, found: Sequence[Finding]) -> None:
    line, t = over_time.lines[0], view.t
    with tag("div.figures"):
        for name in _FIGURES:
            figure(view, t(name), t.share(line.total[name]), values=line.points[name], tone="olive")
    marks = [Mark(one.since.timestamp(), one.title, "bad") for one in found]
    times = [at.timestamp() for at in over_time.times]
    drawn = [Line(t("user_satisfaction"), line.points["user_satisfaction"], "area", "olive")]
    with card(t("over_time")):
        Chart(t("over_time"), times, drawn, unit="share", marks=marks, locale=t.locale, height_px=200)


def _findings(view: View, found: Sequence[Finding]) -> None:
    t = view.t
    with card(t("changed")):
        if not found:
            tag("p.muted", t("nothing_changed"))
        with tag("ol.events"):
            for one in found:
                with tag("li.events__one"):
                    badge(one.kind.replace("_", " "), _TONES[one.state])
                    with tag("span.events__text"):
                        tag("a", one.title, href=view.link("/feedback/finding", id=one.id))
                        tag("div.muted", " · ".join(filter(None, (one.route, _version(one)))))
                    When(one.found_at.timestamp())


def _version(one: Finding) -> str:
    return f"{one.prompt_id}@{one.prompt_version or '–'}" if one.prompt_id else ""


def _clusters(view: View, alike: Sequence[Cluster]) -> None:
    t = view.t
    with card(t("complaints")):
        if not alike:
            tag("p.muted", t("no_complaints"))
        for one in alike:
            with tag("div.turn"):
                with tag("div.row.spread"):
                    tag("strong", one.title)
                    tag("span.when", t("of_all", n=t.number(one.complaints), share=t.share(one.share, 0)))
                for said in one.examples:
                    place = view.link(f"/traces/{said.trace_id}", call=said.call_id) if said.trace_id else None
                    tag("a.chat__text" if place else "div.chat__text", said.text, href=place)


def _trends(view: View, weeks: Sequence[Trend]) -> None:
    t = view.t
    if not weeks:
        return
    with card(t("trends")), tag("ol.events"):
        for one in weeks[:_TRENDS]:
            with tag("li.events__one"):
                badge(t(one.direction), _WAYS[one.direction])
                tag("span.events__text", t("mood") if one.name == "mood" else one.name)
                if one.weeks:
                    tag("span.when", f"{t.number(one.weeks[-1].mean, 2)} · n {t.number(one.weeks[-1].n)}")


def _comments(view: View, comments: Sequence[ScoreRow]) -> None:
    with card(view.t("said")):
        if not comments:
            tag("p.muted", view.t("nothing_said"))
        with tag("ol.events"):
            for one in comments:
                with tag("li.events__one"):
                    with tag("span.events__text"):
                        place = view.link(f"/traces/{one.trace_id}", call=one.call_id) if one.trace_id else None
                        tag("a" if place else "span", str(one.value), href=place)
                        tag("div.muted", " · ".join(filter(None, (one.route, one.user))))
                    if not isinstance(one.value, str):
                        score_badge(view, one)
                    When(one.at.timestamp())


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    """What users and reviewers said."""
    yield SCORE_HEAD
    route = view.query.get("route")
    for source in ("user", "human"):
        filters = {"source": source, **({"route": route} if route else {})}
        async for row in scores(view, range_of(view, "7d"), filters):
            yield row


async def build_finding(view: View) -> None:
    """One finding: how much changed, since when, with calls that show it."""
    t = view.t
    one = await get_finding(view.database, view.query.get("id", ""))
    with head(one.title, " · ".join(filter(None, (one.kind.replace("_", " "), one.route, _version(one))))):
        badge(t(one.state), _TONES[one.state])
        for state in ("acknowledged", "closed", "open"):
            if state != one.state:
                _to(view, one, state)
    with tag("div.halves"):
        with card(t("examples")), tag("div.stack"):
            for example in one.examples:
                _example(view, example)
        with tag("div.rail"):
            with card():
                facts(_facts(view, one))
            if one.acts:
                with card(t("acts")), tag("ol.events"):
                    for act in one.acts:
                        with tag("li.events__one"):
                            badge(
                                act.action, "good" if act.state == "done" else "bad" if act.state == "failed" else "dim"
                            )
                            tag("span.events__text", act.told)
                            When(act.at.timestamp())


def _to(view: View, one: Finding, state: State) -> None:
    t = view.t

    async def change() -> None:
        fields = []

        def body() -> None:
            fields.append(text(t("note"), most=1000))

        if await ask(view, t(f"to_{state}"), body, label=t(f"to_{state}")):
            by = await view.demand_admin()
            await set_state(view.database, one.id, state, by.user, fields[0].value.strip() or None)
            go(view.link())

    button(view, t(f"to_{state}"), change)


def _facts(view: View, one: Finding) -> list[tuple[str, object]]:
    t = view.t
    number = t.number
    size = number(one.size, 3)
    if one.low is not None and one.high is not None:
        size += f" ({number(one.low, 3)} – {number(one.high, 3)})"
    pairs: list[tuple[str, object]] = [
        (t("size"), size), (t("before"), None if one.before is None else number(one.before, 3)),
        (t("after"), None if one.after is None else number(one.after, 3)),
        (t("compared"), f"{number(one.n_before)} / {number(one.n_after)}"),
        (t("since"), lambda: When(one.since.timestamp(), "full")),
        (t("found"), lambda: When(one.found_at.timestamp(), "full")), (t("note"), one.note),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def _example(view: View, one: ExampleCall) -> None:
    with tag("div.turn"):
        with tag("div.row.spread"):
            place = view.link(f"/traces/{one.trace_id}", call=one.call_id) if one.trace_id else None
            tag("a" if place else "span", one.call_id, href=place)
            When(one.at.timestamp())
        if one.input:
            tag("div.chat__text", one.input)
        if one.output:
            tag("div.chat__text.muted", one.output)


PAGE = Page(
    "/feedback", "title", build, TEXTS, group="protect", letter="f", icon="feedback",
    files=(File("/feedback.csv", "feedback.csv", _rows),), teams=True,
)  # fmt: skip
FINDING = Page("/feedback/finding", "finding", build_finding, TEXTS, icon="feedback", parent="/feedback")
