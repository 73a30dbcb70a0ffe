"""Elements of a page: what they hold, and that the browser hears of their changes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
from nicegui import Client, ui

from comporta.console.parts.tags import tag


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client(ui.page("/"), request=None)
    with made:
        yield made
    made.delete()


def test_what_a_page_was_made_of_is_free_without_a_collection(client: Client) -> None:
    one = tag("p.muted", "text", title="t")
    held = [weakref.ref(part) for part in (one._classes, one._style, one._props)]
    gc.disable()
    try:
        one.delete()
        del one
        assert [ref() for ref in held] == [None, None, None]
    finally:
        gc.enable()


def test_changes_are_told_to_the_browser(client: Client) -> None:
    one = tag("p.muted", "text")
    changes: tuple[Callable[[], object], ...] = (
        lambda: one.set(title="other"), lambda: one.classes("loud"), lambda: one.style("color: red")
    )  # fmt: skip
    for change in changes:
        client.outbox.updates.clear()
        change()
        assert one.id in client.outbox.updates
