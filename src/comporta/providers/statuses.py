"""What a provider's refusal means, by status and code alone, and how much of its own text may be repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from comporta.errors import (
    UpstreamCredential,
    UpstreamError,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
)
from comporta.providers.retry_after import MAX_RETRY_AFTER_S, retry_after_s

#: What a body that is no usable JSON raises; the last one stands for a nesting that would exhaust the stack.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: As much of a provider's explanation as a caller needs to mend a request.
_MAX_TEXT = 500
#: Anything that looks like a credential; a provider may quote ours back at us.
_SECRET: Final = re.compile(r"\b(?:sk-|AIza|hf_|gsk_|Bearer\s+)[\w\-.]{8,}")
CONTEXT_TOO_LONG: Final = "context_length_exceeded"
_REJECTED_CODES: Final = {404: "model_not_found", 413: "request_too_large"}


def noticed_too_long(error: UpstreamError, tokens: int, context: int | None) -> None:
    """Name a refusal that its wire has no word for: what is larger than the model's context was too long for it.

    Only a plain 400 is named, and only after the provider refused: the estimate alone says too little.
    """
    plain = error.__class__ is UpstreamRejected and error.code == UpstreamRejected.code and error.status == 400
    if plain and context is not None and tokens > context:
        error.code = CONTEXT_TOO_LONG


def said(text: object) -> str:
    """A provider's own words about the caller's request, short and with nothing in them like a credential."""
    if not isinstance(text, str):
        return ""
    clean = _SECRET.sub("[secret]", " ".join(text.split()))
    return clean if len(clean) <= _MAX_TEXT else f"{clean[:_MAX_TEXT]}…"


def decoded(body: bytes) -> object:
    """The JSON in an error's body, or None: a proxy in between may well answer in HTML."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None


def fault_for(
    provider: str,
    status: int,
    headers: Mapping[str, str],
    text: object = None,
    *,
    code: str | None = None,
    wait_s: float | None = None,
) -> UpstreamError:
    """The failure that a status stands for. `text` is told only where the request itself is at fault.

    `code` is the finer word, where the wire knows one; `wait_s` stands in where no Retry-After came.
    """
    wait = retry_after_s(headers)
    if wait is None and wait_s is not None:
        wait = min(wait_s, MAX_RETRY_AFTER_S)
    if status in (401, 402, 403):
        return UpstreamCredential(f"{provider} refuses the gate's credential (HTTP {status}).")
    if status == 429:
        return UpstreamLimited(f"{provider} limits the rate of requests (HTTP 429).", code=code, retry_after_s=wait)
    if status >= 500 or status in (408, 409) or status < 400:
        code = code or ("upstream_overloaded" if status in (503, 529) else None)
        return UpstreamFault(f"{provider} failed (HTTP {status}).", code=code, retry_after_s=wait)
    kind = UpstreamFiltered if code == "content_filter" else UpstreamRejected
    words = said(text)
    message = (
        f"{provider} rejects the request: {words}" if words else f"{provider} rejects the request (HTTP {status})."
    )
    return kind(message, status=status, code=code or _REJECTED_CODES.get(status))
