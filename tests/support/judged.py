"""Calls and scores as rows, the shortest way in."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Sequence

from comporta.store.database import Database

CALL = """
insert into call (started_at, id, trace_id, request_id, duration_us, door, kind, stream, asked, route, key_id, key_name,
    user_id, estimated, cost_microusd, output_tokens, cache, retries, outcome, outcome_class, status,
    malformed_frames, capture, prompt, reply, variables, prompt_id, prompt_version)
values (%(at)s, %(id)s::uuid, %(id)s::text, 'r', 1000, 'openai.chat', 'chat', false, 'support', %(route)s,
    'k', 'key', %(user)s,
    false, %(cost)s, 50, 'bypass', 0, 'ok', 'ok', 200, 0, 'full', %(prompt)s, %(reply)s, %(variables)s,
    'help', %(version)s)
"""
SCORE = """
insert into score (owner, id, name, at, kind, number, label, source, who, reason, call_id, trace_id, called_at,
    joined_at, route, prompt_id, prompt_version, user_id)
values ('', %(id)s, %(name)s, %(at)s, %(kind)s,
    %(number)s, %(label)s, 'user', %(who)s, %(reason)s, %(call)s::uuid, %(call)s::text,
    %(called)s, %(at)s, 'support', 'help', %(version)s, %(who)s)
"""


class Said:
    """One question with its answer, what it cost, and the values that a prompt made it of."""

    def __init__(
        self, question: str, answer: str = "You find it on the page of your orders.", cost: int = 100,
        variables: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.question, self.answer, self.cost, self.variables = question, answer, cost, variables


async def put_calls(
    database: Database, said: Sequence[Said], at: datetime.datetime, *, version: str = "1.0.0", user: str = "ana",
    route: str = "support", every_s: float = 1.0,
) -> list[str]:  # fmt: skip
    """The calls' ids, in order; the partition of the day is made."""
    ids = [str(uuid.uuid4()) for _ in said]
    values = [
        {
            "at": at + datetime.timedelta(seconds=n * every_s), "id": id, "route": route, "user": user,
            "cost": one.cost, "version": version,
            "prompt": json.dumps({"messages": [{"role": "user", "parts": [{"type": "text", "text": one.question}]}]}),
            "variables": None if one.variables is None else json.dumps(one.variables),
            "reply": json.dumps([{"index": 0, "text": one.answer, "finish": "stop"}]),
        }
        for n, (id, one) in enumerate(zip(ids, said, strict=True))
    ]  # fmt: skip
    async with database.connection() as connection:
        await connection.execute(
            "select ensure_record_partitions(%s, %s)",
            [at.date() - datetime.timedelta(1), at.date() + datetime.timedelta(1)],
        )
        async with connection.cursor() as cursor:
            await cursor.executemany(CALL, values)
    return ids


async def put_scores(
    database: Database, name: str, values: Sequence[float | bool | str], at: datetime.datetime, *,
    calls: Sequence[str] | None = None, version: str = "1.0.0", who: str = "ana",
    called: datetime.datetime | None = None, reason: str | None = None,
) -> None:  # fmt: skip
    """Scores a second apart, joined when they were judged."""
    rows = [
        {
            "id": str(uuid.uuid4()), "name": name, "at": at + datetime.timedelta(seconds=n), "who": who,
            "kind": "text" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "number",
            "number": None if isinstance(value, str) else float(value), "reason": reason,
            "label": value if isinstance(value, str) else None, "call": None if calls is None else calls[n],
            "called": None if called is None else called + datetime.timedelta(seconds=n), "version": version,
        }
        for n, value in enumerate(values)
    ]  # fmt: skip
    async with database.connection() as connection, connection.cursor() as cursor:
        await cursor.executemany(SCORE, rows)
