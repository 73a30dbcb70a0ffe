"""Checks of the providers: whether each can be reached, takes our key, and how much its rate limits leave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp

from comporta.cli.checks.site import Finding, Site, failed, ok, skipped, warning
from comporta.config.secret import without_password
from comporta.errors import ComportaError, UpstreamCredential, UpstreamError, UpstreamLimited
from comporta.providers.base import Endpoint, Query, Request, Wire
from comporta.providers.directory import Provider
from comporta.types import Input, Message, Text

_LIMIT_S = 8.0
#: Under this share of a limit a provider will soon refuse.
_LITTLE = 0.05
_REMAINING = re.compile(r"(?:x-|anthropic-)?ratelimit-(?:remaining-(\w+)|([a-z-]+)-remaining)")


async def providers(site: Site) -> list[Finding]:
    if site.known is None:
        return skipped("providers", "the configuration has mistakes")
    remote = {name: one for name, one in site.known.providers.items() if not one.row.local}
    if not remote:
        return warning(
            "providers", "none has a key; only the built-in offline model answers", "export OPENAI_API_KEY=sk-…"
        )
    found = await asyncio.gather(*(_check(site, name, one) for name, one in remote.items()))
    return [finding for findings in found for finding in findings]


async def _check(site: Site, name: str, provider: Provider) -> list[Finding]:
    title = f"provider {name}"
    wire = provider.speaks
    if provider.row.name == "ollama" or not isinstance(wire, Wire):
        return []  # Ollama has a check of its own
    try:
        _, endpoint = provider.endpoint()
    except UpstreamCredential as error:
        variable = provider.row.env[0] if provider.row.env else f"{name.upper()}_API_KEY"
        return failed(title, error.message, f"export {variable}=…")
    request = _one_token(provider, wire, endpoint) if site.ask else None
    request = request or wire.listing(endpoint)
    if request is None:
        request = Request(url=endpoint.base_url, body=b"", method="HEAD")
    return await _ask(site, title, wire, request)


def _one_token(provider: Provider, wire: Wire, endpoint: Endpoint) -> Request | None:
    """The smallest call there is; what it costs is a fraction of a cent."""
    model = provider.row.default_model or next(iter(provider.models), "")
    if not model:
        return None
    content = Input(messages=(Message(role="user", parts=(Text("Hi"),)),), max_tokens=1)
    try:
        return wire.encode(Query(kind="chat", input=content, model=model), endpoint)
    except ComportaError:
        return None


async def _ask(site: Site, title: str, wire: Wire, request: Request) -> list[Finding]:
    try:
        async with (
            asyncio.timeout(_LIMIT_S),
            site.http.request(
                request.method, request.url, data=request.body or None, headers=request.headers, allow_redirects=False
            ) as response,
        ):
            headers = {key.lower(): value for key, value in response.headers.items()}
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        place = without_password("/".join(request.url.split("/")[:3]))
        host = place.rpartition("/")[2]
        reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        return failed(title, f"{host} can't be reached ({reason})", f"curl -sS -m 5 -o /dev/null {place}")
    if response.status < 400 or request.method == "HEAD":
        return _accepted(title, headers, request.method)
    return _refused(title, wire.fault(response.status, headers, body), headers)


def _accepted(title: str, headers: Mapping[str, str], method: str) -> list[Finding]:
    limits = rate_limits(headers)
    if method == "HEAD":
        return ok(title, "can be reached; it has no list of models to try the key on")
    if not limits:
        return ok(title, "can be reached and takes the key; it tells its rate limits with calls only (see --ask)")
    text = "takes the key; left: " + ", ".join(f"{left} of {limit} {what}" for what, (left, limit) in limits.items())
    if any(limit and left < limit * _LITTLE for left, limit in limits.values()):
        return warning(title, f"{text}: soon used up")
    return ok(title, text)


def _refused(title: str, error: UpstreamError, headers: Mapping[str, str]) -> list[Finding]:
    if isinstance(error, UpstreamCredential):
        return failed(title, "can be reached and refuses the key", "comporta config show --origins")
    if isinstance(error, UpstreamLimited):
        waits = f"; it wants {error.retry_after_s:g} s of pause" if error.retry_after_s else ""
        return warning(title, f"takes the key and its rate limit is used up{waits}")
    return warning(title, f"can be reached and answers: {error.message}")


def rate_limits(headers: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """What is left and of how much, by what is counted (requests, tokens); 0 where the whole is not told."""
    found = {}
    for name, value in headers.items():
        match = _REMAINING.fullmatch(name)
        if match is not None and value.isdecimal():
            limit = headers.get(name.replace("remaining", "limit"), "")
            found[match[1] or match[2]] = (int(value), int(limit) if limit.isdecimal() else 0)
    return found
