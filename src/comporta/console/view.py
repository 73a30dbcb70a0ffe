"""What a page is built with: who looks, at which address, in which language; the data, and the way to act."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from msgspec import Struct

from comporta.console.sessions import Session, Sessions
from comporta.console.teams import ANSWERS, TeamDatabases
from comporta.console.words import Words
from comporta.errors import Forbidden, InvalidKey
from comporta.providers.catalogue import Catalogue
from comporta.store.database import Database
from comporta.types import JSON

#: Whom the gate writes into the audit log, believed with the data folder's own key: gateway/admin/identity.py.
BY = "x-comporta-by"


class Streamed(Protocol):
    """An answer that comes in events: its headers, names in lower case, and what each event holds."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def events(self) -> AsyncIterator[bytes]: ...


class Gate(Protocol):
    """The gate, asked over HTTP with the data folder's admin key."""

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Any: ...

    def streamed(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Streamed]: ...


class Finding(Struct, frozen=True):
    """What `comporta doctor` found of one thing: `state` is ok, warning, failed or skipped."""

    name: str
    state: str
    text: str
    mend: str | None = None


class Around(Struct, frozen=True):
    """What the console is given by those to its right."""

    database: Database
    #: The same, for people who are bound to teams.
    narrow: TeamDatabases
    gate: Gate
    #: Looks at everything that the gate needs; takes seconds.
    doctor: Callable[[], Awaitable[list[Finding]]]
    version: str
    #: Prices, for the parts of a cost.
    catalogue: Catalogue


class View:
    """One page as one person looks at it. Made anew for every request."""

    def __init__(
        self, around: Around, sessions: Sessions, session: Session, words: Words, *, place: str,
        query: Mapping[str, str], path: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._around = around
        self._sessions = sessions
        self.session = session
        self.t = words
        #: The path without its query, and both parts of the address as they were asked for.
        self.place = place
        self.query = query
        self.path = path

    @property
    def database(self) -> Database:
        """Read from it with telemetry's functions: no page asks the gate for what stands here.

        Who is bound to teams finds their rows in it alone: no page has to think of that.
        """
        teams = self.session.teams
        return self._around.database if teams is None else self._around.narrow.of(teams)

    @property
    def bound(self) -> bool:
        """Whether they see the calls of some teams alone; what leads to pages of everybody's things is left out."""
        return self.session.teams is not None

    def demand_all(self) -> None:
        """Raises Forbidden for people who are bound to teams."""
        if self.session.teams is not None:
            raise Forbidden(self.t("bound_only", teams=", ".join(self.session.teams)), code="bound")

    @property
    def around(self) -> Around:
        return self._around

    @property
    def admin(self) -> bool:
        """Whether to show what only admins may do; `act` checks it again."""
        return self.session.admin

    def link(self, place: str | None = None, /, **query: object) -> str:
        """An address. Of this page where no `place` is given: its own query with these changed, None taken out."""
        values = {**(self.query if place is None else {}), **query}
        text = urlencode({k: str(v) for k, v in values.items() if v is not None and v != ""})
        return quote(place or self.place, safe="/:@") + (f"?{text}" if text else "")

    async def act(self, method: str, path: str, body: JSON | None = None) -> Any:
        """Ask the gate's admin API for a change, as this person; see `ask` for reading.

        Raises InvalidKey where they signed out meanwhile, Forbidden for viewers, and what the gate refuses.
        """
        await self.demand_admin()
        return await self.ask(method, path, body)

    async def ask(self, method: str, path: str, body: JSON | None = None) -> Any:
        """Ask the gate, and let it write down who asked. For reading: an act goes by `act`.

        It knows nothing of teams: who is bound to some hears what teams.ANSWERS leaves of it. Raises Forbidden.
        """
        teams, kept = self.session.teams, ANSWERS.get((method, path))
        if kept is None:
            self.demand_all()
        answer = await self._around.gate.ask(method, path, body, headers={BY: quote(self.session.user)})
        return answer if kept is None or teams is None else kept(answer, teams)

    @asynccontextmanager
    async def stream(self, path: str, body: JSON, headers: Mapping[str, str] | None = None) -> AsyncIterator[Streamed]:
        """Ask a model through the gate, and hear its answer as it comes. It costs money: admins only, as with `act`."""
        await self.demand_admin()
        told = {BY: quote(self.session.user), **(headers or {})}
        async with self._around.gate.streamed(path, body, headers=told) as answer:
            yield answer

    async def demand_admin(self) -> Session:
        """The session as it stands now. Raises InvalidKey, Forbidden."""
        session = await self.alive()
        if not session.admin:
            raise Forbidden(self.t("viewer_only"), code="viewer")
        return session

    async def alive(self) -> Session:
        """The session as it stands now, since a page may be open for days. Raises InvalidKey."""
        session = await self._sessions.alive(self.session.digest)
        if session is None:
            raise InvalidKey(self.t("signed_out"), code="signed_out")
        return session
