"""The overview."""

from __future__ import annotations

from comporta.console.page import Page
from comporta.console.parts.pieces import card, empty, head
from comporta.console.view import View
from comporta.console.words import Texts

TEXTS: Texts = {"title": ("Overview", "Visão geral")}


async def build(view: View) -> None:
    with head(view.t("title")):
        pass
    with card():
        empty(view, "No calls", "…", command="curl x")


PAGE = Page("/", "title", build, TEXTS, group="watch", letter="o", icon="overview")
