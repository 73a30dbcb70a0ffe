"""A week of records for pages to show: put in by the same code that ships them, drawn from a seed."""

from __future__ import annotations

import asyncio
import datetime
import json
import random
import sys
import time
import uuid

from comporta.store.database import Database
from comporta.telemetry import partitions, score_tables, tables
from comporta.telemetry.record import CallRecord, SpanRecord
from comporta.telemetry.scores import ScoreRecord
from comporta.types import Usage

_MODELS = (
    ("openai", "gpt-4o-mini", 150, 600),
    ("openai", "gpt-4o", 2500, 10_000),
    ("anthropic", "claude-sonnet", 3000, 15_000),
)
_ROUTES = ("support", "summaries", "search")
_TEAMS = (("care", "chat"), ("care", "mail"), ("growth", "offers"), ("ops", "routes"))
_ASKED = (
    "Where is my order?", "The soup arrived cold and I want my money back.", "Can I change the address?",
    "Cadê meu pedido? Já passou uma hora.", "Which dishes are vegan?", "My coupon does not work.",
)  # fmt: skip
_FAILURES = (
    ("upstream_error", "upstream", 502),
    ("timeout", "timeout", 504),
    ("guardrail_blocked", "refused", 400),
    ("rate_limit", "refused", 429),
)


class Filler:
    """Makes records; `hostile` stands in the texts that users type, to see what a page makes of it."""

    def __init__(self, seed: int = 1, hostile: str = "") -> None:
        self._draw = random.Random(seed)
        self._hostile = hostile
        self.traces: list[str] = []

    def call(
        self, at_s: float, *, trace: str | None = None, session: str | None = None, parent: str | None = None
    ) -> CallRecord:
        draw = self._draw
        provider, model, price_in, price_out = _MODELS[min(int(draw.paretovariate(1.6)) - 1, 2)]
        team, feature = draw.choice(_TEAMS)
        failed = draw.random() < 0.03
        outcome, kind, status = draw.choice(_FAILURES) if failed else ("ok", "ok", 200)
        hit = not failed and draw.random() < 0.22
        duration_us = int(draw.lognormvariate(13.4, 0.5)) if not hit else draw.randint(1500, 9000)
        usage = (
            None if failed else Usage(draw.randint(200, 1800), draw.choice((0, 0, 900)), 0, 0, 0, draw.randint(30, 500))
        )
        cost = None if usage is None else 0 if hit else (usage.input * price_in + usage.output * price_out) // 1000
        asked = draw.choice(_ASKED) + self._hostile
        trace = trace or uuid.UUID(int=draw.getrandbits(128)).hex
        self.traces.append(trace)
        route = draw.choice(_ROUTES)
        prompted = route == "support"
        return CallRecord(
            id=str(uuid.UUID(int=draw.getrandbits(128), version=4)), trace_id=trace, parent_id=parent,
            request_id=uuid.UUID(int=draw.getrandbits(128)).hex, started_us=int(at_s * 1e6), duration_us=duration_us,
            first_us=None if failed else duration_us // 3, door="openai.chat", kind="chat", stream=draw.random() < 0.6,
            asked=route, route=route, variant=f"{provider}/{model}", provider=provider, model=model,
            credential="default", reply_id=f"chatcmpl-{draw.getrandbits(64):x}", reply_model=model,
            key_id=f"key-{team}", key_name=f"{team}-backend{self._hostile}", team=team, environment="production",
            feature=feature,
            tags={"team": team, "note": f"x{self._hostile}"}, user=f"user-{draw.randint(1, 60)}", session=session,
            usage=usage, cost_microusd=cost, cache=draw.choice(("exact", "semantic")) if hit else "miss",
            retries=int(draw.random() < 0.05), dropped=(), outcome=outcome, outcome_class=kind, status=status,
            error_type=None if not failed else "api_error", malformed_frames=0, capture="full",
            error_message=f"The provider answered {status}." if failed else None,
            spans=_spans(duration_us, hit, failed, provider), prompt=_prompt(asked),
            reply=None if failed else _reply(self._hostile), prompt_id="support-answer" if prompted else None,
            prompt_version=draw.choice(("1.2.0", "1.3.0")) if prompted else None,
            prompt_label="production" if prompted else None,
            variables=json.dumps({"name": "Ana"}) if prompted else None,
            notes={"cache": {"kind": "semantic", "similarity": 0.947, "saved_microusd": 900}} if hit else None,
        )  # fmt: skip

    def score(self, call: CallRecord) -> ScoreRecord | None:
        draw = self._draw
        at_s = call.started_us / 1e6 + 20
        if call.outcome == "guardrail_blocked":
            reason = "input: asks to forget its instructions"
            return ScoreRecord(f"g-{call.id}", "guard.injection", at_s, "text", "guard", label="block",
                               who="prompt_injection", reason=reason, call_id=call.id)  # fmt: skip
        if draw.random() > 0.15:
            return None
        return ScoreRecord(f"s-{call.id}", "thumbs", at_s, "boolean", number=float(draw.random() < 0.82), source="user",
                           who="app", reason=f"fine{self._hostile}", call_id=call.id)  # fmt: skip


