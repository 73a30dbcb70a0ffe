"""Where answers come from: a gate over HTTP, or one inside this process; both answer bodies of OpenAI's chat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import msgspec
from msgspec import Struct

from comporta.errors import BadRequest, ComportaError, RateLimited, Unavailable, UpstreamTimeout
from comporta.evaluation.base import Guarded
from comporta.guardrails.call import VERDICTS
from comporta.pipeline import Call, reply_of
from comporta.prompts.values import Guardrails
from comporta.providers.base import Query
from comporta.providers.openai import OpenAI
from comporta.providers.openai_encode import body_of
from comporta.types import JSON, Input, Reply

TIMEOUT_S = 600.0
_ATTEMPTS = 4
_LONGEST_WAIT_S = 30.0
#: Providers inside the gate: what they answer costs nothing, whether or not somebody gave them a price.
_FREE = ("scripted", "offline", "local")
#: No test may be answered from a cache: the second repeat would be the first one again.
FRESH = {"cache-control": "no-store"}
#: Codes of refusals that are an answer: a guard did what it is for.
GUARD_CODES = ("guardrail_blocked", "content_filter")


class Sent(Struct, frozen=True, omit_defaults=True):
    """An answer and what it took; None is unknown."""

    reply: Reply
    latency_s: float
    cost_microusd: int | None = None
    model: str | None = None
    guards: tuple[Guarded, ...] | None = None


class Target(Protocol):
    """Answers a body of OpenAI's chat completions, and asks for judges. Raises ComportaError."""

    async def send(self, body: JSON, timeout_s: float | None = None, guardrails: Guardrails | None = None) -> Sent:
        """The whole answer; `guardrails` are those of the prompt's file."""

    async def ask(self, call: Call) -> Reply:
        """The reply to a judge's call; its `cost_microusd` is set on the call."""


class Inside(Protocol):
    """What of a gate in this process is needed here (`comporta.Gate` has it)."""

    def call(self, messages: Any, model: str = ..., *, timeout_s: float | None = ..., **params: Any) -> Call: ...

    async def ask(self, call: Call) -> Reply: ...


class InProcess:
    """A gate inside this process; `guards_fact` is where its calls say which guards their prompt wants."""

    def __init__(self, gate: Inside, guards_fact: str = "prompt_guards") -> None:
        self._gate = gate
        self._guards_fact = guards_fact

    async def send(self, body: JSON, timeout_s: float | None = None, guardrails: Guardrails | None = None) -> Sent:
        rest = {name: value for name, value in body.items() if name not in ("messages", "model")}
        call = self._gate.call(body["messages"], body["model"], timeout_s=timeout_s, **rest)
        call.headers |= FRESH
        if guardrails is not None and (guardrails.input or guardrails.output):
            call.facts[self._guards_fact] = guardrails
        try:
            reply = await self._gate.ask(call)
        except ComportaError as error:
            return refused(error, call.latency_s, _guards(call))
        _settle(call)
        return Sent(reply, call.latency_s, call.cost_microusd, call.reply_model, _guards(call))

    async def ask(self, call: Call) -> Reply:
        try:
            return await self._gate.ask(call)
        finally:
            _settle(call)


class OverHTTP:
    """A gate elsewhere, asked with a key. Use it as `async with`.

    The guards that run are those that the gate knows: those of a file that nobody pushed are not among them.
    """

    def __init__(self, url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = f"{url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json", **FRESH}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._wire = OpenAI("The gate")

    async def __aenter__(self) -> OverHTTP:
        # How many run at once is the runner's to say.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=self._headers)
        return self

    async def __aexit__(self, *ending: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, body: JSON, timeout_s: float | None = None, guardrails: Guardrails | None = None) -> Sent:
        started_s = time.perf_counter()
        try:
            text, headers = await self._patiently(body, timeout_s or self._timeout_s, {})
        except ComportaError as error:
            return refused(error, time.perf_counter() - started_s)
        latency_s = time.perf_counter() - started_s
        reply = reply_of(self._wire.reply(Query("chat", Input(), str(body.get("model"))), text))
        return Sent(reply, latency_s, _cost(headers), headers.get("x-comporta-model") or reply.model)

    async def ask(self, call: Call) -> Reply:
        query = Query("chat", call.input, call.model)
        text, headers = await self._patiently(body_of(query, {})[0], self._timeout_s, call.headers)
        call.cost_microusd = _cost(headers)
        return reply_of(self._wire.reply(query, text))

    async def _patiently(self, body: JSON, timeout_s: float, headers: Mapping[str, str]) -> tuple[bytes, JSON]:
        """One answer; where the gate says «too many» or «not now» and when to come back, it is asked again then."""
        for attempt in range(_ATTEMPTS):
            try:
                return await self._once(body, timeout_s, headers)
            except (RateLimited, Unavailable) as error:
                wait_s = error.retry_after_s if error.retry_after_s is not None else 2.0**attempt
                if attempt == _ATTEMPTS - 1 or wait_s > _LONGEST_WAIT_S:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, body: JSON, timeout_s: float, headers: Mapping[str, str]) -> tuple[bytes, JSON]:
        assert self._session is not None, "used outside of `async with`"
        limit = aiohttp.ClientTimeout(total=timeout_s)
        data = msgspec.json.encode(body)
        try:
            async with self._session.post(self._url, data=data, headers=dict(headers), timeout=limit) as answer:
                found = {name.lower(): value for name, value in answer.headers.items()}
                text = await answer.read()
        except TimeoutError:
            raise UpstreamTimeout(f"The gate did not answer within {timeout_s:g} s.", code="total_timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ComportaError(
                f"The gate at {self._url} can't be reached ({type(error).__name__}). Is it running?",
                code="gate_unreachable",
            ) from None
        if answer.status >= 400:
            raise _failure(answer.status, found, text)
        return text, found


def refused(error: ComportaError, latency_s: float, guards: tuple[Guarded, ...] = ()) -> Sent:
    """What a guard refused is an answer without text; any other error is raised again."""
    if error.code not in GUARD_CODES:
        raise error
    return Sent(Reply(), latency_s, 0, guards=guards or (Guarded(error.code, "block", error.message),))


def _guards(call: Call) -> tuple[Guarded, ...]:
    """What the gate's guards found in a call."""
    return tuple(Guarded(one.guard, one.outcome, one.reason) for one in call.facts.get(VERDICTS, ()))


def _failure(status: int, headers: Mapping[str, str], text: bytes) -> ComportaError:
    try:
        said = msgspec.json.decode(text)["error"]
        message, code, param = str(said["message"]), str(said["code"]), said.get("param")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message, code, param = f"The gate answered {status}, and not as a Comporta gate does.", "not_a_gate", None
    after = headers.get("retry-after", "")
    after_s = float(after) if after.isdecimal() else None
    kinds = {400: BadRequest, 429: RateLimited, 503: Unavailable}
    return kinds.get(status, ComportaError)(message, code=code, param=param, status=status, retry_after_s=after_s)


def _settle(call: Call) -> None:
    if call.cost_microusd is None and call.target is not None and call.target.provider in _FREE:
        call.cost_microusd = 0


def _cost(headers: Mapping[str, str]) -> int | None:
    try:
        return round(float(headers["x-comporta-cost-usd"]) * 1_000_000)
    except (KeyError, ValueError):
        return 0 if headers.get("x-comporta-provider") in _FREE else None
