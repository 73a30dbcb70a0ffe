"""A notice: something that people should hear of, in words and in figures, and how each form of it is written."""

from __future__ import annotations

import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from comporta.errors import BadRequest
from comporta.types import JSON

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
MAX_ID_CHARS = 200
MAX_TITLE_CHARS = 300
MAX_TEXT_CHARS = 8_000
_MOST_FACTS = 50
_MAX_FACT_CHARS = 1_000


class Notice(Struct, frozen=True, omit_defaults=True):
    """One event to be told. `id` names the event: however many workers see it and send it, it is told once.

    `kind` is `rollout.rolled_back`, `prompt.deployed` …; `facts` are plain values (texts, numbers, booleans) with the
    figures that decided; `at_s` is seconds since 1970, UTC, 0 for now.
    """

    id: str
    kind: str
    title: str
    text: str = ""
    severity: Severity = "info"
    link: str | None = None
    facts: JSON = {}
    at_s: float = 0.0

    @property
    def at(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.at_s, datetime.UTC)


def checked(notice: Notice, now_s: float) -> Notice:
    """The notice as it can be kept. Raises BadRequest for one without id, kind or title; what is too long is cut."""
    for name in ("id", "kind", "title"):
        if not getattr(notice, name).strip():
            raise BadRequest(f"A notice needs its {name}.", param=name)
    if len(notice.id) > MAX_ID_CHARS:
        raise BadRequest(f"A notice's id has up to {MAX_ID_CHARS} characters.", param="id")
    if notice.severity not in SEVERITIES:
        raise BadRequest(f"severity must be one of {', '.join(SEVERITIES)}.", param="severity")
    return Notice(
        id=_storable(notice.id),
        kind=_storable(notice.kind)[:MAX_ID_CHARS],
        title=_on_one_line(_storable(notice.title))[:MAX_TITLE_CHARS],
        text=_storable(notice.text)[:MAX_TEXT_CHARS],
        severity=notice.severity,
        link=_storable(notice.link)[:2000] if notice.link else None,
        facts={_storable(str(k))[:100]: _fact(v) for k, v in list(notice.facts.items())[:_MOST_FACTS]},
        at_s=notice.at_s or now_s,
    )


def as_json(notice: Notice) -> bytes:
    """What a webhook gets: every field, the time in words."""
    return msgspec.json.encode(
        {
            "id": notice.id, "kind": notice.kind, "severity": notice.severity, "title": notice.title,
            "text": notice.text, "link": notice.link, "facts": notice.facts,
            "at": notice.at.isoformat().replace("+00:00", "Z"),
        }
    )  # fmt: skip


def as_text(notice: Notice) -> str:
    """What a mail holds: text, facts one a line, link, time."""
    parts = [notice.text] if notice.text else []
    if notice.facts:
        parts.append("\n".join(f"{name}: {shown(value)}" for name, value in notice.facts.items()))
    if notice.link:
        parts.append(notice.link)
    parts.append(f"{notice.kind}, {notice.at:%Y-%m-%d %H:%M:%S} UTC, event {notice.id}")
    return "\n\n".join(parts) + "\n"


def shown(value: object) -> str:
    """A fact as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _fact(value: object) -> object:
    """Plain values stay; anything else is told as JSON, or as text where it is none."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # JSON has no word for them.
        return value if abs(value) != float("inf") and value == value else str(value)
    if not isinstance(value, str):
        try:
            value = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, msgspec.MsgspecError):
            value = str(value)
    return _storable(value)[:_MAX_FACT_CHARS]


def _on_one_line(text: str) -> str:
    """A title is a mail's subject, where a line break would begin another header."""
    return " ".join(text.split())


def _storable(text: str) -> str:
    """What PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
