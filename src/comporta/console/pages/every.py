"""Every page, in the order of the navigation."""

from __future__ import annotations

from comporta.console.page import Page
from comporta.console.pages import calls, overview, trace

PAGES: tuple[Page, ...] = (overview.PAGE, calls.PAGE, trace.PAGE)
