"""Draws the week: calls, sessions, scores, verdicts and reviews, seeded, more by day and on the weekend."""

from __future__ import annotations

import json
import math
import random
import time
import uuid
from collections.abc import Sequence

from msgspec import Struct

from comporta.app.demo.texts import ATTACKS, CARD, COMMENTS_BAD, COMMENTS_GOOD, SYSTEM, TOPICS, Topic
from comporta.telemetry.record import CallRecord, SpanRecord
from comporta.telemetry.review_tables import ReviewRecord
from comporta.telemetry.scores import ScoreRecord
from comporta.types import JSON, Usage

#: On every call of the demo: what it can be told and taken away by.
TAG = "demo"
DAYS = 7.0
_DAY_S = 86_400.0
#: Provider, model, dollars for a million tokens in and out, share of calls, usual seconds.
_MODELS = (
    ("openai", "gpt-4o-mini", 0.15, 0.60, 0.62, 1.1),
    ("anthropic", "claude-haiku-4-5", 1.0, 5.0, 0.26, 1.5),
    ("openai", "gpt-4o", 2.5, 10.0, 0.12, 2.6),
)
_FAILURES = (("upstream_error", "upstream", 502), ("timeout", "timeout", 504), ("rate_limit", "refused", 429))
#: One evening a provider was down for so long.
_OUTAGE_DAY, _OUTAGE_HOUR, _OUTAGE_S = 2.0, 19.0, 2400.0
#: The newer prompt answers since so many days ago, and pleases more.
_NEWER_DAYS = 3.2


class Key(Struct, frozen=True):
    """A virtual key that calls were made with."""

    id: str
    name: str
    team: str
    feature: str


class Week(Struct, frozen=True):
    """All that is put in; `outage` is when it began and ended, as unix seconds."""

    calls: list[CallRecord]
    scores: list[ScoreRecord]
    reviews: list[ReviewRecord]
    outage: tuple[float, float]


def drawn(keys: Sequence[Key], calls: int, seed: int, now_s: float | None = None) -> Week:
    """About so many calls over the week that ends now; the same for the same seed and time."""
    return _Drawing(keys, seed, time.time() if now_s is None else now_s).week(calls)


