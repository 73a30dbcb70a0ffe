"""Reads what is said of an answer: what is judged, by whom, when, and the scores that it makes."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.feedback.signals import SIGNALS, Draft, drafts_of
from comporta.telemetry.scores import MAX_ID_CHARS, SOURCES, call_of_reply
from comporta.types import Score, Source

MOST_SCORES = 50
#: Clocks of applications go wrong by so much; and feedback that waited on a phone may come so late.
_AHEAD_S = 300.0
_LATE_S = 31 * 86_400.0

#: What a reply's id is called, by the wire that the application speaks.
_REPLY = ("completion_id", "reply_id", "response_id", "message_id")
_PLAIN = ("id", "who", "source", "reason", "at", "name", "value", "scores")
FIELDS = frozenset({"trace_id", "call_id", *_REPLY, *_PLAIN, *SIGNALS})
_OF_ONE = frozenset({"id", "name", "value", "source", "reason", *SIGNALS})


class Said(Struct, frozen=True):
    """What was judged (one of the three at least), and the scores, each with its id, source, judge and time."""

    trace_id: str
    call_id: str | None
    reply_id: str | None
    scores: tuple[Score, ...]


def read(body: Any, who: str, now_s: float, key: str | None = None) -> Said:
    """What a body says. `who` judges where the body names nobody; `key` (an Idempotency-Key) is the id it lacks.

    Raises BadRequest that names the field. Nothing of a body with a mistake is taken.
    """
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", param=None)
    _known(body, FIELDS, "")
    trace_id, call_id, reply_id = judged(body)
    who = _word(body, "who") or who
    at_s = _moment(body.get("at"), now_s)
    place = hashlib.sha256("\0".join((*_place(trace_id, call_id, reply_id), who)).encode()).hexdigest()
    scores = []
    for id, draft in _drafts(body, key):
        own = id or (f"once-{place[:40]}" if draft.once else "")
        scores.append(Score(own, trace_id, call_id, draft.name, draft.value, draft.source, draft.reason, at_s, who))
    return Said(trace_id, call_id, reply_id, tuple(scores))


def _place(trace_id: str, call_id: str | None, reply_id: str | None) -> tuple[str, str, str]:
    """What names the answer best: the same, whether it was named by its call or by an id that a door made of that."""
    call = call_id or (call_of_reply(reply_id) if reply_id else None)
    if call:
        return call, "", ""
    return ("", reply_id, "") if reply_id else ("", "", trace_id)


def judged(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Trace, call and reply. Raises BadRequest where none of them is named, or one is no id."""
    replies = [name for name in _REPLY if body.get(name) is not None]
    if len(replies) > 1:
        raise BadRequest(f"{' and '.join(replies)} mean the same: give one of them.", param=replies[1])
    reply_id = _word(body, replies[0]) if replies else None
    trace_id, call_id = _word(body, "trace_id") or "", _call_id(body)
    if not (trace_id or call_id or reply_id):
        raise BadRequest(
            "Say what is judged: trace_id, call_id (as `x-comporta-call` told it) or completion_id (the answer's id).",
            param="trace_id",
        )
    return trace_id, call_id, reply_id


def _call_id(body: Mapping[str, Any]) -> str | None:
    text = _word(body, "call_id")
    try:
        return None if text is None else str(uuid.UUID(text))
    except ValueError:
        raise BadRequest("call_id must be a call's id, as `x-comporta-call` told it.", param="call_id") from None


def _drafts(body: Mapping[str, Any], key: str | None) -> list[tuple[str, Draft]]:
    """Every score of the body, with its id where it was given one."""
    id = _word(body, "id") or _key(key) or ""
    found = [(id, draft) for draft in _one(body, "")]
    listed = body.get("scores")
    if listed is not None and not isinstance(listed, list):
        raise BadRequest("scores must be a list.", param="scores")
    for n, entry in enumerate(listed or ()):
        path = f"scores[{n}]."
        if not isinstance(entry, dict):
            raise BadRequest(f"scores[{n}] must be an object.", param=f"scores[{n}]")
        _known(entry, _OF_ONE, path)
        drafts = _one(entry, path, body)
        if not drafts:
            raise BadRequest(f"scores[{n}] holds no judgement: give it a name and a value.", param=f"scores[{n}]")
        own = _word(entry, "id", path) or (f"{id}#{n}"[-MAX_ID_CHARS:] if id else "")
        found += [(own, draft) for draft in drafts]
    if not found:
        raise BadRequest(
            "The body holds no judgement: give thumbs, rating, comment …, or a name with a value.", param="value"
        )
    if len(found) > MOST_SCORES:
        raise BadRequest(f"The body holds {len(found)} scores; at most {MOST_SCORES} go at once.", param="scores")
    return found


