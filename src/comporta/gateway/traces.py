"""`POST /v1/traces`: spans that applications send, as OpenTelemetry's exporters do. They are kept unread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from comporta.errors import BadRequest
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page
from comporta.telemetry.otlp.inbox import Envelope
from comporta.types import Caller

#: What an exporter may send, and the answer that says that all of it was taken.
_TYPES = {"application/x-protobuf": b"", "application/json": b"{}"}
_ENCODINGS = ("identity", "gzip")
#: A longer body would hold up calls while it is looked at; what is wrong with it is counted when it is read.
_LOOKED_AT_BYTES = 256 * 1024

Keep = Callable[[Envelope], Awaitable[None]]


class TracesPage:
    """The page. `authenticate` knows the caller, `admit` may refuse (draining), `keep` takes a batch as it is."""

    def __init__(self, authenticate: Callable[[str], Caller], admit: Callable[[], None], keep: Keep) -> None:
        self._authenticate = authenticate
        self._admit = admit
        self._keep = keep

    async def post(self, asked: Asked) -> Page:
        """200 with what OTLP answers. What is wrong with single spans is counted when they are read."""
        caller = self._authenticate(secret_of(asked.headers))
        self._admit()
        content_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in _TYPES:
            raise _unsupported("Content-Type", content_type, " or ".join(_TYPES))
        encoding = asked.headers.get("content-encoding", "identity").strip().lower() or "identity"
        if encoding not in _ENCODINGS:
            raise _unsupported("Content-Encoding", encoding, " or ".join(_ENCODINGS))
        if content_type == "application/json" and encoding == "identity" and len(asked.body) <= _LOOKED_AT_BYTES:
            _check(asked.body)
        await self._keep(Envelope(caller, content_type, encoding, asked.body))
        return Page(_TYPES[content_type], content_type)


class _Batch(Struct):
    """As much of a batch as is looked at here: nothing is made of what is in it."""

    resourceSpans: list[msgspec.Raw] = []  # noqa: N815 (OTLP's name)


_decoder = msgspec.json.Decoder(_Batch)


def _check(body: bytes) -> None:
    try:
        groups = _decoder.decode(body).resourceSpans
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        groups = [msgspec.Raw(b"none")]
    if not all(bytes(group).startswith(b"{") for group in groups):
        raise BadRequest("The body is not OTLP's JSON: an object with `resourceSpans`.", code="invalid_json") from None


def _unsupported(header: str, found: str, wanted: str) -> BadRequest:
    return BadRequest(
        f"Spans come with the {header} {wanted}; this has {found[:100]!r}.", code="unsupported_encoding", status=415
    )
