"""The pieces that pages share: heads, cards, figures, badges, notices, empty states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from comporta.console.parts.components import Icon, Spark
from comporta.console.parts.tags import Tag, tag
from comporta.console.view import View

_TIMES = 9.5


@contextmanager
def head(title: str, sub: str = "") -> Iterator[None]:
    """The page's head; what is made inside stands at its right: ranges, buttons."""
    with tag("header.head"):
        with tag("div.head__text"):
            tag("h1.head__title", title)
            if sub:
                tag("p.head__sub", sub)
        with tag("div.head__acts"):
            yield


@contextmanager
def card(title: str = "", *, sub: str = "", classes: str = "") -> Iterator[Tag]:
    """A box with a title. `classes` are added, with dots: `wide.flush`."""
    with tag("section.card" + (f".{classes}" if classes else "")) as made:
        if title:
            with tag("div.card__head"):
                tag("h2.card__title", title)
                if sub:
                    tag("span.card__sub", sub)
        yield made


class Change(Struct, frozen=True):
    """A figure against the period before: `share` is 0.1 for a tenth more, `good` whether that is welcome."""

    share: float | None
    good: bool | None = None


def figure(
    view: View, label: str, value: str, *, change: Change | None = None, values: Sequence[float | None] = (),
    href: str = "", hint: str = "", tone: str = "accent",
) -> None:  # fmt: skip
    """A number that matters, with its course and what it was before."""
    with tag("a.figure" if href else "div.figure", href=href or None, title=hint or None):
        tag("span.figure__label", label)
        with tag("span.figure__row"):
            tag("span.figure__value", value)
            if change is not None and change.share is not None:
                _change(view, change)
        if any(value is not None for value in values):
            Spark(values, tone)


def _change(view: View, change: Change) -> None:
    assert change.share is not None
    arrow = "▲" if change.share > 0 else "▼" if change.share < 0 else "="
    tone = "dim" if change.good is None or not change.share else "good" if change.good else "bad"
    # Of many times as much nobody reads the percents.
    much = f"× {view.t.number(change.share + 1)}" if change.share >= _TIMES else view.t.share(abs(change.share), 0)
    tag(f"span.change.tone-{tone}", f"{arrow} {much}")


def badge(text: str, tone: str = "dim", *, title: str = "") -> Tag:
    """A short word on a tinted ground. Tones: good, warn, bad, info, dim, accent."""
    return tag(f"span.badge.tone-{tone}", text, title=title or None)


def notice(text: str, tone: str = "info", *, title: str = "") -> None:
    """Something to know before reading on."""
    with tag(f"div.notice.notice--{tone}", role="alert" if tone == "bad" else "status"):
        if title:
            tag("strong", title)
        tag("span", text)


def empty(view: View, title: str, text: str, *, command: str = "", href: str = "", link: str = "") -> None:
    """What will appear here, and the command that makes it appear."""
    with tag("div.empty"):
        Icon("seed")
        tag("h2.empty__title", title)
        tag("p.empty__text", text)
        if command:
            command_line(view, command)
            with tag("p.muted.small"):
                tag("span", view.t("or_demo") + " ")
                tag("code", "comporta demo")
        if href:
            tag("a.button", link, href=href)


def command_line(view: View, text: str) -> None:
    """A command to copy."""
    with tag("div.command"):
        tag("code.command__text", text)
        tag("button.command__copy", view.t("copy"), type="button", data_copy=text, data_done=view.t("copied"))


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values in two columns; a value may be a callable that makes its own elements."""
    with tag("dl.facts"):
        for name, value in pairs:
            tag("dt", name)
            if callable(value):
                with tag("dd"):
                    value()
            else:
                tag("dd", value)


def code(text: str, *, label: str) -> None:
    """Text as it is, in a box that scrolls and can be reached with the keyboard."""
    tag("pre.code", text, tabindex="0", role="region", aria_label=label)


def skeleton(lines: int = 3) -> Tag:
    """Grey bars where something is still on its way."""
    with tag("div.skeleton", aria_hidden="true") as made:
        for _ in range(lines):
            tag("span.skeleton__line")
    return made
