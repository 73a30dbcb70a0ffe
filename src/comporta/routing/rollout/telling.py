"""What people hear of a rollout: a notice for every move, with the numbers that decided it."""

from __future__ import annotations

from collections.abc import Mapping

from comporta.notify.notice import Notice, Severity
from comporta.routing.rollout.rows import EventRow, RolloutRow
from comporta.types import JSON

#: What is told of, and how: the rest (a pause, a resume) somebody has just done by hand.
_TITLES: Mapping[str, tuple[str, str, Severity]] = {
    "start": ("started", "{what} starts", "info"),
    "stage": ("advanced", "{what} goes on to {share}", "info"),
    "promote": ("promoted", "{what} was promoted to {share}", "info"),
    "held": ("held", "{what} has held at 100 %", "info"),
    "finish": ("finished", "{what} is done", "info"),
    "roll_back": ("rolled_back", "{what} was rolled back", "critical"),
    "abort": ("aborted", "{what} was aborted", "warning"),
    "problem": ("problem", "{what} can't go on", "warning"),
    "verdict": ("verdict", "{what} has a verdict", "info"),
    "guard": ("guard", "{what}: side B does harm", "warning"),
}


def notice_of(row: RolloutRow, event: EventRow) -> Notice | None:
    """The notice of an event; None where nobody needs to hear of it."""
    told = _TITLES.get(event.act)
    if told is None:
        return None
    kind, title, severity = told
    what = f"The {row.kind} of {row.about}"
    title = title.format(what=what, share=f"{row.share * 100:g} %")
    return Notice(
        f"rollout-event-{event.id}", f"{row.kind}.{kind}", title, event.why or f"By {event.by}.", severity,
        facts=_facts(row, event), at_s=event.at_s,
    )  # fmt: skip


def _facts(row: RolloutRow, event: EventRow) -> JSON:
    facts: JSON = {"rollout": row.id, "name": row.name, "by": event.by, "share": row.share, "state": row.state}
    facts |= {"a": row.variant, "b": row.change.prompt or row.change.model or row.change.variant or "other params"}
    if event.before_share is not None:
        facts["share_before"] = event.before_share
    if event.numbers is not None:
        facts |= {name: event.numbers[name] for name in ("calls_a", "calls_b", "cause") if name in event.numbers}
    return facts | row.tags