class _Drawing:
    def __init__(self, keys: Sequence[Key], seed: int, now_s: float) -> None:
        self._keys = keys
        self._draw = random.Random(seed)
        self._now_s = now_s
        begin = (now_s - _OUTAGE_DAY * _DAY_S) // _DAY_S * _DAY_S + _OUTAGE_HOUR * 3600
        self._outage = (begin, begin + _OUTAGE_S)
        self._scores: list[ScoreRecord] = []
        self._reviews: list[ReviewRecord] = []

    def week(self, calls: int) -> Week:
        made: list[CallRecord] = []
        while len(made) < calls:
            at_s = self._now_s - self._draw.random() * DAYS * _DAY_S
            if self._draw.random() < _busy(at_s):
                made += self._visit(at_s)
        return Week(made, self._scores, self._reviews, self._outage)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))

    def _visit(self, at_s: float) -> list[CallRecord]:
        """One question, or a conversation of several."""
        draw = self._draw
        # Some come often, most now and then: the first of them has a thirtieth of all.
        user = f"customer-{int(900 * draw.random() ** 2):03}"
        session = f"chat-{draw.getrandbits(28):07x}" if draw.random() < 0.45 else None
        key = draw.choices(self._keys, [5, 3, 1, 1][: len(self._keys)])[0]
        made = []
        for turn in range(draw.randint(2, 4) if session else 1):
            at = at_s + turn * draw.uniform(20, 70)
            if at < self._now_s - 2:
                made += self._turn(at, key, user, session)
        return made

    def _turn(self, at_s: float, key: Key, user: str, session: str | None) -> list[CallRecord]:
        draw = self._draw
        roll = draw.random()
        topic = draw.choices(TOPICS, [one.weight for one in TOPICS])[0]
        if roll < 0.006:
            return [self._blocked(at_s, key, user)]
        topic = CARD if roll < 0.016 else topic
        call = self._call(at_s, key, user, session, topic, draw.choice(topic.asked))
        if topic is CARD:
            self._verdict(call, "pii", "redact", "pii_detection", "input: a card number was masked")
        self._judge(call, topic)
        if topic.tool and call.outcome == "ok" and draw.random() < 0.3:
            return [call, self._summary(call)]
        return [call]

    def _call(self, at_s: float, key: Key, user: str, session: str | None, topic: Topic, asked: str) -> CallRecord:
        draw = self._draw
        provider, model, dear_in, dear_out, _, usual_s = draw.choices(_MODELS, [one[4] for one in _MODELS])[0]
        out = self._outage[0] <= at_s < self._outage[1] and provider == "openai"
        failed = draw.random() < (0.55 if out else 0.012)
        outcome, kind, status = draw.choice(_FAILURES[: 2 if out else 3]) if failed else ("ok", "ok", 200)
        hit = self._hit(topic, at_s) if not failed else ""
        duration_us = self._took_us(usual_s, hit, outcome, out)
        usage = (
            None if failed else Usage(draw.randint(380, 900), draw.choice((0, 0, 256)), 0, 0, 0, draw.randint(28, 90))
        )
        cost = None if usage is None else int(usage.input * dear_in + usage.cached * dear_in / 2)
        cost = cost if cost is None or usage is None else cost + int(usage.output * dear_out)
        route = {"chat": "support", "mail": "support-mail", "offers": "offers"}.get(key.feature, "support")
        newer = at_s > self._now_s - _NEWER_DAYS * _DAY_S
        similarity = round(draw.uniform(0.905, 0.995), 4)
        return CallRecord(
            id=self._id(), trace_id=uuid.UUID(int=draw.getrandbits(128)).hex, parent_id=None,
            request_id=uuid.UUID(int=draw.getrandbits(128)).hex, started_us=int(at_s * 1e6), duration_us=duration_us,
            first_us=None if failed else int(duration_us * draw.uniform(0.2, 0.5)), door="openai.chat", kind="chat",
            stream=draw.random() < 0.7, asked=route, route=route, variant=f"{provider}/{model}", provider=provider,
            model=model, credential="default", reply_id=f"chatcmpl-demo{draw.getrandbits(64):x}", reply_model=model,
            key_id=key.id, key_name=key.name, team=key.team, environment="production", feature=key.feature,
            tags={TAG: "true", "team": key.team, "city": draw.choice(("lisbon", "porto", "recife", "sao-paulo"))},
            user=user, session=session, usage=usage, cost_microusd=0 if hit else cost, cache=hit or "miss",
            retries=int(draw.random() < (0.5 if out else 0.02)), dropped=(), outcome=outcome, outcome_class=kind,
            status=status, error_type="api_error" if failed else None, malformed_frames=0, capture="full",
            error_message=f"The provider answered {status}." if failed else None,
            spans=_spans(duration_us, hit, outcome, provider, model), prompt=_prompt(asked),
            reply=None if failed else _reply(topic.answer), prompt_id="courier-support" if route == "support" else None,
            prompt_version=("1.3.0" if newer else "1.2.0") if route == "support" else None,
            prompt_label="production" if route == "support" else None,
            variables=json.dumps({"question": asked, "name": "Ana"}) if route == "support" else None,
            notes=_note(hit, similarity, cost),
        )  # fmt: skip

    def _hit(self, topic: Topic, at_s: float) -> str:
        """Questions for all are answered from the cache more and more, as it fills."""
        age = (at_s - (self._now_s - DAYS * _DAY_S)) / (DAYS * _DAY_S)
        if not topic.general or self._draw.random() > 0.35 + 0.4 * age:
            return ""
        return "exact" if self._draw.random() < 0.4 else "semantic"

    def _took_us(self, usual_s: float, hit: str, outcome: str, out: bool) -> int:
        draw = self._draw
        if hit:
            return draw.randint(1200, 2500) if hit == "exact" else draw.randint(4000, 9500)
        if outcome == "timeout":
            return 10_000_000 + draw.randint(0, 40_000)
        return int(usual_s * 1e6 * draw.lognormvariate(0, 0.42) * (2.4 if out else 1.0))

    def _blocked(self, at_s: float, key: Key, user: str) -> CallRecord:
        asked = self._draw.choice(ATTACKS)
        call = self._call(at_s, key, user, None, TOPICS[0], asked)
        blocked = _changed(
            call, outcome="guardrail_blocked", outcome_class="refused", status=400, usage=None, cost_microusd=None,
            cache="bypass", reply=None, first_us=None, duration_us=self._draw.randint(6000, 24_000), notes=None,
            error_type="invalid_request_error", provider=None, model=None, variant=None,
            error_message="The guard 'injection' blocked the input.",
            spans=(SpanRecord("guard", 300, 5200, 1, "block"),),
        )  # fmt: skip
        self._verdict(blocked, "injection", "block", "prompt_injection", "input: asks to forget its instructions")
        if self._draw.random() < 0.5:
            self._review(blocked, "guard", "A guard blocked this, and was not sure.")
        return blocked

    def _summary(self, parent: CallRecord) -> CallRecord:
        """A second, small call of the same trace: what was done, for the record."""
        draw = self._draw
        usage = Usage(draw.randint(120, 240), 0, 0, 0, 0, draw.randint(12, 24))
        return _changed(
            parent, id=self._id(), parent_id=parent.id, request_id=uuid.UUID(int=draw.getrandbits(128)).hex,
            started_us=parent.started_us + parent.duration_us + 4000, duration_us=draw.randint(300_000, 700_000),
            asked="summaries", route="summaries", variant="openai/gpt-4o-mini", provider="openai", model="gpt-4o-mini",
            usage=usage, cost_microusd=int(usage.input * 0.15 + usage.output * 0.6), cache="miss", retries=0,
            reply_id=f"chatcmpl-demo{draw.getrandbits(64):x}", prompt_id=None, prompt_version=None, prompt_label=None,
            variables=None, notes=None, prompt=_prompt("Sum up this conversation in one line."),
            reply=_reply("Order late; customer was told 8 minutes."), spans=(SpanRecord("attempt", 900, 280_000, 1),),
        )  # fmt: skip

    def _judge(self, call: CallRecord, topic: Topic) -> None:
        draw, at_s = self._draw, call.started_us / 1e6 + 25
        if call.outcome != "ok" or draw.random() > 0.17:
            return
        better = 0.06 if call.prompt_version == "1.3.0" else -0.05
        pleased = draw.random() < topic.pleased + better
        comment = draw.choice(COMMENTS_GOOD if pleased else COMMENTS_BAD) if draw.random() < 0.3 else None
        self._score(call, "thumbs", at_s, "boolean", float(pleased), None, "user", "app", comment)
        if comment:
            self._score(call, "comment", at_s, "text", None, comment, "user", "app", None)
        if draw.random() < 0.5:
            near = draw.betavariate(9, 1.6) if pleased else draw.betavariate(4, 3)
            self._score(call, "relevance", at_s + 4, "number", round(near, 3), None, "judge", "gpt-4o", None)
        if not pleased and draw.random() < 0.12:
            self._review(call, "feedback", "A customer was not pleased with this answer.")

    def _score(
        self, call: CallRecord, name: str, at_s: float, kind: str, number: float | None, label: str | None,
        source: str, who: str, reason: str | None,
    ) -> None:  # fmt: skip
        id = f"demo/{self._id()}"
        self._scores.append(ScoreRecord(id, name, at_s, kind, number=number, label=label, source=source, who=who,  # type: ignore[arg-type]  # drawn from the words there are
                                        reason=reason, call_id=call.id))  # fmt: skip

    def _verdict(self, call: CallRecord, guard: str, outcome: str, kind: str, reason: str) -> None:
        self._score(call, f"guard.{guard}", call.started_us / 1e6, "text", None, outcome, "guard", kind, reason)

    def _review(self, call: CallRecord, kind: str, reason: str) -> None:
        self._reviews.append(
            ReviewRecord(
                id=f"demo/{self._id()}", kind=kind, reason=reason, at_s=call.started_us / 1e6, trace_id=call.trace_id,
                call_id=call.id, route=call.route, payload={TAG: True}, user=call.user,
            )
        )  # fmt: skip


