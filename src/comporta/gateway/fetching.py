"""Fetching an image by its URL, for providers that take none: public addresses only, little, and not for long.

A URL from a caller must not reach what only this machine can reach. The address is judged when the socket is made, on
the very address that is connected to: no name can say one thing to the check and another to the connection, and
every redirect is judged again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
from yarl import URL

from comporta.errors import BadRequest

MOST_REDIRECTS = 3
TIMEOUT_S = 10.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Public by its number, yet answered inside a cloud's own network (Azure's agent).
_INSIDE = frozenset({ipaddress.ip_address("168.63.129.16")})
#: Set apart by the address registries, which older Pythons take for public.
_SET_APART = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16"))
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _Denied(OSError):
    """The address is not one that a caller may make this machine connect to."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet: not private, local, shared, special, or such a one wrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address in _INSIDE
    return address.is_global and not special and not any(address in network for network in _SET_APART)


async def fetch(
    url: str, max_bytes: int, *, timeout_s: float = TIMEOUT_S, allow: Callable[[Address], bool] = is_public
) -> tuple[bytes, str]:
    """The content and its media type. Raises BadRequest that says what is wrong with the URL or what lies there."""
    connector = aiohttp.TCPConnector(
        force_close=True, use_dns_cache=False, socket_factory=lambda found: _socket(found, allow)
    )
    try:
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False,
            headers={"accept": "image/*", "accept-encoding": "identity", "user-agent": "comporta"},
        ) as session:  # fmt: skip
            return await _follow(session, url, max_bytes)
    except TimeoutError:
        raise _unreadable(f"it did not come within {timeout_s:g} s") from None
    except aiohttp.ClientConnectorDNSError:
        raise _unreadable("its host has no address") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if _is_denied(error):
            raise BadRequest(
                "The image's URL leads to an address that is not public; send the image itself as a data URL.",
                code="image_url_denied",
            ) from None
        raise _unreadable(f"no answer from its host ({type(error).__name__})") from None


def _unreadable(reason: str) -> BadRequest:
    return BadRequest(f"The image can't be fetched by its URL: {reason}.", code="image_url_unreadable")


def _socket(found: tuple[Any, Any, int, str, Any], allow: Callable[[Address], bool]) -> socket.socket:
    family, kind, protocol, _, place = found
    try:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
    except ValueError:
        raise _Denied("no address") from None
    if not allow(address):
        raise _Denied("not public")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def _is_denied(error: BaseException) -> bool:
    """Whether the refusal of an address lies at the root; connecting to several addresses gathers their errors."""
    if isinstance(error, _Denied):
        return True
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error.__cause__, error.__context__)
    return any(_is_denied(one) for one in inner if one is not None)


async def _follow(session: aiohttp.ClientSession, url: str, max_bytes: int) -> tuple[bytes, str]:
    place = _checked_url(url)
    for _ in range(MOST_REDIRECTS + 1):
        async with session.get(place, allow_redirects=False) as response:
            if response.status in {301, 302, 303, 307, 308}:
                place = _checked_url(response.headers.get("location", ""), place)
                continue
            if response.status != 200:
                raise _unreadable(f"its host answers {response.status}")
            return await _content(response, max_bytes), response.content_type
    raise _unreadable(f"more than {MOST_REDIRECTS} redirects")


def _checked_url(url: str, base: URL | None = None) -> URL:
    try:
        place = base.join(URL(url)) if base is not None else URL(url)
    except ValueError:
        raise _unreadable("it is not a URL") from None
    if place.scheme not in {"http", "https"} or not place.host:
        raise _unreadable("only http and https are fetched")
    if place.user is not None or place.password is not None:
        raise _unreadable("it must not hold a user or a password")
    return place


async def _content(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    too_large = BadRequest(
        f"The image at its URL is larger than the {max_bytes / 1e6:.1f} MB that are allowed.", code="image_too_large"
    )
    if (response.content_length or 0) > max_bytes:
        raise too_large
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > max_bytes:
            raise too_large
    return bytes(content)
