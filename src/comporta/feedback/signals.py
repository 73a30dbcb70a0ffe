"""What applications tell by usual names: thumbs, ratings, comments; what users did; and the scores that each makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.telemetry.scores import MAX_TEXT_CHARS
from comporta.types import Source

_MOST_MS = 1e12
_UP = ("up", "thumbs_up", "yes", "👍")
_DOWN = ("down", "thumbs_down", "no", "👎")


class Draft(Struct, frozen=True):
    """A score to be: without what was judged and by whom."""

    name: str
    value: float | bool | str
    source: Source
    reason: str | None = None
    #: Whether there is one of it for each judge and what is judged, so that saying it again changes one's mind.
    once: bool = True


Read = Callable[[Any, str], bool | float | str]


class Signal(Struct, frozen=True):
    """A usual name: how its value is read, and who speaks by it."""

    name: str
    read: Read
    source: Source
    once: bool = True
    #: Whether a number or an object with `value` says how much it was worth: a second score, `<name>_value`.
    worth: bool = False


def _thumbs(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (1, -1):
        return value > 0
    if isinstance(value, str) and value.lower() in (*_UP, *_DOWN):
        return value.lower() in _UP
    raise _wrong(path, 'true, false, "up", "down", 1 or -1')


def _thumbs_down(value: Any, path: str) -> bool:
    return not _truth(value, path)


def _rating(value: Any, path: str) -> float:
    number = _number(value, path)
    if not 1 <= number <= 5:
        raise _wrong(path, "a number from 1 to 5")
    return number


def _milliseconds(value: Any, path: str) -> float:
    number = _number(value, path)
    if not 0 <= number <= _MOST_MS:
        raise _wrong(path, "a number of milliseconds, 0 or more")
    return number


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, "a text that is not empty")
    if len(value) > MAX_TEXT_CHARS:
        raise BadRequest(f"{path} has {len(value)} characters; at most {MAX_TEXT_CHARS} are kept.", param=path)
    return value


def _truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "true or false")
    return value


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(path, "a number")
    return float(value)


def _wrong(path: str, wanted: str) -> BadRequest:
    return BadRequest(f"{path} must be {wanted}.", param=path)


_THUMBS = Signal("thumbs", _thumbs, "user")
_RATING = Signal("rating", _rating, "user")
_COMMENT = Signal("comment", _text, "user", once=False)
_CORRECTION = Signal("correction", _text, "user")
_DWELL = Signal("dwell_ms", _milliseconds, "behaviour")
_COPIED = Signal("copied", _truth, "behaviour")
_FOLLOW_UP = Signal("follow_up", _truth, "behaviour")
_ABANDONED = Signal("abandoned", _truth, "behaviour")
_COMPLETED = Signal("task_completed", _truth, "behaviour", worth=True)
_CONVERTED = Signal("converted", _truth, "behaviour", worth=True)

#: By every name that they are told by; the score has the signal's own.
SIGNALS: Mapping[str, Signal] = {
    **{one.name: one for one in (
        _THUMBS, _RATING, _COMMENT, _CORRECTION, _DWELL, _COPIED, _FOLLOW_UP, _ABANDONED, _COMPLETED, _CONVERTED,
    )},
    "thumbs_up_down": _THUMBS,
    "thumbs_up": Signal("thumbs", _truth, "user"),
    "thumbs_down": Signal("thumbs", _thumbs_down, "user"),
    "rating_scale": _RATING,
    "comment_box": _COMMENT,
    "correction_suggestion": _CORRECTION,
    "dwell_time": _DWELL,
    "copy_action": _COPIED,
    "follow_up_question": _FOLLOW_UP,
    "abandonment": _ABANDONED,
    "task_completion": _COMPLETED,
    "downstream_conversion": _CONVERTED,
}  # fmt: skip


def drafts_of(signal: Signal, value: Any, path: str, reason: str | None) -> list[Draft]:
    """The scores that a signal makes: one, or two where it says what it was worth. Raises BadRequest."""
    if signal.worth and not isinstance(value, bool):
        worth = _number(value.get("value") if isinstance(value, dict) else value, path)
        return [
            Draft(signal.name, True, signal.source, reason, signal.once),
            Draft(f"{signal.name}_value", worth, signal.source, None, signal.once),
        ]
    if signal is _FOLLOW_UP and isinstance(value, str):
        # The question itself says that there was one, and why.
        return [Draft(signal.name, True, signal.source, _text(value, path), signal.once)]
    said = signal.read(value, path)
    # Words need no further words for a reason.
    return [Draft(signal.name, said, signal.source, None if isinstance(said, str) else reason, signal.once)]
