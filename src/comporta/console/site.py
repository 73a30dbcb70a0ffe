"""The console as one ASGI application: the door, the sign-in, and the pages inside their frame."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog
from fastapi import FastAPI
from nicegui import Client, ui
from nicegui import app as interface
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from comporta.console.accounts import Accounts
from comporta.console.assets import Assets
from comporta.console.common import COMMON
from comporta.console.csv import csv_of
from comporta.console.door import SESSION, Door
from comporta.console.frame import Frame
from comporta.console.oidc import Oidc
from comporta.console.page import File, Page
from comporta.console.parts.pieces import head, notice
from comporta.console.parts.tags import tag
from comporta.console.passwords import Passwords
from comporta.console.sessions import Sessions
from comporta.console.settings import ConsoleSection, address_of
from comporta.console.sign_in import OIDC_BACK, SignIn
from comporta.console.sockets import owner, watch_sockets
from comporta.console.view import Around, View
from comporta.console.words import Words, language_of
from comporta.errors import ComportaError, InvalidKey, NotFound, Unavailable

log = structlog.get_logger("comporta.console")

#: A page waits for its data, so that the first thing sent has it; more than this and it says that it failed.
_BUILD_LIMIT_S = 20.0
#: A page whose browser has not come back for it is put away; the interface itself keeps it for a minute. Each holds
#: some ten thousand objects, which every full collection goes through.
_UNOPENED_S, _LOOK_S = 15.0, 3.0
#: By these names a console that listens on this machine alone is called.
_HERE = ("localhost", "127.0.0.1", "[::1]")


class Site:
    """Puts the pages together. There is one in a process: the interface keeps its pages in a place for all."""

    def __init__(self, around: Around, settings: ConsoleSection, pages: Sequence[Page]) -> None:
        self._around = around
        self._settings = settings
        self._pages = pages
        self._cookie = f"comporta_console_{settings.port}"
        self._sessions = Sessions(around.database, idle_s=settings.idle, longest_s=settings.longest)
        self.accounts = Accounts(around.database, Passwords())
        self._assets = Assets()
        self._frame = Frame(pages, self._assets.places)

    def app(self) -> ASGIApp:
        """To be served once."""
        secure = bool(self._settings.url and self._settings.url.startswith("https"))
        oidc = self._settings.oidc
        way = None if oidc is None else Oidc(oidc, address_of(self._settings) + OIDC_BACK)
        entrance = SignIn(
            self.accounts, self._sessions, cookie=self._cookie, secure=secure, assets=self._assets.places, oidc=way,
            other=oidc.name if oidc is not None else "",
        )  # fmt: skip
        inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
        inner.router.routes.extend([*self._assets.routes(), *entrance.routes(), Route("/health", _well)])
        for page in self._pages:
            inner.router.routes.extend(Route(file.path, self._giving(page, file)) for file in page.files)
            self._put(page)
        ui.run_with(
            inner, title="Comporta", tailwind=False, binding_refresh_interval=None, show_welcome_message=False,
            reconnect_timeout=10.0, language=None,
        )  # fmt: skip
        interface.timer(_LOOK_S, lambda: Client.prune_instances(client_age_threshold=_UNOPENED_S))
        watch_sockets(self._sessions)
        here = _HERE if self._settings.host in ("127.0.0.1", "localhost", "::1") else ()
        return Door(
            inner, self._sessions, cookie=self._cookie, url=self._settings.url, hosts=here, owner=owner,
        )  # fmt: skip

    def _put(self, page: Page) -> None:
        async def built(request: Request) -> Response | None:
            view = self._view(request, page)
            ui.context.client.title = f"{Words(view.t.language, page.texts)(page.title)} · Comporta"
            self._frame.scripts(view)
            await self._build(view, page)
            return None

        ui.page(page.path, response_timeout=_BUILD_LIMIT_S, markdown=False)(built)

    def _giving(self, page: Page, file: File) -> Callable[[Request], Awaitable[Response]]:
        async def give(request: Request) -> Response:
            try:
                view = self._view(request, page)
                await _may(view, page)
                return await csv_of(file.name, file.rows(view))
            except ComportaError as error:
                return PlainTextResponse(error.message, error.status)

        return give

    def _view(self, request: Request, page: Page) -> View:
        session = getattr(request.state, SESSION, None)
        if session is None:
            raise InvalidKey("Nobody is signed in.")
        language = language_of(request.cookies, request.headers.get("accept-language", ""))
        return View(
            self._around, self._sessions, session, Words(language, page.texts, COMMON), place=request.url.path,
            query=dict(request.query_params), path={k: str(v) for k, v in request.path_params.items()},
        )  # fmt: skip

    async def _build(self, view: View, page: Page) -> None:
        with self._frame.around(view, page), tag("div.page__inside") as inside:
            try:
                await _may(view, page)
                await page.build(view)
            except Exception as error:
                inside.clear()
                with inside:
                    _failed(view, page, error)


async def _may(view: View, page: Page) -> None:
    """Raises Forbidden for people who may not see the page."""
    if page.admin:
        await view.demand_admin()
    if not page.teams:
        view.demand_all()


def _failed(view: View, page: Page, error: Exception) -> None:
    """The reason in the page's place, under its name, with the fitting status."""
    with head(view.t(page.title)):
        pass
    client = ui.context.client
    client.status_code = error.status if isinstance(error, ComportaError) else 500
    if isinstance(error, Unavailable):
        notice(error.message, "bad", title=view.t("away_title"))
    elif isinstance(error, NotFound):
        notice(error.message, "warn", title=view.t("not_found_title"))
    elif isinstance(error, ComportaError):
        notice(error.message, "bad")
    else:
        log.exception("console.page_failed", place=view.place, kind=type(error).__name__)
        notice(view.t("failed_text", name=type(error).__name__), "bad", title=view.t("failed_title"))
    with tag("div.row"):
        tag("a.button", view.t("back_to_overview"), href="/")


@contextlib.asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def _well(_: Request) -> Response:
    return PlainTextResponse("ok")
