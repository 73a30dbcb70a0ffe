"""Guards of one's own: a Python function, or a service that is asked over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import inspect
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from comporta.errors import ConfigError, Unavailable
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Outcome, Posts, Severity, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.types import JSON

SIGNATURE = "x-comporta-signature"
TIMESTAMP = "x-comporta-timestamp"
_MOST_BYTES = 256 * 1024
_LONGEST_REASON = 300


class CustomSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two. `options` is handed on to it as it stands."""

    #: `package.module:function`, one of `guardrails.functions`.
    function: str | None = None
    #: Where texts are posted to.
    url: str | None = None
    #: Signs what is posted; name an environment variable with `${NAME}`.
    secret: str | None = None
    headers: dict[str, str] = {}
    timeout_s: float = 2.0
    options: JSON = {}


class Answer(Struct, frozen=True):
    """What a function or service may say; fields beyond these are left aside."""

    outcome: Outcome | None = None
    #: In place of an outcome: whether the text may pass.
    allow: bool | None = None
    severity: Severity = "warning"
    reason: str = ""
    confidence: float = 1.0
    spans: list[JSON] = []
    text: str | None = None


def custom(settings: CustomSettings, tools: Tools) -> Guard:
    """Asks a function or a service. Raises ConfigError for what is not allowed or not there."""
    if (settings.function is None) == (settings.url is None):
        raise ConfigError("custom: give `function` or `url`, one of the two")
    if settings.function is not None:
        return _of_function(settings.function, settings, tools)
    if tools.post is None:
        raise ConfigError("custom: nothing here can post to `url`")
    return _of_hook(settings, tools.post)


# ---- a function -----------------------------------------------------------------------------------------------------


def _of_function(name: str, settings: CustomSettings, tools: Tools) -> Guard:
    if name not in tools.functions:
        raise ConfigError(f"custom: '{name}' is not listed under guardrails.functions, and only what stands there runs")
    function = _found(name)

    async def guard(text: Text, context: Context) -> Verdict:
        said = _said(text, context, settings)
        if inspect.iscoroutinefunction(function):
            answer = await function(text.raw, said)
        else:
            # It may take its time: the loop is not for that.
            answer = await asyncio.to_thread(function, text.raw, said)
        return _verdict(answer, text, f"the function '{name}'")

    return guard


def _found(name: str) -> Callable[[str, JSON], Any]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"custom: '{name}' can't be imported ({type(error).__name__}: {error})") from None
    if not callable(found):
        raise ConfigError(f"custom: '{name}' is no function")
    return found  # type: ignore[no-any-return]


# ---- a service ------------------------------------------------------------------------------------------------------


def _of_hook(settings: CustomSettings, post: Posts) -> Guard:
    url = settings.url or ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("custom: `url` must begin with http:// or https:// and name a host")
    if not 0 < settings.timeout_s <= 60:
        raise ConfigError(f"custom: timeout_s must be over 0 and at most 60, not {settings.timeout_s:g}")

    async def guard(text: Text, context: Context) -> Verdict:
        body = msgspec.json.encode({"text": _sound(text.raw), "context": _said(text, context, settings)})
        headers = {**settings.headers, "content-type": "application/json", **_signed(settings.secret, body)}
        try:
            async with asyncio.timeout(settings.timeout_s):
                status, came = await post(url, body, headers, settings.timeout_s, _MOST_BYTES)
        except TimeoutError:
            raise _failed(f"did not answer within {settings.timeout_s:g} s") from None
        except OSError as error:
            raise _failed(f"could not be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise _failed(f"answered with status {status}")
        try:
            answer = msgspec.json.decode(came)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise _failed("answered with no JSON") from None
        return _verdict(answer, text, "the hook")

    return guard


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver compares: HMAC-SHA256 in hex over the time, a full stop and the body, with `v1=` before it."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _signed(secret: str | None, body: bytes) -> dict[str, str]:
    if secret is None:
        return {}
    now = str(int(time.time()))
    return {TIMESTAMP: now, SIGNATURE: signature(secret, now, body)}


# ---- both -----------------------------------------------------------------------------------------------------------


def _said(text: Text, context: Context, settings: CustomSettings) -> JSON:
    """What it is told beside the text."""
    caller = context.caller
    said = {
        "side": context.side, "place": context.place, "threshold": context.threshold, "question": context.question,
        "passages": list(context.passages), "system": context.system, "schema": context.schema,
        "language": context.language, "session": context.session, "model": context.model, "whole": context.whole,
        "key": None if caller is None else caller.name, "team": None if caller is None else caller.team,
        "options": settings.options,
    }  # fmt: skip
    return {name: _sound(one) if isinstance(one, str) else one for name, one in said.items()} | {
        "passages": [_sound(one) for one in context.passages]
    }


def _sound(text: str) -> str:
    """Halves of surrogate pairs, which JSON may smuggle in, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _verdict(answer: Any, text: Text, who: str) -> Verdict:
    """The verdict in an answer: a Verdict, a truth value (True: it may pass), nothing (it may), or a mapping."""
    if isinstance(answer, Verdict):
        return answer
    if answer is None or answer is True:
        return PASS
    if answer is False:
        return Verdict("flag", reason="it may not pass", confidence=1.0)
    try:
        said = msgspec.convert(answer, Answer)
        return _of_answer(said, len(text.raw))
    except (msgspec.ValidationError, ValueError, TypeError, KeyError):
        raise _failed("answered with something that is no verdict", who) from None


def _of_answer(said: Answer, size: int) -> Verdict:
    if said.outcome is None and said.allow is None:
        raise ValueError("neither outcome nor allow")
    outcome = said.outcome or ("pass" if said.allow else "flag")
    if outcome in ("redact", "rewrite"):
        # What becomes of a finding is the policy's word.
        outcome = "flag"
    spans = tuple(_span(one, size) for one in said.spans)
    sure = min(1.0, max(0.0, said.confidence))
    verdict = Verdict(outcome, said.severity, said.reason[:_LONGEST_REASON], spans, sure, said.text)
    return structs.replace(verdict, confidence=1.0) if outcome == "block" else verdict


def _span(one: JSON, size: int) -> Match:
    start, end = int(one["start"]), int(one["end"])
    if not 0 <= start < end <= size:
        raise ValueError("a span outside the text")
    kind = "".join(c for c in str(one.get("kind", "CUSTOM")).upper() if c.isalnum() or c == "_")[:40]
    return Match(start, end, kind or "CUSTOM")


def _failed(what: str, who: str = "the hook") -> Unavailable:
    return Unavailable(f"A custom guard could not say: {who} {what}.", code="guard_hook_failed")


KINDS = (
    Kind("custom", custom, CustomSettings, slow=True, needs="sentence", alone=False, aliases=("hook",), timeout_s=60.0,
         about="Asks a Python function of yours, or a service of yours over HTTP."),
)  # fmt: skip
