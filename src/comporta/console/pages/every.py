"""Every page, in the order of the navigation."""

from __future__ import annotations

from comporta.console.page import Page
from comporta.console.pages import calls, costs, overview, session, sessions, system, trace, users

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    calls.PAGE,
    trace.PAGE,
    sessions.PAGE,
    session.PAGE,
    costs.PAGE,
    system.PAGE,
    users.PAGE,
)