def _spans(duration_us: int, hit: bool, failed: bool, provider: str) -> tuple[SpanRecord, ...]:
    stages = [
        SpanRecord("record", 20, duration_us - 30, 0),
        SpanRecord("limit", 40, 90, 1),
        SpanRecord("guard", 140, 700, 2),
    ]
    if hit:
        return (*stages, SpanRecord("recall", 900, max(duration_us - 1000, 400), 3, None, {"similarity": 0.947}))
    request = SpanRecord(
        "request", 2900, duration_us - 3000, 5, "upstream_error" if failed else None, {"provider": provider}
    )
    return (*stages, SpanRecord("recall", 2400, 350, 3), SpanRecord("attempt", 2800, duration_us - 2900, 4), request)


def _prompt(asked: str) -> str:
    system = "You answer customers of a delivery app. Be brief."
    tool = {"type": "tool_call", "id": "t1", "name": "find_order", "arguments": '{"order": 4711}'}
    result = {"type": "tool_result", "id": "t1", "parts": [{"type": "text", "text": "on its way, 8 minutes"}]}
    return json.dumps({"wire": "openai.chat", "messages": [
        {"role": "system", "parts": [{"type": "text", "text": system}]},
        {"role": "user", "parts": [{"type": "text", "text": asked}]},
        {"role": "assistant", "parts": [tool]},
        {"role": "tool", "parts": [result]},
    ]})  # fmt: skip


def _reply(hostile: str) -> str:
    return json.dumps(
        [{"index": 0, "text": f"Your order is on its way and will be there in 8 minutes.{hostile}", "finish": "stop"}]
    )


def drawn(filler: Filler, calls: int, days: float, seed: int = 7) -> list[CallRecord]:
    """Calls over the last days, more by day than by night, some of them in sessions of a few."""
    draw, now_s, made = random.Random(seed), time.time(), list[CallRecord]()
    while len(made) < calls:
        at_s = now_s - draw.random() * days * 86_400
        if draw.random() > 0.35 + 0.65 * (abs(time.gmtime(at_s).tm_hour - 12) < 7):
            continue
        session = f"chat-{draw.getrandbits(24):x}" if draw.random() < 0.4 else None
        for turn in range(draw.randint(2, 5) if session else 1):
            at = min(at_s + turn * 45, now_s - 2)
            trace = uuid.UUID(int=draw.getrandbits(128)).hex
            first = filler.call(at, trace=trace, session=session)
            made.append(first)
            if draw.random() < 0.15:
                made.append(filler.call(at + 0.4, trace=trace, session=session, parent=first.id))
    return made


async def fill(database: Database, calls: list[CallRecord], filler: Filler) -> None:
    """Put calls and their scores in."""
    days = {datetime.datetime.fromtimestamp(one.started_us / 1e6, datetime.UTC).date() for one in calls}
    await partitions.ensure_days(database, days)
    for start in range(0, len(calls), 500):
        async with database.connection() as connection:
            await tables.insert(connection, calls[start : start + 500])
    scores = [score for one in calls if (score := filler.score(one))]
    async with database.connection() as connection:
        await score_tables.insert(connection, scores)
    async with database.connection() as connection:
        await score_tables.join(connection, len(scores) + 10)


async def _main() -> None:
    filler = Filler()
    async with Database(sys.argv[1]) as database:
        await fill(database, drawn(filler, int(sys.argv[2]), float(sys.argv[3])), filler)


if __name__ == "__main__":
    asyncio.run(_main())
