"""Whatever address there is no page for."""

from __future__ import annotations

from comporta.console.page import Page
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import NotFound

TEXTS: Texts = {
    "title": ("No such page", "Página inexistente"),
    "none": (
        "The address {place} leads to no page; a link may be old, or not have come whole.",
        "O endereço {place} não leva a nenhuma página; o link pode ser antigo, ou não ter chegado inteiro.",
    ),
}


async def build(view: View) -> None:
    """Says so."""
    raise NotFound(view.t("none", place=view.place[:200]))


PAGE = Page("/{place:path}", "title", build, TEXTS, teams=True)
