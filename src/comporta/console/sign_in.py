"""Signing in and out: a plain form, which needs no script, no socket and no session."""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import nicegui
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from comporta.console.accounts import Accounts
from comporta.console.oidc import Oidc
from comporta.console.sessions import Sessions
from comporta.console.tries import Tries
from comporta.console.words import Words, language_of
from comporta.errors import ComportaError, Unavailable

log = structlog.get_logger("comporta.console")

TEXTS = {
    "title": ("Sign in", "Entrar"),
    "about": ("The workshop behind the gate.", "A oficina por trás da comporta."),
    "name": ("Name", "Nome"),
    "password": ("Password", "Senha"),
    "enter": ("Sign in", "Entrar"),
    "wrong": ("That name and password do not fit.", "Esse nome e essa senha não combinam."),
    "wait": (
        "Too many tries. Try again in {minutes} min.",
        "Tentativas demais. Tente de novo em {minutes} min.",
    ),
    "hint": (
        "First time here? The name is admin; the password stands in console.password in the data folder.",
        "Primeira vez aqui? O nome é admin; a senha está em console.password na pasta de dados.",
    ),
    "other": ("Sign in with {provider}", "Entrar com {provider}"),
    "provider": ("{reason}", "{reason}"),
    "away": ("The database does not answer just now.", "O banco de dados não responde agora."),
}
#: The interface ships a typeface for machines that have no good one.
FONTS = f"/_nicegui/{nicegui.__version__}/static/fonts.css"
#: The way to the identity provider, and back from it.
OIDC = "/sign-in/oidc"
OIDC_BACK = f"{OIDC}/back"
#: A cookie of its own says which browser went there.
_WAY = "_way"
_LONGEST = 2_000
_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Comporta</title>
<link rel="icon" href="/favicon.ico"><link rel="stylesheet" href="{fonts}"><link rel="stylesheet" href="{style}">
<script src="{script}"></script>
</head>
<body class="entrance">
<main class="entrance__card">
<h1 class="brand brand--tall"><span class="brand__mark" aria-hidden="true"></span><span>Comporta</span></h1>
<p class="muted">{about}</p>
{failure}
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{next}">
<label class="field"><span class="field__label">{name}</span>
<input class="input" name="name" autocomplete="username" required maxlength="100" value="{given}"{focus_name}></label>
<label class="field"><span class="field__label">{password}</span>
<input class="input" name="password" type="password" autocomplete="current-password" required maxlength="200"
{focus_password}></label>
<button class="button button--main button--wide" type="submit">{enter}</button>
</form>
{other}
<p class="muted small">{hint}</p>
</main>
</body>
</html>
"""


class SignIn:
    """The form, what becomes of it, and the way out."""

    def __init__(
        self, accounts: Accounts, sessions: Sessions, *, cookie: str, secure: bool, assets: Mapping[str, str],
        tries: Tries | None = None, oidc: Oidc | None = None, other: str = "",
    ) -> None:  # fmt: skip
        self._accounts = accounts
        self._sessions = sessions
        self._cookie = cookie
        self._secure = secure
        self._assets = assets
        self._tries = tries or Tries()
        self._oidc = oidc
        #: What the identity provider is called on its button.
        self._other = other

    def routes(self) -> list[Route]:
        return [
            Route("/sign-in", self.form, methods=["GET"]),
            Route("/sign-in", self.enter, methods=["POST"]),
            Route("/sign-out", self.leave, methods=["POST"]),
            *([] if self._oidc is None else [
                Route(OIDC, self.away, methods=["GET"]), Route(OIDC_BACK, self.back, methods=["GET"]),
            ]),
        ]  # fmt: skip

    async def form(self, request: Request) -> Response:
        return self._shown(request, request.query_params.get("next", "/"))

    async def enter(self, request: Request) -> Response:
        """A session for the right name and password; the form again, with the reason, for others."""
        async with request.form(max_fields=5, max_part_size=_LONGEST) as form:
            name, password, way = (str(form.get(key, ""))[:_LONGEST] for key in ("name", "password", "next"))
        address = request.client.host if request.client else ""
        wait_s = self._tries.wait_s(name, address)
        if wait_s:
            return self._shown(request, way, "wait", name, status=429, minutes=int(wait_s // 60 + 1))
        # Before it is known to be wrong: else many at once would all be looked at.
        self._tries.failed(name, address)
        try:
            account = await self._accounts.check(name, password)
            if account is None:
                log.warning("console.sign_in_failed", name=name[:100], address=address)
                return self._shown(request, way, "wrong", name, status=401)
            self._tries.passed(name, address)
            return await self.entered(request, account.name, way)
        except Unavailable:
            return self._shown(request, way, "away", name, status=503)

    async def entered(self, request: Request, name: str, way: str) -> Response:
        """To where they were going, with a new session; one that the browser had before ends."""
        old = request.cookies.get(self._cookie)
        if old:
            await self._sessions.end(old)
        secret = await self._sessions.start(name)
        log.info("console.signed_in", name=name)
        response = RedirectResponse(inside(way), 303)
        response.set_cookie(self._cookie, secret, httponly=True, samesite="lax", secure=self._secure, path="/")
        return response

    async def away(self, request: Request) -> Response:
        """To the identity provider; a cookie makes sure that the same browser comes back."""
        assert self._oidc is not None
        try:
            begun = await self._oidc.begin(inside(request.query_params.get("next", "/")))
        except Unavailable as error:
            return self._shown(request, "/", "provider", reason=error.message, status=503)
        response = RedirectResponse(begun.address, 303)
        response.set_cookie(self._cookie + _WAY, begun.state, httponly=True, samesite="lax", secure=self._secure,
                            path=OIDC, max_age=600)  # fmt: skip
        return response

    async def back(self, request: Request) -> Response:
        """From the identity provider: a session for whom it vouches and the configuration lists."""
        assert self._oidc is not None
        try:
            person, way = await self._oidc.end(request.query_params, request.cookies.get(self._cookie + _WAY))
            name = await self._accounts.vouched(
                person.name, person.role, subject=person.subject, by=OIDC, teams=person.teams
            )
            response = await self.entered(request, name, way)
        except ComportaError as error:
            return self._shown(request, "/", "provider", reason=error.message, status=error.status)
        response.delete_cookie(self._cookie + _WAY, path=OIDC)
        return response

    async def leave(self, request: Request) -> Response:
        """The session ends on the server too."""
        secret = request.cookies.get(self._cookie)
        if secret:
            await self._sessions.end(secret)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(self._cookie, path="/")
        return response

    def _shown(
        self, request: Request, way: str, failure: str | None = None, given: str = "", *, status: int = 200,
        **values: object,
    ) -> Response:  # fmt: skip
        words = Words(language_of(request.cookies, request.headers.get("accept-language", "")), TEXTS)
        failed = html.escape(words(failure, **values)) if failure else ""
        told = f'<p class="notice notice--bad" role="alert">{failed}</p>' if failure else ""
        focus = (" autofocus", "") if not given else ("", " autofocus")
        page = _PAGE.format(
            language=words.language, fonts=FONTS, style=self._assets["console.css"], script=self._assets["theme.js"],
            next=html.escape(inside(way)), given=html.escape(given), failure=told, other=self._another(words, way),
            focus_name=focus[0], focus_password=focus[1],
            **{key: words(key) for key in ("title", "about", "name", "password", "enter", "hint")},
        )  # fmt: skip
        return HTMLResponse(page, status, headers={"cache-control": "no-store"})

    def _another(self, words: Words, way: str) -> str:
        if self._oidc is None:
            return ""
        address = html.escape(f"{OIDC}?{urlencode({'next': inside(way)})}")
        return (
            f'<a class="button button--wide" href="{address}">{words("other", provider=html.escape(self._other))}</a>'
        )


def inside(way: str) -> str:
    """A path of this site; the start page for anything that leads elsewhere (`//evil`, `https:…`, a backslash)."""
    parts = urlsplit(way)
    if parts.scheme or parts.netloc or not way.startswith("/") or way.startswith("//") or "\\" in way:
        return "/"
    return way if way.isprintable() and not way.startswith("/sign-") else "/"
