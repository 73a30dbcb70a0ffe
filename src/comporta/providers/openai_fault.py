"""What the errors of OpenAI-like upstreams mean, as answers and inside a 200, by status and code alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from comporta.errors import UpstreamCredential, UpstreamError, UpstreamFault, UpstreamLimited, UpstreamTimeout
from comporta.providers.retry_after import MAX_RETRY_AFTER_S, retry_after_s
from comporta.providers.statuses import decoded, fault_for

#: Codes and types, lower case, and the status they stand for.
_CONTEXT: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_FILTER: Final = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "image_content_policy_violation",
        "bio_policy",
    }
)
_MONEY: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits"}
)
_STATUSES: Final = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_prompt": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "timeout": 408,
    "invalid_image": 400,
    "invalid_image_format": 400,
    "invalid_base64_image": 400,
    "invalid_image_url": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "image_parse_error": 400,
    "image_file_too_large": 400,
    "unsupported_image_media_type": 400,
    "empty_image_file": 400,
    "failed_to_download_image": 400,
}
#: Runs of letters and digits as long as keys are; words, numbers and names of models stay.
_KEY: Final = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{24,}")


class Said(Struct, frozen=True):
    """What an error object says, whichever of the usual forms it has."""

    words: tuple[str, ...] = ()
    status: int | None = None
    param: str | None = None
    message: str = ""
    wait_s: float | None = None


def said_in(value: Any) -> Said:
    """Reads `{"error": {…}}`, `{"error": "…"}`, `{"object": "error", …}` and `{"detail": …}`."""
    if not isinstance(value, dict):
        return Said()
    error = value.get("error")
    inner = error if isinstance(error, dict) else value
    message = inner.get("message") or (error if isinstance(error, str) else value.get("detail"))
    nested = inner.get("innererror")
    metadata = inner.get("metadata")
    words = [inner.get("code"), inner.get("type"), value.get("error_type")]
    words.append(nested.get("code") if isinstance(nested, dict) else None)
    if isinstance(metadata, dict) and metadata.get("flagged_input") is not None:
        words.append("content_filter")
    param = inner.get("param")
    if param == "input_tokens":
        # vLLM names the field that ran over rather than a code.
        words.append("context_length_exceeded")
    return Said(
        words=tuple(word.lower() for word in words if isinstance(word, str)),
        status=_status(inner.get("code")) or _status(inner.get("status")),
        param=param if isinstance(param, str) else None,
        message=_KEY.sub("[…]", message) if isinstance(message, str) else "",
        wait_s=_wait(value.get("estimated_time")),
    )


def _status(code: Any) -> int | None:
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
    return number if isinstance(number, int) and 400 <= number <= 599 else None


def _wait(value: Any) -> float | None:
    """Hugging Face says so how long a model will take to load."""
    return min(float(value), MAX_RETRY_AFTER_S) if isinstance(value, int | float) and value >= 0 else None


def fault_of(provider: str, status: int, headers: Mapping[str, str], said: Said) -> UpstreamError:
    """The failure that a status and an error's code stand for."""
    words = frozenset(said.words)
    if words & _FILTER and status < 500:
        error = fault_for(provider, 400, headers, said.message, code="content_filter")
    elif words & _CONTEXT and status < 500:
        error = fault_for(provider, 400, headers, said.message, code="context_length_exceeded")
    elif words & _MONEY:
        error = UpstreamCredential(
            f"{provider} refuses the gate's credential: its quota or credit is used up (HTTP {status}).",
            code="upstream_quota_exceeded",
        )
    elif status == 408:
        error = UpstreamTimeout(f"{provider} gave up waiting (HTTP 408).", code="upstream_timeout")
    elif status == 409:
        wait_s = retry_after_s(headers)
        error = UpstreamLimited(f"{provider} is busy with a conflicting request (HTTP 409).", retry_after_s=wait_s)
    else:
        error = fault_for(provider, status, headers, said.message, wait_s=said.wait_s)
    if 400 <= error.status < 500:
        error.param = said.param
    return error


def fault(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What a non-2xx answer means."""
    return fault_of(provider, status, headers, said_in(decoded(body)))


def fault_inside(provider: str, value: Any) -> UpstreamError:
    """What an error object inside a 200 means (WIRE 3): by its own status, else by its code, else a fault of theirs."""
    said = said_in(value)
    status = said.status or next((_STATUSES[word] for word in said.words if word in _STATUSES), None)
    if status is None and frozenset(said.words) & (_CONTEXT | _FILTER | _MONEY):
        status = 400
    if status is None:
        return UpstreamFault(f"{provider} sent an error inside an answer that began as a success.")
    return fault_of(provider, status, {}, said)


def unreadable(provider: str, what: str) -> UpstreamFault:
    return UpstreamFault(f"{provider} answered with {what}.", code="upstream_malformed")
