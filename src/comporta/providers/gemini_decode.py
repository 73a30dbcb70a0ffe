"""Turns the answers of Google's Gemini API into events: plain bodies, streams, counts, vectors and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comporta.errors import UpstreamCut, UpstreamError, UpstreamFault, UpstreamFiltered
from comporta.providers.base import Query
from comporta.providers.carry import GEMINI_SIGNATURE, made_id, to_json
from comporta.providers.framing import Frame, Frames
from comporta.providers.gemini_encode import NATIVE
from comporta.providers.gemini_shapes import (
    COUNT,
    RESPONSE,
    VECTORS,
    Blob,
    Call,
    Candidate,
    Part,
    Response,
    logprobs_of,
    usage_of,
)
from comporta.providers.reading import Reading
from comporta.providers.statuses import UNREADABLE, decoded, fault_for
from comporta.types import JSON, Delta, Event, Finish, ToolDelta, Usage

#: Words that mean an answer stopped by a policy, or for a reason that is not told: never a plain `stop`.
_FILTERED: Final = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "OTHER", "IMAGE_SAFETY",
     "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE", "MODEL_ARMOR", "ESCALATION",
     "PUP_LIMITED_DISABLED"}
)  # fmt: skip
_CUT_SHORT: Final = frozenset({"MAX_TOKENS", "CONTINUATION"})
#: The model failed at its own grammar: asking again can help.
_BROKEN: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS",
     "MISSING_THOUGHT_SIGNATURE"}
)  # fmt: skip
#: Google's words for a failure, as the status they stand for.
_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 500,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_EXPIRED", "SERVICE_DISABLED"})


# ---- errors ---------------------------------------------------------------------------------------------------------


def error_of(status: int, headers: Mapping[str, str], error: object) -> UpstreamError:
    """The failure that Google's error object (`code`, `message`, `status`, `details`) stands for."""
    fields = error if isinstance(error, dict) else {}
    details = [item for item in fields.get("details") or () if isinstance(item, dict)]
    word, code = fields.get("status"), fields.get("code")
    if status < 400:
        status = _STATUSES.get(word, 0) if isinstance(word, str) else 0
        status = status or (code if isinstance(code, int) and code >= 400 else 500)
    if any(item.get("reason") in _KEY_REASONS for item in details):
        # A wrong key is answered with 400.
        status = 401
    return fault_for("Gemini", status, headers, fields.get("message"), wait_s=_retry_delay_s(details))


def _retry_delay_s(details: list[JSON]) -> float | None:
    for item in details:
        delay = item.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(0.0, float(delay[:-1]))
            except ValueError:
                return None
    return None


