"""What people do on a page: fields, buttons, questions before an act, and what is said after it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog
from nicegui import context, ui

from comporta.console.parts.tags import Tag, tag
from comporta.console.view import View
from comporta.errors import ComportaError

T = TypeVar("T")
log = structlog.get_logger("comporta.console")


class Field(Generic[T]):
    """A labelled field whose `value` is what stands in it now."""

    def __init__(self, label: str, value: T) -> None:
        self.value = value
        self.label = label
        self._element: Tag | None = None

    def put(self, value: T) -> None:
        """Another value, as if it had been typed."""
        self.value = value
        if self._element is not None:
            made = json.dumps(value).replace("<", "\\u003c")
            self._element.client.run_javascript(f"comportaPut('{self._element.html_id}', {made})")

    def _take(self, value: Any) -> None:
        self.value = value

    def _of(self, element: Tag, event: str, js: str) -> None:
        self._element = element
        element.hears(event, self._take, js)


def text(
    label: str, value: str = "", *, placeholder: str = "", kind: str = "text", rows: int = 0, most: int = 100_000,
    hint: str = "",
) -> Field[str]:  # fmt: skip
    """A line of text, or with `rows` a box of so many."""
    field = Field(label, value)
    with tag("label.field"):
        tag("span.field__label", label)
        js = "(e) => emit(e.target.value)"
        if rows:
            made = tag("textarea.input.input--area", value, rows=rows, maxlength=most, placeholder=placeholder or None)
        else:
            made = tag("input.input", type=kind, value=value, maxlength=most, placeholder=placeholder or None)
            made.set(step="any" if kind == "number" else None)
        field._of(made, "input", js)
        if hint:
            tag("span.field__hint", hint)
    return field


def choice(label: str, options: Sequence[tuple[str, str]], value: str = "") -> Field[str]:
    """One of several: value and text of each."""
    field = Field(label, value or (options[0][0] if options else ""))
    with tag("label.field"):
        tag("span.field__label", label)
        with tag("select.input") as made:
            field._of(made, "change", "(e) => emit(e.target.value)")
            for option, shown in options:
                tag("option", shown, value=option, selected=option == field.value)
    return field


def check(label: str, value: bool = False) -> Field[bool]:
    """Yes or no."""
    field = Field(label, value)
    with tag("label.check"):
        field._of(tag("input", type="checkbox", checked=value), "change", "(e) => emit(e.target.checked)")
        tag("span", label)
    return field


def button(
    view: View, label: str, act: Callable[[], Awaitable[object]], *, tone: str = "", admin: bool = True,
    key: str = "",
) -> Tag:  # fmt: skip
    """Does `act`, and tells what it refuses. Viewers see it switched off; `admin=False` is for what all may do.

    `key` is a letter that presses it.
    """
    made = tag("button.button" + (f".button--{tone}" if tone else ""), label, type="button", data_key=key or None)
    if admin and not view.admin:
        return made.set(disabled=True, title=view.t("viewer_only"))

    async def pressed() -> None:
        made.set(disabled=True, aria_busy="true")
        try:
            await attempt(view, act)
        finally:
            if not made.is_deleted:
                made.set(disabled=None, aria_busy=None)

    return made.hears("click", pressed)


async def attempt(view: View, act: Callable[[], Awaitable[object]]) -> bool:
    """Whether it went well; where not, what was wrong stands on the page for a while."""
    try:
        await act()
    except ComportaError as error:
        say(error.message, "bad")
        return False
    except Exception as error:
        log.exception("console.act_failed", kind=type(error).__name__, place=view.place)
        say(view.t("failed_text", name=type(error).__name__), "bad")
        return False
    return True


def say(text: str, tone: str = "good") -> None:
    """A word at the page's edge that goes by itself; a failure stays longer."""
    kind = {"good": "positive", "bad": "negative", "warn": "warning"}.get(tone, "info")
    ui.notify(text, type=kind, position="bottom-right", timeout=8000 if tone == "bad" else 3000, multi_line=True)  # type: ignore[arg-type]


def go(place: str) -> None:
    """To another page, or the same anew."""
    context.client.open(place)


async def ask(
    view: View, title: str, body: Callable[[], object] | None = None, *, label: str = "", tone: str = "main"
) -> bool:
    """A question over the page: whether the answer was yes. `body` makes what stands between title and buttons."""
    with ui.dialog() as dialog, tag("div.dialog", role="document"):
        tag("h2.dialog__title", title)
        if body is not None:
            body()
        with tag("div.dialog__acts"):
            tag("button.button", view.t("cancel"), type="button").hears("click", lambda: dialog.submit(False))
            yes = tag(f"button.button.button--{tone}", label or view.t("confirm"), type="button", autofocus=True)
            yes.hears("click", lambda: dialog.submit(True))
    try:
        return bool(await dialog)
    finally:
        dialog.delete()
