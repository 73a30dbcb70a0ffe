"""Every page, in the order of the navigation; the last one takes what the others left."""

from __future__ import annotations

from comporta.console.page import Page
from comporta.console.pages import (
    alerts,
    cache,
    calls,
    costs,
    feedback,
    guardrails,
    keys,
    nowhere,
    overview,
    playground,
    prompt,
    prompts,
    review,
    rollouts,
    session,
    sessions,
    system,
    trace,
    users,
)

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    calls.PAGE,
    trace.PAGE,
    sessions.PAGE,
    session.PAGE,
    costs.PAGE,
    playground.PAGE,
    prompts.PAGE,
    prompt.PAGE,
    rollouts.PAGE,
    rollouts.ONE,
    rollouts.EXPERIMENT,
    guardrails.PAGE,
    cache.PAGE,
    feedback.PAGE,
    feedback.FINDING,
    review.PAGE,
    review.ONE,
    alerts.PAGE,
    keys.PAGE,
    keys.ONE,
    system.PAGE,
    users.PAGE,
    nowhere.PAGE,
)