def fault(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    value = decoded(body)
    if isinstance(value, list) and value:
        value = value[0]
    return error_of(status, headers, value.get("error") if isinstance(value, dict) else None)


def _blocked(reason: str) -> UpstreamFiltered:
    return UpstreamFiltered(f"Gemini refuses the prompt: {reason}.")


# ---- plain ----------------------------------------------------------------------------------------------------------


def reply(query: Query, body: bytes) -> Event:
    """A plain body as one event. Raises UpstreamError for an error in it, or for what can't be read."""
    try:
        if query.kind == "count":
            return _counted(body)
        if query.kind == "embed":
            return _embedded(query, body)
        response = RESPONSE.decode(body)
    except UNREADABLE:
        raise UpstreamFault("Gemini answered with something that is no answer of its API.") from None
    reader = _Reader(query)
    event = reader.event(response, body, whole=True)
    if not reader.complete:
        raise UpstreamCut("Gemini's answer has no finish reason: it is not complete.")
    return event


def _counted(body: bytes) -> Event:
    count = COUNT.decode(body)
    if count.total_tokens is None:
        raise UpstreamFault("Gemini answered with something other than a count of tokens.")
    cached = count.cached_content_token_count or 0
    usage = Usage(input=max(0, count.total_tokens - cached), cached=cached)
    return Event(usage=usage, wire=NATIVE, raw=body, whole=True, last=True)


def _embedded(query: Query, body: bytes) -> Event:
    found = VECTORS.decode(body)
    if len(found.embeddings) != len(query.input.texts):
        raise UpstreamFault(
            f"Gemini gave {len(found.embeddings)} vectors for {len(query.input.texts)} texts.", code="upstream_cut"
        )
    usage = usage_of(found.usage_metadata) if found.usage_metadata else None
    vectors = tuple(vector.values for vector in found.embeddings)
    return Event(vectors=vectors, usage=usage, model=query.model, wire=NATIVE, raw=body, whole=True, last=True)


# ---- what one response says -----------------------------------------------------------------------------------------


class _Reader:
    """Reads responses of one answer: counts tool calls, and knows which candidates have finished."""

    __slots__ = ("_calls", "_finished", "_query")

    def __init__(self, query: Query) -> None:
        self._query = query
        self._calls: dict[int, int] = {}
        self._finished: dict[int, bool] = {}

    @property
    def complete(self) -> bool:
        return bool(self._finished) and all(self._finished.values())

    def event(self, response: Response, raw: bytes, *, whole: bool = False) -> Event:
        if response.error is not None:
            raise error_of(200, {}, response.error)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason and not response.candidates:
            raise _blocked(feedback.block_reason)
        deltas: list[Delta] = []
        for number, candidate in enumerate(response.candidates or ()):
            index = number if candidate.index is None else candidate.index
            deltas.extend(self._candidate(index, candidate))
        return Event(
            deltas=tuple(deltas),
            usage=usage_of(response.usage_metadata) if response.usage_metadata else None,
            id=response.response_id,
            model=response.model_version,
            wire=NATIVE,
            raw=raw,
            whole=whole,
            last=whole,
        )

    def _candidate(self, index: int, candidate: Candidate) -> list[Delta]:
        """Deltas in the order of the parts, as few as can be: a signature opens a new one."""
        reason = candidate.finish_reason
        if reason in _BROKEN:
            raise UpstreamFault(f"Gemini's model failed to answer: {reason}.", code="upstream_malformed_answer")
        made = _Made(index)
        for part in (candidate.content.parts if candidate.content else None) or ():
            self._part(made, part)
        finish = self._finish(index, reason)
        self._finished[index] = self._finished.get(index, False) or finish is not None
        return made.deltas(finish, logprobs_of(candidate.logprobs_result))

    def _part(self, made: _Made, part: Part) -> None:
        if part.thought_signature:
            made.sign(GEMINI_SIGNATURE + part.thought_signature, part.text if part.thought else "")
            if part.thought:
                return
        if part.text:
            if part.thought:
                made.reason(part.text)
            else:
                made.text.append(part.text)
        if part.function_call is not None:
            made.tools.append(self._tool(made.index, part.function_call))
        if part.inline_data is not None and part.inline_data.data:
            made.images.append(part.inline_data)

    def _tool(self, index: int, call: Call) -> ToolDelta:
        number = self._calls.get(index, 0)
        self._calls[index] = number + 1
        arguments = to_json(call.args if isinstance(call.args, dict) else {}).decode()
        name = call.name or ""
        return ToolDelta(number, call.id or made_id(self._query, index, number, name, arguments), name, arguments)

    def _finish(self, index: int, reason: str | None) -> Finish | None:
        if not reason or reason == "FINISH_REASON_UNSPECIFIED":
            return None
        if reason in _FILTERED:
            return "content_filter"
        if reason in _CUT_SHORT:
            return "length"
        return "tool_calls" if self._calls.get(index) else "stop"


class _Made:
    """The deltas of one candidate while its parts are read."""

    __slots__ = ("_before", "_signature", "_thought", "images", "index", "text", "tools")

    def __init__(self, index: int) -> None:
        self.index = index
        self.text: list[str] = []
        self.tools: list[ToolDelta] = []
        self.images: list[Blob] = []
        self._thought: list[str] = []
        self._signature: str | None = None
        self._before: list[Delta] = []

    def reason(self, text: str) -> None:
        if self._signature is not None:
            self._turn()
        self._thought.append(text)

    def sign(self, signature: str, thought: str | None) -> None:
        if self._signature is not None:
            self._turn()
        if thought:
            self._thought.append(thought)
        self._signature = signature

    def _turn(self) -> None:
        self._before.append(self._delta(None, None))
        self.text, self.tools, self._thought, self._signature = [], [], [], None

    def _delta(self, finish: Finish | None, logprobs: JSON | None) -> Delta:
        return Delta(
            index=self.index,
            text="".join(self.text),
            reasoning="".join(self._thought),
            signature=self._signature,
            tools=tuple(self.tools),
            finish=finish,
            logprobs=logprobs,
            extra={"images": [_image(blob) for blob in self.images]} if self.images else None,
        )

    def deltas(self, finish: Finish | None, logprobs: JSON | None) -> list[Delta]:
        last = self._delta(finish, logprobs)
        if not self._before and not last.meaningful and last.signature is None and logprobs is None:
            return []
        return [*self._before, last]


def _image(blob: Blob) -> JSON:
    url = f"data:{blob.mime_type or 'image/png'};base64,{blob.data}"
    return {"type": "image_url", "image_url": {"url": url}}


# ---- streams --------------------------------------------------------------------------------------------------------


class Decoder(Reading[Frame]):
    """One streamed answer."""

    __slots__ = ("_reader",)

    def __init__(self, query: Query) -> None:
        super().__init__(Frames())
        self._reader = _Reader(query)

    def _event(self, piece: Frame) -> Event | None:
        return self._reader.event(RESPONSE.decode(piece.data), piece.data) if piece.data else None

    def _close(self) -> list[Event]:
        """The API has no terminator: the answer is complete once every candidate gave its reason to finish."""
        if not self._reader.complete:
            raise UpstreamCut("Gemini's stream ended before a finish reason.")
        return [Event(wire=NATIVE, last=True)]
