"""Words that the page's operations share: parameters, headers of answers, refusals by status."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

_WORD: JSON = {"type": "string"}

#: Headers that a client may send.
SENT: dict[str, str] = {
    "x-request-id": "Kept and returned where it is up to 128 letters, digits, `.`, `_`, `:` and `-`; else one is made.",
    "x-comporta-session": "The session; else `metadata.session_id` of the body.",
    "x-comporta-user": "The user, where the body names none.",
    "x-comporta-tags": "Tags of the call, `name=value` with commas between, where its key leaves them open.",
    "cache-control": "`no-cache`, `no-store`, `max-age`: the caller's say about the cache.",
    "x-comporta-cache": "`off` leaves the caches alone, `exact` wants the answer to this very question or none.",
    "x-comporta-cache-tags": "Tags with commas between them, by which this answer can be cleared from the caches.",
    "anthropic-version": "Passed on to Anthropic.",
    "anthropic-beta": "Passed on to Anthropic.",
    "idempotency-key": "The identity of what has no `id` of its own: sent again, it is the same.",
    "if-none-match": "The `etag` of what the client holds.",
}
_TAG = "[A-Za-z0-9._%-]{1,100}=[A-Za-z0-9._%-]{1,200}"
#: Headers that are refused in any other form; every other one is read as far as it can be.
_FORMS: dict[str, JSON] = {
    "x-comporta-tags": {"type": "string", "pattern": f"^{_TAG}(,{_TAG}){{0,15}}$"},
}
ID = ("x-request-id",)
CALL = (
    *ID, "x-comporta-session", "x-comporta-user", "x-comporta-tags", "cache-control", "x-comporta-cache",
    "x-comporta-cache-tags",
)  # fmt: skip
ANTHROPIC = (*CALL, "anthropic-version", "anthropic-beta")

_NUMBER: JSON = {"type": "string", "pattern": "^[0-9]+$"}
_LIMIT = "of the limit that has least left, where there is one"

#: Headers of answers: meaning, schema, and whether they are always there.
TOLD: dict[str, tuple[str, JSON, bool]] = {
    "x-request-id": ("The client's, or ours.", {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}, True),
    "x-comporta-call": ("The call's id in the records.", {"type": "string", "format": "uuid"}, True),
    "x-comporta-retries": ("Further attempts before this answer.", _NUMBER, True),
    "x-comporta-cache": (
        "Whether an old answer was found (`semantic`: to a question that means the same), or none was looked for.",
        {"type": "string", "pattern": "^(hit|miss|bypass|semantic)(; [a-z]+=[A-Za-z0-9._-]+)*$"},
        True,
    ),
    "x-comporta-route": ("The route that was taken.", _WORD, False),
    "x-comporta-variant": ("The variant that answered.", _WORD, False),
    "x-comporta-model": ("The model that answered, not the one that failed.", _WORD, False),
    "x-comporta-provider": ("The provider that answered.", _WORD, False),
    "x-comporta-last-resort": (
        "Nobody could answer, and the route's fixed text stands in.",
        {"type": "string", "enum": ["true"]},
        False,
    ),
    "x-comporta-dropped": ("Hints that the provider can't take and did not get.", _WORD, False),
    "x-comporta-cost-usd": (
        "US dollars, on plain answers with a known price.",
        {"type": "string", "pattern": r"^[0-9]+\.[0-9]{6}$"},
        False,
    ),
    "x-comporta-prompt": ("The prompt that was asked with, as `id@version`.", _WORD, False),
    "x-comporta-unused-variables": ("Values that the prompt has no variable for.", _WORD, False),
    "x-comporta-budget": ("A budget led to a cheaper model: which, from which percent on, and to which.", _WORD, False),
    "x-comporta-guard": ("What guards did: `pii_detection=redact, secrets=block`.", _WORD, False),
    "etag": ("Changes whenever the answer does.", _WORD, False),
    "retry-after": ("Seconds, where it is known when to try again.", _NUMBER, False),
    **{
        f"x-ratelimit-{what}-{of}": (f"{told} {_LIMIT} ({of} a minute).", schema, False)
        for of in ("requests", "tokens")
        for what, told, schema in (
            ("limit", "The size", _NUMBER),
            ("remaining", "What is left", _NUMBER),
            ("reset", "When it is whole again,", {"type": "string", "pattern": "^[0-9]+s$"}),
        )
    },
}
RATES = tuple(name for name in TOLD if name.startswith("x-ratelimit-"))
ANSWERED = tuple(name for name in TOLD if name not in ("retry-after", "etag"))
#: Only on these is it known when to try again.
WAITING = ("429", "502", "503")

#: What a status means, as the key of an operation's answer.
REFUSALS: dict[str, str] = {
    "400": "The request is malformed, or asks for what the model can't do.",
    "401": "The key is missing, unknown, expired or revoked.",
    "402": "A budget has no room.",
    "403": "The key may not use this.",
    "404": "There is no such route, model or object for this key.",
    "408": "The body did not arrive within `server.body_timeout`.",
    "409": "It exists already, or belongs to the configuration file.",
    "413": "The body is larger than `server.max_body`.",
    "415": "The body is compressed: send it as it is.",
    "429": "A limit of the gate's or of the provider's; `retry-after` says when to try again.",
    "4XX": "Another refusal of the provider's, passed on with its status.",
    "500": "A fault of the gate's own: its log knows more under the request id.",
    "502": "The provider failed, or can't be reached.",
    "503": "The gate is shutting down, or something of its own is away.",
    "504": "The provider did not answer in time.",
}
OF_PROVIDERS = ("4XX", "502", "504")
OF_PAGES = ("500", "503")
OF_CALLS = (
    "400", "401", "402", "403", "404", "408", "413", "415", "429", *OF_PROVIDERS, *OF_PAGES,
)  # fmt: skip


def sent(name: str) -> JSON:
    """A header that a client may send, as a parameter."""
    schema = _FORMS.get(name, _WORD)
    return {"name": name, "in": "header", "required": False, "description": SENT[name], "schema": schema}


def told(name: str) -> JSON:
    """A header of an answer, as a component."""
    meaning, schema, always = TOLD[name]
    return {"description": meaning, "required": always, "schema": schema}
