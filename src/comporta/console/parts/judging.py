"""Saying on a page that something was right or wrong: it becomes a score of the call, by whoever is signed in."""

from __future__ import annotations

from typing import Any

from comporta.console.view import View

#: What a feedback door takes as a reason.
_MOST_REASON = 1000


async def judge(
    view: View, call_id: str, name: str, value: bool | float | str, *, id: str = "", reason: str = ""
) -> None:
    """A score by a reviewer. With an `id`, said again it changes the first. Raises what the gate refuses."""
    session = await view.demand_admin()
    score: dict[str, Any] = {"name": name, "value": value, "source": "human"}
    if reason:
        score["reason"] = reason[:_MOST_REASON]
    if id:
        score["id"] = id
    await view.act("POST", "/v1/feedback", {"call_id": call_id, "who": session.user, "scores": [score]})
