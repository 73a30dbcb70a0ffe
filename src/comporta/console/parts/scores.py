"""Scores as a list: what was said of a call, by whom and why."""

from __future__ import annotations

from collections.abc import Sequence

from comporta.console.parts.components import When
from comporta.console.parts.pieces import badge
from comporta.console.parts.tags import Tag, tag
from comporta.console.view import View
from comporta.telemetry.score_reads import ScoreRow


def score_list(view: View, scores: Sequence[ScoreRow]) -> None:
    """All of them, in their order."""
    with tag("ol.events"):
        for one in scores:
            with tag("li.events__one"):
                score_badge(view, one)
                with tag("span.events__text"):
                    tag("strong", one.name)
                    tag("span.muted", " · " + " · ".join(filter(None, (one.source, one.who))))
                    if one.reason:
                        tag("div", one.reason)
                When(one.at.timestamp())


def score_badge(view: View, one: ScoreRow, *, named: bool = False) -> Tag:
    """Its value, with its name where that does not stand beside it."""
    return badge(f"{one.name} {_value(view, one)}" if named else _value(view, one), _tone(one), title=one.reason or "")


def _value(view: View, one: ScoreRow) -> str:
    if isinstance(one.value, bool):
        return "✓" if one.value else "✗"
    return one.value if isinstance(one.value, str) else view.t.number(one.value, 2)


def _tone(one: ScoreRow) -> str:
    if isinstance(one.value, bool):
        return "good" if one.value else "bad"
    if one.source == "guard":
        return {"block": "bad", "redact": "warn", "rewrite": "warn"}.get(str(one.value), "dim")
    return "info"
