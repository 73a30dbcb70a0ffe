"""Images are fetched from public addresses only, within limits, and every failure says why without saying where."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from comporta.errors import BadRequest
from comporta.gateway.fetching import Address, fetch, is_public

PNG = b"\x89PNG" + bytes(100)


def anywhere(address: Address) -> bool:
    return True


class Site:
    """A real server on this machine that notes what it was asked for."""

    def __init__(self, server: TestServer) -> None:
        self._server = server
        self.asked: list[web.BaseRequest] = []

    def url(self, path: str = "/x.png", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self._server.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        found.asked.append(request)
        return await _answers(request)

    server = TestServer(web.Application())
    app = server.app
    app.router.add_route("*", "/{path:.*}", answer)
    found = Site(server)
    await server.start_server()
    yield found
    await server.close()


async def _answers(request: web.BaseRequest) -> web.StreamResponse:
    name = request.path.strip("/")
    if name == "to":
        raise web.HTTPFound(request.query.get("at", "/x.png"))
    if name.startswith("loop"):
        raise web.HTTPFound(f"/loop{int(name[4:] or 0) + 1}")
    if name == "hop2":
        raise web.HTTPMovedPermanently("hop1")
    if name == "hop1":
        raise web.HTTPTemporaryRedirect("/x.png")
    if name == "gone":
        raise web.HTTPNotFound
    if name == "slow":
        await asyncio.sleep(30)
    if name == "endless":
        response = web.StreamResponse(headers={"content-type": "image/png"})
        await response.prepare(request)
        while True:
            await response.write(bytes(10_000))
    if name == "packed":
        return web.Response(body=gzip.compress(bytes(10_000_000)), headers={"content-encoding": "gzip"})
    return web.Response(body=PNG, content_type="image/png")


async def refused(url: str, max_bytes: int = 1000, **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        await fetch(url, max_bytes, **more)
    assert "127.0.0" not in caught.value.message
    return caught.value


async def test_the_content_comes_with_the_type_that_the_host_says(site: Site) -> None:
    assert await fetch(site.url(), 1000, allow=anywhere) == (PNG, "image/png")
    (request,) = site.asked
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization"} & {name.lower() for name in request.headers}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "0.0.0.0", "127.0.0.1.",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]", "LOCALHOST"],
)  # fmt: skip
async def test_no_spelling_of_this_machine_is_reached(site: Site, host: str) -> None:
    error = await refused(site.url(host=host))
    assert error.code in {"image_url_denied", "image_url_unreadable"}
    assert not site.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_told_as_such(site: Site, host: str) -> None:
    assert (await refused(site.url(host=host))).code == "image_url_denied"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
     "0.0.0.0", "192.0.0.192", "64:ff9b:1::a00:1", "3fff::1",
     "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "198.18.0.1", "::1", "::",
     "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
     "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1",
     "2001:0:4136:e378:8000:63bf:f5ff:fffe"],
)  # fmt: skip
def test_addresses_that_are_not_of_the_open_internet_are_denied(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_open_internet_are_allowed(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_public_name_with_a_private_address_is_judged_by_the_address(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no look before the connection that a second answer of the name server could contradict."""
    looks: list[str] = []

    async def inside(self: object, host: str, port: int, **_: object) -> list[Any]:
        looks.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", inside)
    assert (await refused(site.url(host="images.example"))).code == "image_url_denied"
    assert (looks, site.asked) == (["images.example"], [])


async def test_of_several_addresses_only_the_allowed_are_tried(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(self: object, host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", two)
    only: Callable[[Address], bool] = lambda address: str(address) == "127.0.0.1"  # noqa: E731
    assert (await fetch(site.url(host="two.example"), 1000, allow=only))[0] == PNG


async def test_three_redirects_are_followed_and_no_more(site: Site) -> None:
    assert (await fetch(site.url("/hop2"), 1000, allow=anywhere))[0] == PNG
    assert "redirects" in (await refused(site.url("/loop"), allow=anywhere)).message
    assert len(site.asked) == 3 + 4


async def test_every_redirect_is_judged_again(site: Site) -> None:
    def only_one(address: Address) -> bool:
        return str(address) == "127.0.0.1"

    inside = site.url(host="127.0.0.2")
    assert (await refused(site.url(f"/to/?at={inside}"), allow=only_one)).code == "image_url_denied"
    for at in ("file:///etc/passwd", "ftp://a.example/x", "gopher://127.0.0.1", "http://u:p@a.example/"):
        assert (await refused(site.url(f"/to/?at={at}"), allow=anywhere)).code == "image_url_unreadable"
    assert len(site.asked) == 5


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://a.example/x", "//a.example/x", "x.png", "", "http://", "http://[::1", "https://:443/",
     "http://user:word@127.0.0.1/", "data:image/png;base64,AAAA", "http://a.example:99999/"],
)  # fmt: skip
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    assert (await refused(url, allow=anywhere)).code == "image_url_unreadable"


async def test_too_much_content_is_refused_whether_announced_or_not(site: Site) -> None:
    assert (await refused(site.url(), max_bytes=50, allow=anywhere)).code == "image_too_large"
    assert (await refused(site.url("/endless"), max_bytes=50_000, allow=anywhere)).code == "image_too_large"
    assert (await fetch(site.url(), len(PNG), allow=anywhere))[0] == PNG


async def test_content_is_not_unpacked(site: Site) -> None:
    content, _ = await fetch(site.url("/packed"), 100_000, allow=anywhere)
    assert content[:2] == b"\x1f\x8b"


async def test_a_slow_host_is_given_up(site: Site) -> None:
    assert "0.05 s" in (await refused(site.url("/slow"), timeout_s=0.05, allow=anywhere)).message


async def test_errors_of_the_host_and_no_host_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "404" in (await refused(site.url("/gone"), allow=anywhere)).message
    nobody = f"http://127.0.0.1:{unused_port()}/"
    assert (await refused(nobody, allow=anywhere)).code == "image_url_unreadable"

    async def no_name(self: object, host: str, port: int, **_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", no_name)
    assert "no address" in (await refused("http://nowhere.invalid/")).message