def _one(said: Mapping[str, Any], path: str, around: Mapping[str, Any] | None = None) -> list[Draft]:
    """The drafts of one object; what it does not say itself is said `around` it."""
    outer = around or {}
    reason = _text(said, "reason", path) or _text(outer, "reason", "")
    source = _source(said, path) or _source(outer, "")
    drafts = []
    for name, value in said.items():
        if name in SIGNALS and value is not None:
            drafts += drafts_of(SIGNALS[name], value, path + name, reason)
    if said.get("name") is not None or said.get("value") is not None:
        drafts += _named(said, path, reason)
    names = [draft.name for draft in drafts]
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"{path}{name} is said more than once.", param=path + name)
    return [Draft(d.name, d.value, source or d.source, d.reason, d.once) for d in drafts]


def _named(said: Mapping[str, Any], path: str, reason: str | None) -> list[Draft]:
    """A score by any name; one of the usual names is read as that."""
    name, value = _word(said, "name", path), said.get("value")
    if name is None or value is None:
        missing = "name" if name is None else "value"
        raise BadRequest(f"{path}{missing} is missing: a score has a name and a value.", param=path + missing)
    if name in SIGNALS:
        return drafts_of(SIGNALS[name], value, f"{path}value", reason)
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise BadRequest(f"{path}value must be a number, true, false, or a text.", param=f"{path}value")
    # Larger numbers than these have no place in a float.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**63:
        raise BadRequest(f"{path}value is too large a number.", param=f"{path}value")
    return [Draft(name, value, "user", reason, once=False)]


def _known(said: Mapping[str, Any], fields: frozenset[str], path: str) -> None:
    for name in said:
        if name not in fields:
            shown = "".join(c for c in str(name)[:50] if c.isprintable())
            raise BadRequest(
                f"There is no field '{path}{shown}' in feedback. A score of your own goes in as name and value.",
                param=path + shown,
            )


def _word(said: Mapping[str, Any], name: str, path: str = "") -> str | None:
    """An id or a name: a text of bounded length; None where it is left out."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > MAX_ID_CHARS:
        raise BadRequest(f"{path}{name} must be a text of 1 to {MAX_ID_CHARS} characters.", param=path + name)
    return value.strip()


def _text(said: Mapping[str, Any], name: str, path: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{path}{name} must be a text.", param=path + name)
    return value or None


def _source(said: Mapping[str, Any], path: str) -> Source | None:
    value = said.get("source")
    if value is None:
        return None
    if value not in SOURCES:
        raise BadRequest(f"{path}source must be one of {', '.join(SOURCES)}.", param=f"{path}source")
    return cast(Source, value)


def _key(key: str | None) -> str | None:
    if key is None or not key.strip():
        return None
    if len(key) > MAX_ID_CHARS - 10 or not key.isprintable():
        raise BadRequest(f"Idempotency-Key has up to {MAX_ID_CHARS - 10} characters that can be shown.")
    return f"key-{key.strip()}"


def _moment(value: Any, now_s: float) -> float:
    """When it was judged, in seconds since 1970; now where that is left out."""
    if value is None:
        return now_s
    at_s = _seconds(value)
    if at_s is None:
        raise BadRequest("at must be a time with its zone (2027-01-31T12:00:00Z) or seconds since 1970.", param="at")
    if not now_s - _LATE_S <= at_s <= now_s + _AHEAD_S:
        raise BadRequest("at lies in the future, or more than 31 days back.", param="at")
    return at_s


def _seconds(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e15 else None
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return None if at.tzinfo is None else at.timestamp()
    except (ValueError, OverflowError):
        return None
