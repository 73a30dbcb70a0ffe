"""Signing in by an identity provider, against one that speaks OpenID Connect and can be made to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError
from starlette.applications import Starlette

from comporta.console.accounts import Accounts
from comporta.console.oidc import Oidc, Person
from comporta.console.passwords import Passwords
from comporta.console.sessions import Sessions
from comporta.console.settings import ConsoleSection, OidcSection
from comporta.console.sign_in import OIDC_BACK, SignIn
from comporta.errors import Conflict, Forbidden, InvalidKey, Unavailable
from comporta.store.database import Database

BACK = "https://console.example.com" + OIDC_BACK


class Issuer:
    """An identity provider. `lies` replace what it would say; `asked` is what its token endpoint was sent."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "u-1", "email": "ana@example.com", "email_verified": True}
        self.lies: dict[str, Any] = {}
        self.status = 200
        self.asked: dict[str, str] = {}
        self.challenge = ""
        self.nonce = ""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._places)
        app.router.add_post("/token", self._token)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def visit(self, address: str) -> str:
        """Somebody's browser is there and agrees; gives the state that goes back with it."""
        query = parse_qs(urlsplit(address).query)
        self.challenge, self.nonce = query["code_challenge"][0], query["nonce"][0]
        assert query["redirect_uri"] == [BACK] and query["code_challenge_method"] == ["S256"]
        return query["state"][0]

    async def _places(self, _: web.Request) -> web.Response:
        url = self.lies.get("issuer", self.url)
        return web.json_response(
            {"issuer": url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        )

    async def _token(self, request: web.Request) -> web.Response:
        self.asked = {name: str(value) for name, value in (await request.post()).items()}
        verifier = hashlib.sha256(self.asked["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == self.challenge
        claims = {
            "iss": self.url,
            "aud": "console",
            "exp": time.time() + 60,
            "nonce": self.nonce,
            **self.claims,
            **self.lies,
        }
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return web.json_response({"id_token": f"e30.{body}.sig", "access_token": "t"}, status=self.status)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    await made.server.start_server()
    yield made
    await made.server.close()


def section(issuer: str, **more: Any) -> OidcSection:
    lists = more or {"admins": ["ana@example.com"], "viewers": ["*@example.com"]}
    return OidcSection(issuer=issuer, client_id="console", client_secret="s3cret", **lists)


async def person(issuer: Issuer, **more: Any) -> tuple[str, str]:
    """The name and role of who comes back."""
    found = await whoever(issuer, **more)
    return found.name, found.role


async def whoever(issuer: Issuer, **more: Any) -> Person:
    oidc = Oidc(section(issuer.url, **more), BACK)
    state = issuer.visit((await oidc.begin("/calls")).address)
    found, way = await oidc.end({"state": state, "code": "c"}, state)
    assert way == "/calls"
    return found


async def test_who_is_listed_comes_in_with_their_role(issuer: Issuer) -> None:
    assert await person(issuer) == ("ana@example.com", "admin")
    assert issuer.asked["client_secret"] == "s3cret" and issuer.asked["grant_type"] == "authorization_code"
    issuer.claims["email"] = "Rui@Example.com"
    assert await person(issuer) == ("Rui@Example.com", "viewer")


async def test_a_group_gives_a_role_and_admins_come_first(issuer: Issuer) -> None:
    issuer.claims |= {"email": "x@other.com", "groups": ["ops", "staff"]}
    assert (await person(issuer, viewer_groups=["staff"]))[1] == "viewer"
    assert (await person(issuer, viewer_groups=["staff"], admin_groups=["ops"]))[1] == "admin"


TEAMS = {"care": ["*@care.example.com", "care-people"], "ops": ["ana@care.example.com"]}


@pytest.mark.parametrize(
    ("claims", "more", "teams"),
    [({"email": "rui@care.example.com"}, {"viewers": ["*"], "team_viewers": TEAMS}, ("care",)),
     ({"email": "ana@care.example.com"}, {"team_viewers": TEAMS}, ("care", "ops")),
     ({"email": "x@other.com", "groups": ["care-people"]}, {"team_viewers": TEAMS}, ("care",)),
     ({"email": "x@other.com"}, {"viewers": ["*"], "team_viewers": TEAMS}, None),
     ({"email": "x@other.com", "crew": ["ops", "care"]}, {"viewers": ["*"], "teams_claim": "crew"}, ("care", "ops")),
     ({"email": "rui@care.example.com", "crew": ["growth"]},
      {"viewers": ["*"], "team_viewers": TEAMS, "teams_claim": "crew"}, ("care", "growth")),
     ({"email": "ana@care.example.com"}, {"admins": ["ana@*"], "team_viewers": TEAMS, "teams_claim": "crew"}, None)],
)  # fmt: skip
async def test_a_viewer_is_bound_to_the_teams_of_the_lists_and_of_the_claim(
    issuer: Issuer, claims: dict[str, Any], more: dict[str, Any], teams: tuple[str, ...] | None
) -> None:
    issuer.claims |= claims
    found = await whoever(issuer, **more)
    assert found.teams == teams
    assert found.role == ("admin" if "admins" in more else "viewer")


@pytest.mark.parametrize("claims", [{}, {"crew": []}, {"crew": "care"}, {"crew": [""]}])
async def test_a_viewer_whose_team_the_provider_should_say_and_does_not_stays_out(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.claims |= {"email": "x@other.com", **claims}
    with pytest.raises(Forbidden, match="no team of yours"):
        await whoever(issuer, viewers=["*"], teams_claim="crew")


@pytest.mark.parametrize(
    "claims",
    [{"email": "eve@evil.com"}, {"email": "", "groups": "ops"}, {"sub": ""}],
)
async def test_who_is_not_listed_or_nobody_stays_out(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.claims |= claims
    with pytest.raises(Forbidden):
        await person(issuer)


#: What a provider says of an address that it did not check: nothing, no, or something else than yes.
UNCHECKED: list[dict[str, Any]] = [
    {}, {"email_verified": False}, {"email_verified": None}, {"email_verified": "false"}, {"email_verified": 1.5},
]  # fmt: skip


def unchecked(issuer: Issuer, claims: dict[str, Any], **more: Any) -> None:
    issuer.claims = {"sub": "u-1", "email": "ana@example.com", **claims, **more}


@pytest.mark.parametrize("claims", UNCHECKED)
async def test_an_address_that_the_provider_did_not_check_gives_no_role_and_no_team(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    unchecked(issuer, claims)
    for more in ({"admins": ["ana@example.com"]}, {"viewers": ["*"]}, {"team_viewers": {"care": ["ana@example.com"]}}):
        with pytest.raises(Forbidden, match=r"email_verified.*console\.oidc\.trust_email"):
            await person(issuer, **more)
    with pytest.raises(Forbidden, match="ask an admin to list you") as refused:
        await person(issuer, admins=["rui@example.com"])
    assert "trust_email" not in refused.value.message, "who would not be let in anyway needs no setting"


@pytest.mark.parametrize("claims", UNCHECKED)
async def test_groups_and_claimed_teams_let_people_in_without_a_checked_address_and_not_by_its_name(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    unchecked(issuer, claims, groups=["ops"], crew=["care"])
    found = await whoever(issuer, admins=["ana@example.com"], viewer_groups=["ops"], teams_claim="crew")
    assert (found.name, found.role, found.teams) == ("u-1", "viewer", ("care",))
    assert await person(issuer, admin_groups=["ops"]) == ("u-1", "admin")
    found = await whoever(issuer, team_viewers={"growth": ["ops"], "care": ["ana@example.com"]})
    assert (found.role, found.teams) == ("viewer", ("growth",))


async def test_a_viewer_gets_round_no_binding_by_another_address_or_none(issuer: Issuer) -> None:
    lists = {"viewer_groups": ["staff"], "team_viewers": {"care": ["*@care.example.com"]}}
    for claims in ({"email": "x@other.com"}, {"email": ""}, {"email": "x@other.com", "email_verified": False}):
        issuer.claims = {"sub": "u-1", "groups": ["staff"], **claims}
        with pytest.raises(Forbidden, match="team_viewers binds people by e-mail"):
            await person(issuer, **lists)
    found = await whoever(issuer, viewer_groups=["staff"], team_viewers={"care": ["care-people"]})
    assert found.teams is None, "bound by groups alone, an address plays no part"


@pytest.mark.parametrize("yes", [True, "true"])
async def test_an_address_counts_where_it_is_checked_or_the_operator_trusts_the_provider(
    issuer: Issuer, yes: object
) -> None:
    unchecked(issuer, {"email_verified": yes})
    assert await person(issuer) == ("ana@example.com", "admin")
    unchecked(issuer, {})
    trusting = {"admins": ["ana@example.com"], "trust_email": True}
    assert await person(issuer, **trusting) == ("ana@example.com", "admin")
    unchecked(issuer, {"email_verified": False})
    with pytest.raises(Forbidden, match="email_verified"):
        await person(issuer, **trusting)


@pytest.mark.parametrize(
    "lie", [{"iss": "https://other"}, {"aud": "other"}, {"aud": ["other"]}, {"exp": 1}, {"nonce": "of another"}]
)
async def test_an_answer_that_is_not_for_this_sign_in_is_refused(issuer: Issuer, lie: dict[str, Any]) -> None:
    issuer.lies = lie
    with pytest.raises(InvalidKey):
        await person(issuer)


async def test_a_way_that_began_in_another_browser_or_was_gone_before_leads_nowhere(issuer: Issuer) -> None:
    oidc = Oidc(section(issuer.url), BACK)
    state = issuer.visit((await oidc.begin("/")).address)
    for query, cookie in (({"state": "made up", "code": "c"}, "made up"), ({"state": state, "code": "c"}, None),
                          ({"state": state, "code": "c"}, state)):  # fmt: skip
        with pytest.raises(InvalidKey):
            await oidc.end(query, cookie)


async def test_a_provider_that_fails_or_calls_itself_otherwise_is_told(issuer: Issuer) -> None:
    issuer.lies = {"issuer": "https://somebody.else"}
    with pytest.raises(Unavailable, match="calls itself"):
        await Oidc(section(issuer.url), BACK).begin("/")
    with pytest.raises(Unavailable, match="gave no answer"):
        await Oidc(section("http://127.0.0.1:9"), BACK).begin("/")
    issuer.lies = {}
    oidc = Oidc(section(issuer.url), BACK)
    state = issuer.visit((await oidc.begin("/")).address)
    issuer.status = 500
    with pytest.raises(Unavailable, match="answered 500"):
        await oidc.end({"state": state, "code": "c"}, state)


async def test_an_address_at_the_provider_opens_no_account_of_ours(database: Database) -> None:
    accounts = Accounts(database, Passwords())
    await accounts.add("ana@example.com", "admin", password="correct horse", by="test")
    with pytest.raises(Conflict):
        await accounts.vouched("ana@example.com", "viewer", subject="https://issuer#1", by="oidc")
    assert (
        await accounts.vouched("rui@example.com", "viewer", subject="https://issuer#2", by="oidc") == "rui@example.com"
    )
    await accounts.vouched("rui@new.example.com", "admin", subject="https://issuer#2", by="oidc")
    assert (await accounts.get("rui@example.com")).role == "admin", "the provider's word of today holds"


async def test_the_whole_way_ends_with_a_session(issuer: Issuer, database: Database) -> None:
    sessions = Sessions(database, idle_s=60, longest_s=600)
    entrance = SignIn(
        Accounts(database, Passwords()), sessions, cookie="c", secure=False,
        assets={"console.css": "/c", "theme.js": "/t"}, oidc=Oidc(section(issuer.url), BACK), other="Example <b>",
    )  # fmt: skip
    seen: list[str] = []

    async def walk() -> None:
        import httpx

        transport = httpx.ASGITransport(Starlette(routes=entrance.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as browser:
            page = await browser.get("/sign-in?next=/calls")
            assert "Sign in with Example &lt;b&gt;" in page.text
            away = await browser.get("/sign-in/oidc?next=/calls")
            state = issuer.visit(away.headers["location"])
            wrong = await browser.get(f"{OIDC_BACK}?state=x&code=c")
            assert wrong.status_code == 401
            home = await browser.get(f"{OIDC_BACK}?state={state}&code=c")
            assert (home.status_code, home.headers["location"]) == (303, "/calls")
            seen.append(browser.cookies["c"])

    await walk()
    session = await sessions.live(seen[0])
    assert session is not None and session.user == "ana@example.com" and session.admin


@pytest.mark.parametrize(
    "wrong", [{"issuer": "http://login.example.com", "admins": ["a"]}, {"issuer": "x", "admins": ["a"]},
              {"issuer": "https://login.example.com"}]
)  # fmt: skip
def test_a_provider_without_encryption_or_that_lets_nobody_in_is_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConsoleSection(oidc={"client_id": "console", **wrong})