def _changed(call: CallRecord, **fields: object) -> CallRecord:
    kept: JSON = {name: getattr(call, name) for name in call.__struct_fields__}
    return CallRecord(**{**kept, **fields})


def _busy(at_s: float) -> float:
    """How likely a visit is at this time of day and week: lunch and dinner, more on the weekend."""
    hour = at_s % _DAY_S / 3600
    meal = math.exp(-(((hour - 12.5) / 1.8) ** 2)) * 0.6 + math.exp(-(((hour - 19.5) / 2.2) ** 2))
    weekend = 1.0 if time.gmtime(at_s).tm_wday >= 4 else 0.72
    return min(1.0, (0.05 + meal) * weekend)


def _note(hit: str, similarity: float, cost: int | None) -> JSON | None:
    if hit == "semantic":
        told = {"kind": "semantic", "similarity": similarity, "confidence": similarity, "saved_microusd": cost}
        return {"cache": told}
    return {"cache": {"kind": "exact", "saved_microusd": cost}} if hit else None


def _prompt(asked: str) -> str:
    messages = [
        {"role": "system", "parts": [{"type": "text", "text": SYSTEM}]},
        {"role": "user", "parts": [{"type": "text", "text": asked}]},
    ]
    return json.dumps({"wire": "openai.chat", "messages": messages}, ensure_ascii=False)


def _reply(answer: str) -> str:
    return json.dumps([{"index": 0, "text": answer, "finish": "stop"}], ensure_ascii=False)


def _spans(duration_us: int, hit: str, outcome: str, provider: str, model: str) -> tuple[SpanRecord, ...]:
    first = (
        SpanRecord("record", 20, max(duration_us - 30, 1), 0),
        SpanRecord("limit", 40, 90, 1),
        SpanRecord("spend", 150, 70, 2),
        SpanRecord("prompt", 240, 160, 3),
        SpanRecord("guard", 420, 700, 3),
    )
    if hit:
        return (*first, SpanRecord("recall", 1150, max(duration_us - 1200, 40), 4, None, {"cache": hit}))
    error = None if outcome == "ok" else outcome
    length = max(duration_us - 3000, 100)
    about = {"provider": provider, "model": model}
    return (
        *first, SpanRecord("recall", 1150, 900, 4), SpanRecord("attempt", 2100, length + 600, 4),
        SpanRecord("request", 2300, length, 5, error, about),
    )  # fmt: skip
