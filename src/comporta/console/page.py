"""A page is one row: where it is, what it is called, the letter that leads to it, and what builds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct

from comporta.console.view import View
from comporta.console.words import Texts

Group = Literal["watch", "build", "protect", "run"]
GROUPS: tuple[Group, ...] = ("watch", "build", "protect", "run")
Build = Callable[[View], Awaitable[None]]


class File(Struct, frozen=True):
    """A table to take along as CSV: `rows` gives its head first, then its rows, for the view's own query."""

    path: str
    name: str
    rows: Callable[[View], AsyncIterator[Sequence[object]]]


class Page(Struct, frozen=True):
    """One page. `texts` are its own, by key; `title` is one of them.

    `path` may hold parameters (`/traces/{trace}`), which the view has in `path`. A page with a `group` stands in the
    navigation, and `g` followed by its `letter` leads there. `icon` is one of web/icons.js. `parent` is the path of
    the page that the navigation shows as open instead.
    """

    path: str
    title: str
    build: Build
    texts: Texts
    group: Group | None = None
    letter: str = ""
    icon: str = "dot"
    parent: str = ""
    #: Whether only admins see it.
    admin: bool = False
    #: Whether people who are bound to teams see it too: it shows nothing but what is read by `View.database`.
    teams: bool = False
    files: tuple[File, ...] = ()
