"""What a round of looking sees of calls and scores: bounded samples, by route, each session once."""

from __future__ import annotations

import datetime
from typing import Any

from msgspec import Struct

from comporta.feedback.findings.tables import rows
from comporta.feedback.findings.texts import answer_of, question_of, refused
from comporta.feedback.processing.answers import cut_of
from comporta.store.database import Connection
from comporta.telemetry.record import is_hit

#: Of a window of time no more calls of one route are looked at, and no more in all: an even share of them.
MOST_OF_ROUTE = 300
MOST_CALLS = 2_000
MOST_SCORES = 2_000

#: A session counts once in a window: a long conversation is no change of topics. Answers out of a cache are no news.
CALLS = """
with mine as (
    select started_at, id, route, hashtext(id::text) as drawn,
        row_number() over (partition by route, coalesce(session, id::text) order by hashtext(id::text)) as of_session
    from call
    where started_at > %(from)s and started_at <= %(to)s and outcome_class = 'ok' and kind = 'chat'
      and parent_id is null and route is not null
      and (%(routes)s::text[] is null or route = any(%(routes)s))
), drawn as (
    select *, row_number() over (partition by route order by drawn) as of_route from mine where of_session = 1
), picked as (
    select started_at, id from drawn where of_route <= %(of_route)s order by of_route limit %(most)s
)
select c.started_at, c.id::text, c.route, c.prompt_id, c.prompt_version, c.user_id, c.cost_microusd, c.cache,
    c.prompt, c.reply, c.variables,
    coalesce(c.input_tokens, 0) + coalesce(c.cached_tokens, 0) + coalesce(c.cache_write_tokens, 0)
        + coalesce(c.output_tokens, 0) + coalesce(c.reasoning_tokens, 0) as tokens
from picked join call c on c.started_at = picked.started_at and c.id = picked.id
order by c.started_at, c.id
"""
#: Scores that say how good an answer was; what only describes it is no quality.
SCORES = """
select * from (
    select s.joined_at, s.called_at, s.name, s.number, s.route, s.prompt_id, s.prompt_version, s.user_id,
        coalesce(s.call_id, s.reply_call)::text as call_id, c.prompt, c.variables
    from score s
    left join call c on c.started_at = s.called_at and c.id = coalesce(s.call_id, s.reply_call)
    where s.joined_at > %(from)s and s.joined_at <= %(to)s and s.number is not null and s.route is not null
      and s.source <> 'guard' and s.name <> 'dwell_ms' and s.name not like '%%\\_value'
      and (%(routes)s::text[] is null or s.route = any(%(routes)s))
    order by hashtext(s.id || s.name) limit %(most)s
) as picked order by joined_at
"""


class SeenCall(Struct, frozen=True):
    """A call; question and answer are None where they were not kept."""

    id: str
    at: datetime.datetime
    route: str
    prompt: str
    version: str
    user: str | None
    cost_microusd: int | None
    tokens: int
    cached: bool
    question: str | None
    answer: str | None
    refused: bool
    cut: bool


class SeenScore(Struct, frozen=True):
    """A score with the question whose answer it judges, where that was kept."""

    at: datetime.datetime
    name: str
    value: float
    route: str
    prompt: str
    version: str
    user: str | None
    call_id: str | None
    question: str | None


class Between(Struct, frozen=True):
    """A window of time, its start excluded; `routes` None for all."""

    start: datetime.datetime
    end: datetime.datetime
    routes: list[str] | None = None

    def values(self) -> dict[str, Any]:
        return {"from": self.start, "to": self.end, "routes": self.routes}


async def calls_of(connection: Connection, window: Between) -> list[SeenCall]:
    """Answered calls in their order."""
    values = window.values() | {"of_route": MOST_OF_ROUTE, "most": MOST_CALLS}
    return [_call(row) for row in await rows(connection, CALLS, values)]


async def scores_of(connection: Connection, window: Between) -> list[SeenScore]:
    """Scores that found their call in that time, in the order in which they did."""
    found = await rows(connection, SCORES, window.values() | {"most": MOST_SCORES})
    return [
        SeenScore(
            row["called_at"] or row["joined_at"], row["name"], row["number"], row["route"], row["prompt_id"] or "",
            row["prompt_version"] or "", row["user_id"], row["call_id"], question_of(row["prompt"], row["variables"]),
        )
        for row in found
    ]  # fmt: skip


def _call(row: dict[str, Any]) -> SeenCall:
    return SeenCall(
        row["id"], row["started_at"], row["route"], row["prompt_id"] or "", row["prompt_version"] or "",
        row["user_id"], row["cost_microusd"], row["tokens"], is_hit(row["cache"]),
        question_of(row["prompt"], row["variables"]), answer_of(row["reply"]), refused(row["reply"]),
        cut_of(row["reply"]),
    )  # fmt: skip
