"""What stands around every page: the navigation, the search, whose session it is, and the list of keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from nicegui import ui

from comporta.console.page import GROUPS, Page
from comporta.console.parts.components import Icon
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Words


class Frame:
    """Around all pages alike."""

    def __init__(self, pages: Sequence[Page], assets: Mapping[str, str]) -> None:
        self._pages = pages
        self._assets = assets

    def scripts(self, view: View) -> None:
        """What the browser loads before it shows anything. No text of anybody's goes in here."""
        letters = {page.letter: page.path for page in self._listed(view) if page.letter}
        places = json.dumps({"letters": letters}).replace("<", "\\u003c")
        ui.add_head_html(
            f'<link rel="stylesheet" href="{self._assets["console.css"]}">'
            f'<script src="{self._assets["theme.js"]}"></script>'
            f"<script>document.documentElement.lang = '{view.t.locale}'; window.comportaFrame = {places};</script>"
            f'<script defer src="{self._assets["console.js"]}"></script>'
        )

    @contextmanager
    def around(self, view: View, page: Page) -> Iterator[None]:
        """The page's own elements are made inside."""
        # The interface's own page is a `main` around everything; ours is around the page alone.
        for outer in ui.context.client.content.ancestors():
            if outer.tag == "q-page":
                outer.tag = "div"
        with tag("div.frame"):
            tag("a.skip", view.t("skip"), href="#page")
            self._navigation(view, page)
            with tag("div.frame__body"):
                self._bar(view)
                with tag("main.page", id="page", tabindex="-1"):
                    yield
            self._keys(view)

    def _listed(self, view: View) -> list[Page]:
        seen = [page for page in self._pages if page.teams or not view.bound]
        return [page for page in seen if page.group is not None and (view.admin or not page.admin)]

    def _navigation(self, view: View, page: Page) -> None:
        here = page.parent or page.path
        with tag("nav.side", aria_label=view.t("menu"), id="side"):
            with tag("a.brand", href="/", aria_label="Comporta"):
                tag("span.brand__mark", aria_hidden="true")
                tag("span.brand__name", "Comporta")
            for group in GROUPS:
                listed = [one for one in self._listed(view) if one.group == group]
                if listed:
                    tag("span.side__group", view.t(group))
                for one in listed:
                    self._entry(view, one, here)

    def _entry(self, view: View, page: Page, here: str) -> None:
        current = "page" if page.path == here else None
        with tag("a.side__link", href=page.path, aria_current=current):
            Icon(page.icon)
            tag("span.side__text", Words(view.t.language, page.texts)(page.title))
            if page.letter:
                tag("kbd.side__key", page.letter, aria_hidden="true")

    def _bar(self, view: View) -> None:
        with tag("header.bar"):
            with tag("button.bar__menu.ghost", type="button", aria_label=view.t("menu"), aria_controls="side",
                     aria_expanded="false", data_menu=True):  # fmt: skip
                Icon("menu")
            with tag("form.bar__search", method="get", action="/calls", role="search"):
                Icon("search")
                tag("input.bar__input", type="search", name="text", placeholder=view.t("search"), maxlength="200",
                    aria_label=view.t("search"), data_search=True)  # fmt: skip
                tag("kbd.bar__key", "/", aria_hidden="true")
            self._person(view)

    def _person(self, view: View) -> None:
        with tag("div.bar__acts"):
            with tag("button.ghost", type="button", aria_label=view.t("theme"), title=view.t("theme"), data_theme=True):
                Icon("theme")
            other = "pt" if view.t.language == "en" else "en"
            tag("button.ghost.bar__language", other.upper(), type="button", lang=other, data_language=other,
                aria_label=view.t("language"), title=view.t("language"))  # fmt: skip
            with tag("details.person"):
                with tag("summary.person__name", aria_label=view.t("signed_in_as", name=view.session.user)):
                    tag("span.person__mark", view.session.user[:1].upper(), aria_hidden="true")
                with tag("div.person__card"):
                    tag("strong.person__full", view.session.user)
                    tag("span.badge.tone-dim", view.t(f"role_{view.session.role}"))
                    if view.session.teams is not None:
                        tag("span.muted", view.t("sees_teams", teams=", ".join(view.session.teams)))
                    tag("button.button", view.t("keys"), type="button", data_help=True)
                    with tag("form", method="post", action="/sign-out"):
                        tag("button.button.button--wide", view.t("sign_out"), type="submit")

    def _keys(self, view: View) -> None:
        with tag("dialog.keys", id="keys", aria_label=view.t("keys")):
            tag("h2.dialog__title", view.t("keys"))
            with tag("dl.keys__list"):
                for keys, text in (
                    ("/", "search"), ("j k", "move"), ("Enter", "open"), ("g …", "go"), ("?", "help"),
                ):  # fmt: skip
                    tag("dt", keys)
                    tag("dd", view.t(f"keys_{text}"))
                for page in self._listed(view):
                    if page.letter:
                        tag("dt", f"g {page.letter}")
                        tag("dd", Words(view.t.language, page.texts)(page.title))
            with tag("form", method="dialog"):
                tag("button.button", view.t("close"), type="submit")
