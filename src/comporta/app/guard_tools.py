"""What guards are built with under a configuration: who may be asked, which functions may run, what is known."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.errors import ConfigError, UpstreamError
from comporta.gateway.transport import Transport
from comporta.guardrails.base import Kind, Posts, Searched, Tools
from comporta.guardrails.knowledge import SUFFIXES, Knowledge, files_of
from comporta.guardrails.policy import Kinds
from comporta.providers.base import Request

_CONNECT_S = 2.0
#: Configurations whose guards are kept: that in force, and one that is read beside it.
_KEPT = 3


class GuardTools:
    """Kinds of guards by configuration. Guards outlive a reload that changes nothing for them, and with them what they
    learned; knowledge bases outlive all reloads."""

    def __init__(self, kinds: tuple[Kind, ...], tools: Tools) -> None:
        self.kinds = kinds
        self._tools = tools
        self._bases: dict[Path, Knowledge] = {}
        self._made: OrderedDict[tuple[object, ...], Kinds] = OrderedDict()

    def under(self, loaded: Loaded[Settings]) -> Kinds:
        """The kinds of guards that a configuration can have."""
        section = loaded.value.guardrails
        places = {name: loaded.folder / path for name, path in section.knowledge.items()}
        key = (section.judge, *sorted(section.functions), *sorted(places.items()))
        known = self._made.get(key)
        if known is None:
            tools = structs.replace(
                self._tools,
                judge=section.judge,
                functions=frozenset(section.functions),
                knowledge=self._finding(places),
            )
            known = self._made[key] = Kinds(self.kinds, tools)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return known

    def _finding(self, places: dict[str, Path]) -> Callable[[str], Searched]:
        def find(name: str) -> Searched:
            path = places.get(name)
            if path is None:
                names = ", ".join(sorted(places)) or "none"
                raise ConfigError(f"there is no knowledge base '{name}' under guardrails.knowledge: there are {names}")
            known = self._bases.get(path)
            if known is None:
                known = self._bases[path] = Knowledge(path)
            return known

        return find


def wrong_bases(loaded: Loaded[Settings]) -> list[str]:
    """What is wrong with the knowledge bases of a configuration, each mistake with its file and line."""
    found = []
    for name, written in loaded.value.guardrails.knowledge.items():
        path = loaded.folder / written
        where = ("guardrails", "knowledge", name)
        if not path.exists():
            found.append(loaded.mistake(where, f"there is no file or folder {written}"))
        elif not files_of(path):
            found.append(loaded.mistake(where, f"{written} holds no file of {', '.join(SUFFIXES)}"))
    return found


def posts_over(transport: Transport) -> Posts:
    """A POST by the way that all requests go out: outgoing proxy, authorities of one's own."""

    async def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int) -> tuple[int, bytes]:
        async with asyncio.timeout(timeout_s):
            try:
                response = await transport.send(Request(url, body, headers), min(_CONNECT_S, timeout_s), timeout_s)
                try:
                    return response.status, await response.read(limit)
                finally:
                    response.abort()
            except UpstreamError as error:
                raise OSError(error.code) from None

    return post
