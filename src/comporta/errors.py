"""Every failure a caller can meet, on one tree.

    ComportaError
    ├── ConfigError                     a mistake in the configuration, with file, path and line
    ├── Refused                         we say no before anything is sent
    │   ├── BadRequest 400              ── Unsupported 400, ContextTooLong 400, BodyTooLarge 413
    │   ├── GuardrailBlocked 400            a guard found what must not pass
    │   ├── InvalidKey 401, Forbidden 403, NotFound 404, Conflict 409
    │   └── BudgetExceeded 402, RateLimited 429
    ├── UpstreamError 502               the provider failed
    │   ├── UpstreamRejected            it says the request is wrong: its own 4xx, passed on
    │   ├── UpstreamLimited 429         its rate limit
    │   ├── UpstreamCredential 502      it refuses *our* key: never the caller's fault (WIRE 14)
    │   ├── UpstreamFault 502           5xx, or an error inside a 200
    │   ├── UpstreamUnreachable 502     no connection
    │   ├── UpstreamCut 502             the answer ended before its end
    │   └── UpstreamTimeout 504         one of the time limits
    ├── Unavailable 503                 something of ours is away ── GuardFailed 503
    └── ClientGone 499                  nobody is listening any more (in records only)

`status` is what a client sees, `code` is finer and stable, `type` is the family. A message never holds upstream text
that could carry a secret: wires build it from status and code.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ComportaError(Exception):
    """The root. `param` names the field at fault; `retry_after_s` becomes a Retry-After header.

    `details` are data that stand in the error's body beside its message: of a chain, what came before the failure.
    """

    status: int = 500
    code: str = "internal_error"
    type: str = "api_error"
    #: Whether asking again (same or other variant) can help.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        status: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = details
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class ConfigError(ComportaError):
    """The configuration can't be used; the message holds one line per mistake."""

    code = "config_error"


class Refused(ComportaError):
    """We say no before anything is sent to a provider."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class BadRequest(Refused):
    """The request is malformed."""


class Unsupported(BadRequest):
    """The chosen model or wire can't do what was asked (WIRE 12): silence would be a lie."""

    code = "unsupported_parameter"


class ContextTooLong(BadRequest):
    """The input does not fit the model."""

    code = "context_length_exceeded"


class BodyTooLarge(BadRequest):
    """The body is larger than `server.max_body`."""

    status = 413
    code = "request_too_large"


class GuardrailBlocked(Refused):
    """A guard found what must not pass; which guard is said, and never what it matched."""

    code = "guardrail_blocked"


class InvalidKey(Refused):
    """The caller's key is missing, unknown, expired or revoked."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class Forbidden(Refused):
    """The key is good but may not do this."""

    status = 403
    code = "forbidden"
    type = "permission_error"


class NotFound(Refused):
    """No such route, model or object."""

    status = 404
    code = "not_found"


class Conflict(Refused):
    """The object exists already, or belongs to the configuration file."""

    status = 409
    code = "conflict"


class BudgetExceeded(Refused):
    """A budget has no room: 402, since SDKs would retry a 429."""

    status = 402
    code = "budget_exceeded"
    type = "budget_exceeded"


class RateLimited(Refused):
    """One of our own limits; carries `retry_after_s`."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit"


class UpstreamError(ComportaError):
    """The provider failed."""

    status = 502
    code = "upstream_error"
    retryable = True


class UpstreamRejected(UpstreamError):
    """The provider says that the request is wrong; its 4xx is passed on."""

    status = 400
    code = "upstream_rejected"
    type = "invalid_request_error"
    retryable = False


class UpstreamFiltered(UpstreamRejected):
    """The provider's content filter refused; not routed around (WIRE 16)."""

    code = "content_filter"


class UpstreamLimited(UpstreamError):
    """The provider's rate limit."""

    status = 429
    code = "upstream_rate_limited"
    type = "rate_limit"


class UpstreamCredential(UpstreamError):
    """The provider refuses our credential: an operator's problem, so 502 and never 401."""

    code = "upstream_credential_refused"


class UpstreamFault(UpstreamError):
    """The provider answered 5xx, or sent an error inside a 200."""

    code = "upstream_fault"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider."""

    code = "upstream_unreachable"


class UpstreamCut(UpstreamError):
    """The answer ended before its end (WIRE 5)."""

    code = "upstream_cut"


class UpstreamTimeout(UpstreamError):
    """A time limit passed; `code` says which: connect_timeout, first_token_timeout, idle_timeout, total_timeout."""

    status = 504
    code = "timeout"
    type = "timeout"


class Unavailable(ComportaError):
    """Something of ours is away (database, Redis, spool full)."""

    status = 503
    code = "unavailable"
    retryable = True


class GuardFailed(Unavailable):
    """A guard that lets nothing through unseen could not look."""

    code = "guard_failed"


class ClientGone(ComportaError):
    """The client closed the connection; stands in records only."""

    status = 499
    code = "client_closed"
    type = "client_closed"
