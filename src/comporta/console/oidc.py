"""Signing in by an identity provider: OpenID Connect's code flow with PKCE, over our own HTTP client.

The ID token comes straight from the token endpoint over a connection that we opened, so that the connection and not a
signature says who made it (OpenID Connect Core 1.0, section 3.1.3.7, point 6); its issuer, audience, time and nonce are
checked. Nothing of the provider is believed that comes through the browser but the code. An e-mail is believed where
the provider says that it checked it (`email_verified`, section 5.1): people may write there what they like with some.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog
from msgspec import Struct, structs

from comporta.console.accounts import Role
from comporta.console.settings import OidcSection
from comporta.errors import Forbidden, InvalidKey, Unavailable

log = structlog.get_logger("comporta.console")

_TIMEOUT_S = 10.0
#: How long somebody may take at the provider, and how many may be there at a time.
_WAIT_S = 600.0
_MOST_WAITING = 2_000
_SKEW_S = 120.0
_SCOPE = "openid email profile"
_KEPT_S = 3600.0
_UNVERIFIED = (
    "The identity provider does not say that your e-mail is yours (email_verified), so it lets nobody in. An admin can "
    "have it say so, list groups under console.oidc, or read in the documents what console.oidc.trust_email does."
)
_UNBOUND = (
    "console.oidc.team_viewers binds people by e-mail, and the identity provider does not say that yours is yours "
    "(email_verified). An admin can have it say so, or list groups there instead."
)


class Person(Struct, frozen=True):
    """Whom the provider vouches for: what they are called here, who they are there, and what they may do.

    `teams` are those whose calls they see; None where they see all.
    """

    name: str
    subject: str
    role: Role
    teams: tuple[str, ...] | None = None


class Begun(Struct, frozen=True):
    """Somebody on the way to the provider; `state` must come back both in the address and in their cookie."""

    state: str
    address: str


class _Waiting(Struct, frozen=True):
    nonce: str
    verifier: str
    way: str
    until_s: float


class Oidc:
    """The way to one identity provider and back to `callback`."""

    def __init__(
        self, settings: OidcSection, callback: str, *, clock: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self._settings = settings
        self._callback = callback
        self._clock = clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._found: tuple[float, Mapping[str, Any]] | None = None

    async def begin(self, way: str) -> Begun:
        """Where to send the browser. Raises Unavailable where the provider does not answer."""
        places = await self._places()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._waiting[state] = _Waiting(nonce, verifier, way, self._clock() + _WAIT_S)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode({
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": self._callback,
            "scope": _SCOPE, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        })  # fmt: skip
        place = str(places["authorization_endpoint"])
        return Begun(state, place + ("&" if "?" in place else "?") + query)

    async def end(self, query: Mapping[str, str], cookie: str | None) -> tuple[Person, str]:
        """Who came back, and where they were going.

        Raises InvalidKey for a way that did not begin here, Forbidden for people who may not come in, Unavailable.
        """
        state = query.get("state", "")
        waiting = self._waiting.pop(state, None)
        if waiting is None or cookie is None or not secrets.compare_digest(cookie, state):
            raise InvalidKey("This sign-in did not begin in this browser, or took too long; try again.")
        if waiting.until_s < self._clock() or not query.get("code"):
            raise InvalidKey("The identity provider sent nobody; try again.")
        claims = await self._claims(query["code"], waiting)
        return self._person(claims), waiting.way

    async def _claims(self, code: str, waiting: _Waiting) -> Mapping[str, Any]:
        places = await self._places()
        secret = self._settings.client_secret
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._callback,
            "client_id": self._settings.client_id, "code_verifier": waiting.verifier,
            **({} if secret is None else {"client_secret": secret.get_secret_value()}),
        }  # fmt: skip
        told = await _asked("POST", str(places["token_endpoint"]), form)
        claims = _payload(str(told.get("id_token", "")))
        audience = claims.get("aud")
        mine = self._settings.client_id in (audience if isinstance(audience, list) else [audience])
        late = self._clock() - _SKEW_S > float(claims.get("exp") or 0)
        if claims.get("iss") != places["issuer"] or not mine or late or claims.get("nonce") != waiting.nonce:
            log.warning("console.oidc_token_refused", issuer=str(claims.get("iss"))[:200], mine=mine, late=late)
            raise InvalidKey("The identity provider's answer is not for this sign-in; try again.")
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        told, subject = str(claims.get("email") or ""), str(claims.get("sub") or "")
        if not subject:
            raise Forbidden("The identity provider does not say who this is.", code="viewer")
        # Nor is it what they are called here: the audit log would say that somebody else had done it.
        email = told if self._vouched(claims) else ""
        groups = _names(claims.get(self._settings.groups_claim))
        teams = self._teams(email.lower(), groups)
        role = self._role(email.lower(), groups) or ("viewer" if teams else None)
        if role is None:
            raise self._stranger(told, email, subject)
        person = Person(email or subject, f"{claims['iss']}#{subject}", role)
        if role == "admin":
            return person
        bound = self._bound(claims, teams, person.name)
        if bound is None and not email and self._binds_addresses():
            # Else whoever changed or took away their address would see the teams that it binds them from.
            log.warning("console.oidc_email_unverified", name=subject[:100])
            raise Forbidden(_UNBOUND, code="viewer")
        return structs.replace(person, teams=bound)

    def _vouched(self, claims: Mapping[str, Any]) -> bool:
        """Whether the e-mail is that person's. What the provider denies stays denied, whatever is configured."""
        if "email_verified" in claims:
            # Some providers write their booleans as text.
            return claims["email_verified"] in (True, "true")
        return self._settings.trust_email

    def _stranger(self, told: str, email: str, subject: str) -> Forbidden:
        """Why they stay out; what to set is said to those alone whom their address would let in."""
        if told and not email and (self._role(told.lower(), set()) or self._teams(told.lower(), set())):
            log.warning("console.oidc_email_unverified", name=subject[:100])
            return Forbidden(_UNVERIFIED, code="viewer")
        log.warning("console.oidc_not_listed", name=email[:100] or subject[:100])
        return Forbidden("You may not use this console; ask an admin to list you under console.oidc.", code="viewer")

    def _binds_addresses(self) -> bool:
        return any("@" in one or "*" in one for people in self._settings.team_viewers.values() for one in people)

    def _role(self, email: str, groups: set[str]) -> Role | None:
        lists: tuple[tuple[Role, list[str], list[str]], ...] = (
            ("admin", self._settings.admins, self._settings.admin_groups),
            ("viewer", self._settings.viewers, self._settings.viewer_groups),
        )
        for role, patterns, named in lists:
            if _listed(email, groups, patterns, named):
                return role
        return None

    def _teams(self, email: str, groups: set[str]) -> set[str]:
        """That the configuration binds them to."""
        listed = self._settings.team_viewers
        return {team for team, people in listed.items() if _listed(email, groups, people, people)}

    def _bound(self, claims: Mapping[str, Any], listed: set[str], name: str) -> tuple[str, ...] | None:
        """All of a viewer's teams; None for one who sees everybody's. Raises Forbidden where there should be some."""
        claim = self._settings.teams_claim
        teams = listed | (_names(claims.get(claim)) if claim is not None else set())
        if claim is not None and not teams:
            log.warning("console.oidc_no_team", name=name[:100], claim=claim)
            raise Forbidden(f"The identity provider names no team of yours (in '{claim}').", code="viewer")
        return tuple(sorted(teams)) or None

    async def _places(self) -> Mapping[str, Any]:
        """The provider's own description, kept for an hour. Raises Unavailable."""
        if self._found is not None and self._found[0] > self._clock():
            return self._found[1]
        told = await _asked("GET", f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer", "").rstrip("/") != self._settings.issuer.rstrip("/"):
            text = "The identity provider calls itself something else than console.oidc.issuer."
            raise Unavailable(text, code="oidc")
        self._found = (self._clock() + _KEPT_S, told)
        return told


def _listed(email: str, groups: set[str], patterns: Collection[str], named: Collection[str]) -> bool:
    return bool(groups & set(named)) or bool(email and any(fnmatchcase(email, one.lower()) for one in patterns))


def _names(claim: Any) -> set[str]:
    """Of a list of names; anything else names nobody."""
    return {str(one) for one in claim if one} if isinstance(claim, list) else set()


async def _asked(method: str, url: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """JSON. What the provider says in words stays here: it may hold what it was sent."""
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.request(method, url, data=form, allow_redirects=False) as response,
        ):
            text = await response.read()
            if response.status != 200:
                raise Unavailable(f"The identity provider answered {response.status}.", code="oidc")
        return msgspec.json.decode(text, type=dict[str, Any])
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(f"The identity provider gave no answer ({type(error).__name__}).", code="oidc") from None


def _payload(token: str) -> Mapping[str, Any]:
    try:
        part = token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
    except (IndexError, ValueError, msgspec.MsgspecError):
        raise InvalidKey("The identity provider's answer can't be read.") from None
