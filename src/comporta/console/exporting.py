"""Rows of files that several pages give: scores as they stand in the database, and what the gate lists by pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from comporta.console.parts.choosing import Range
from comporta.console.view import View
from comporta.telemetry.score_reads import MAX_LIMIT, list_scores

#: A file is read in a spreadsheet; more rows than that come by the API.
MOST_ROWS = 100_000
SCORE_HEAD = (
    "at", "name", "value", "source", "who", "reason", "route", "model", "prompt", "prompt_version", "team", "user",
    "session", "trace_id", "call_id",
)  # fmt: skip


async def scores(view: View, chosen: Range, filters: Mapping[str, str]) -> AsyncIterator[Sequence[object]]:
    """Scores of a stretch of time, the newest first. Raises Unavailable."""
    after, sent = None, 0
    while sent < MOST_ROWS:
        page = await list_scores(
            view.database, filters=filters, since=chosen.since, until=chosen.until, after=after, limit=MAX_LIMIT
        )
        for one in page.scores:
            yield (one.at.isoformat(), one.name, one.value, one.source, one.who, one.reason, one.route, one.model,
                   one.prompt, one.version, one.team, one.user, one.session, one.trace_id, one.call_id)  # fmt: skip
        sent += len(page.scores)
        after = page.next
        if after is None:
            return


async def listed(
    view: View, place: str, head: Sequence[str], query: Mapping[str, str]
) -> AsyncIterator[Sequence[object]]:  # fmt: skip
    """What the gate lists there, by these fields, to its end. Raises what the gate refuses."""
    yield head
    after, sent = "", 0
    while sent < MOST_ROWS:
        page: dict[str, Any] = await view.ask("GET", view.link(place, **{**query, "after": after}))
        for one in page["data"]:
            yield [_written(one.get(name)) for name in head]
        sent += len(page["data"])
        after = str(page.get("next") or "")
        if not after:
            return


def _written(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
