"""Writing OpenAI's chat completions: one whole object, or chunks of a stream."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from comporta.errors import ComportaError
from comporta.gateway.doors.chat_reading import NAME
from comporta.gateway.doors.writing import (
    DONE,
    cost_usd,
    encode,
    error_body,
    frame,
    kept_id,
    model_of,
    openai_usage,
    own_id,
    priced,
    shallow,
    usage_in,
)
from comporta.pipeline import Call
from comporta.types import JSON, Choice, Delta, Event, Reply, ToolDelta, Usage

PREFIX = "chatcmpl-"


def asks_the_old_way(call: Call) -> bool:
    """Whether the client speaks of `functions`: it understands one `function_call`, and no `tool_calls`."""
    raw = call.input.raw
    return raw is not None and "functions" in raw and "tools" not in raw


# ---- plain ----------------------------------------------------------------------------------------------------------


def completion(call: Call, reply: Reply) -> bytes:
    """A whole chat completion; the upstream's own bytes where they are in this wire."""
    old = asks_the_old_way(call)
    if reply.raw is not None and reply.wire == NAME:
        return _mended(reply.raw) if any(c.tools for c in reply.choices) else reply.raw
    body: JSON = {
        "id": kept_id(PREFIX, call, reply.id),
        "object": "chat.completion",
        "created": int(call.started_s),
        "model": model_of(call, reply.model),
        "choices": [_choice(choice, old=old) for choice in reply.choices],
    }
    if reply.usage is not None:
        body["usage"] = openai_usage(reply.usage)
    return encode(body)


def _choice(choice: Choice, *, old: bool) -> JSON:
    finish = choice.finish or "stop"
    called = finish == "tool_calls" or (finish == "stop" and bool(choice.tools))
    return {
        "index": choice.index,
        "message": _message(choice, old=old),
        "logprobs": choice.logprobs,
        "finish_reason": _called(old=old) if called else finish,
    }


def _called(*, old: bool) -> str:
    return "function_call" if old else "tool_calls"


def _message(choice: Choice, *, old: bool) -> JSON:
    message: JSON = {"role": "assistant", "content": choice.text, "refusal": choice.refusal or None}
    if not choice.text and (choice.tools or choice.refusal):
        message["content"] = None
    thoughts = "".join(r.text for r in choice.reasoning)
    if thoughts:
        message["reasoning_content"] = thoughts
    blocks = [_thought(r.text, r.signature, r.encrypted) for r in choice.reasoning if r.signature or r.encrypted]
    if blocks:
        message["thinking_blocks"] = blocks
    if choice.tools and old:
        message["function_call"] = {"name": choice.tools[0].name, "arguments": choice.tools[0].arguments}
    elif choice.tools:
        message["tool_calls"] = [
            {"id": t.id, "type": "function", "function": {"name": t.name, "arguments": t.arguments}}
            for t in choice.tools
        ]
    if choice.extra:
        message.update((k, v) for k, v in choice.extra.items() if k not in message)
    return message


def _thought(text: str, signature: str | None, encrypted: str | None) -> JSON:
    """A signed block of thinking, which the client must send back for the model to go on from it."""
    if encrypted is not None:
        return {"type": "redacted_thinking", "data": encrypted}
    return {"type": "thinking", "thinking": text, "signature": signature}


class _ToolDelta(Struct):
    tool_calls: list[Raw] | None = None


class _Body(Struct):
    choices: list[dict[str, Raw]]


_STOP, _CALLS = Raw(b'"stop"'), Raw(b'"tool_calls"')
_decode_body = msgspec.json.Decoder(_Body).decode


def _mended(raw: bytes) -> bytes:
    """Some upstreams end a tool call with `stop`; clients wait for `tool_calls` (WIRE 10). The rest stays as it is."""
    if b'"stop"' not in raw:
        return raw
    choices = _decode_body(raw).choices
    stopped = [c for c in choices if bytes(c.get("finish_reason", b"")) == b'"stop"' and _has_tools(c)]
    if not stopped:
        return raw
    for choice in stopped:
        choice["finish_reason"] = _CALLS
    body = shallow(raw)
    body["choices"] = Raw(encode(choices))
    return encode(body)


_decode_tools = msgspec.json.Decoder(_ToolDelta).decode


def _has_tools(choice: dict[str, Raw]) -> bool:
    return bool(_decode_tools(choice.get("message", Raw(b"{}"))).tool_calls)


# ---- streamed -------------------------------------------------------------------------------------------------------


class _Role(Struct):
    role: str | None = None


class _HeadChoice(Struct):
    index: int | None = None
    delta: _Role | None = None


class _Head(Struct):
    """What the first frames of an upstream say of the whole stream."""

    id: str | None = None
    created: Any = None
    model: str | None = None
    choices: list[_HeadChoice] | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_choices = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class ChatStream:
    """One streamed chat completion. Usage waits for the end; everything else goes out as it comes."""

    __slots__ = (
        "_call", "_created", "_head", "_id", "_model", "_named", "_old", "_started", "_tail", "_thoughts",
        "_usage", "_usage_more", "_usage_raw",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        self._call = call
        self._old = asks_the_old_way(call)
        self._id = ""
        self._created = int(call.started_s)
        self._model = ""
        #: Opening and closing of a chunk; empty until the stream's identity is known.
        self._head = b""
        self._tail = b'],"usage":null}\n\n' if call.include_usage else b"]}\n\n"
        #: Choices whose role went out, and the tool calls (choice, index) whose id and name did.
        self._started: set[int] = set()
        self._named: set[tuple[int, int]] = set()
        self._thoughts: dict[int, list[str]] = {}
        self._usage: Usage | None = None
        self._usage_raw: Raw | None = None
        #: What else the upstream's usage frame said, ready to be written behind ours.
        self._usage_more = b""

    def event(self, event: Event) -> bytes:
        raw = event.raw
        if raw is None or event.wire != NAME or event.whole:
            return self._write(event)
        deltas = event.deltas
        if (
            len(deltas) == 1
            and event.usage is None
            and deltas[0].index in self._started
            and deltas[0].finish is None
            and not deltas[0].tools
            and (event.id is None or event.id == self._id)
        ):
            if b'"usage"' not in raw or self._call.include_usage:
                return frame(raw)
            short = _without_null_usage(raw)
            if short is not None:
                return frame(short)
        return self._pass(event, raw)

    def end(self) -> bytes:
        return self._usage_chunk() + DONE if self._call.include_usage else DONE

    def error(self, error: ComportaError) -> bytes:
        return frame(encode({"error": error_body(error)})) + DONE

    # -- same wire

    def _pass(self, event: Event, raw: bytes) -> bytes:
        """A frame of the same wire with as little changed as the client's wishes ask for."""
        opening = self._open(event, raw)
        changes: dict[str, Raw | None] = {}
        if event.usage is not None:
            self._usage = event.usage
            self._usage_raw = usage_in(raw)
            if not event.deltas:
                self._usage_more = _further_fields(raw)
                return opening
            changes["usage"] = None
        elif not event.deltas and _decode_head(raw).choices is None:
            # A ping: clients look into the choices without asking whether there are any.
            return opening
        elif b'"usage"' in raw and not self._call.include_usage:
            changes["usage"] = None
        if event.id is not None and event.id != self._id:
            changes |= {"id": Raw(encode(self._id)), "model": Raw(encode(self._model))}
            changes["created"] = Raw(encode(self._created))
        if self._ends_with_tools(event, raw):
            changes["choices"] = self._tool_finish(raw)
        return opening + frame(_changed(raw, changes) if changes else raw)

    def _open(self, event: Event, raw: bytes) -> bytes:
        """Learn the stream's identity from its first frames, and say the role where the upstream did not (WIRE 10)."""
        if self._head and all(d.index in self._started for d in event.deltas):
            return b""
        head = _decode_head(raw)
        if not self._head:
            self._created = head.created if type(head.created) is int else self._created
            self._begin(event.id or head.id or own_id(PREFIX, self._call), event.model or head.model)
        self._started.update(c.index or 0 for c in head.choices or () if c.delta is not None and c.delta.role)
        opening = b""
        for delta in event.deltas:
            if delta.index not in self._started:
                self._started.add(delta.index)
                opening += self._chunk(delta.index, {"role": "assistant"})
        return opening

    def _ends_with_tools(self, event: Event, raw: bytes) -> bool:
        """Whether the frame says `stop` for a choice that called tools; notes the calls that pass."""
        for delta in event.deltas:
            self._named.update((delta.index, tool.index) for tool in delta.tools)
        return b'"stop"' in raw and any(
            d.finish == "tool_calls" or (d.finish == "stop" and self._called(d.index)) for d in event.deltas
        )

    def _called(self, index: int) -> bool:
        return any(choice == index for choice, _ in self._named)

    def _tool_finish(self, raw: bytes) -> Raw:
        choices = _decode_choices(shallow(raw)["choices"])
        for choice in choices:
            if bytes(choice.get("finish_reason", b"")) == b'"stop"':
                choice["finish_reason"] = Raw(encode(_called(old=self._old)))
        return Raw(encode(choices))

    # -- other wires, and edited events

    def _write(self, event: Event) -> bytes:
        if not self._head:
            own = event.wire == NAME and event.id
            self._begin(own or kept_id(PREFIX, self._call, event.id), event.model)
        if event.usage is not None:
            self._usage, self._usage_raw = event.usage, None
        if len(event.deltas) == 1:
            return self._delta(event.deltas[0])
        return b"".join([self._delta(delta) for delta in event.deltas])

    def _begin(self, identity: str, model: str | None) -> None:
        self._id = identity
        self._model = model_of(self._call, model)
        self._head = (
            b'data: {"id":' + encode(identity) + b',"object":"chat.completion.chunk","created":%d' % self._created
            + b',"model":' + encode(self._model) + b',"choices":['
        )  # fmt: skip

    def _delta(self, delta: Delta) -> bytes:
        fields: JSON = {}
        first = delta.index not in self._started
        if first:
            self._started.add(delta.index)
            fields["role"] = "assistant"
        if delta.reasoning or delta.signature or delta.encrypted:
            self._reason(delta, fields)
        if delta.text or (first and not delta.tools and not delta.refusal):
            fields["content"] = delta.text
        if delta.refusal:
            fields["refusal"] = delta.refusal
        if delta.tools and self._old:
            self._old_call(delta, fields)
        elif delta.tools:
            fields["tool_calls"] = [self._tool(delta.index, tool) for tool in delta.tools]
        if delta.extra:
            fields.update((k, v) for k, v in delta.extra.items() if k not in fields)
        written = self._chunk(delta.index, fields, delta.logprobs) if fields or delta.logprobs else b""
        return written if delta.finish is None else written + self._finish(delta)

    def _finish(self, delta: Delta) -> bytes:
        tools = delta.finish == "tool_calls" or (delta.finish == "stop" and self._called(delta.index))
        return self._chunk(delta.index, {}, None, _called(old=self._old) if tools else delta.finish)

    def _old_call(self, delta: Delta, fields: JSON) -> None:
        """The first tool call alone: the old form has room for one."""
        for tool in delta.tools:
            if tool.index == 0:
                fields["function_call"] = self._tool(delta.index, tool)["function"]

    def _reason(self, delta: Delta, fields: JSON) -> None:
        """Thinking as text while it comes, and once more as a block when its signature has come."""
        if delta.reasoning:
            fields["reasoning_content"] = delta.reasoning
        thoughts = self._thoughts.setdefault(delta.index, [])
        thoughts.append(delta.reasoning)
        if delta.signature or delta.encrypted:
            fields["thinking_blocks"] = [_thought("".join(thoughts), delta.signature, delta.encrypted)]
            thoughts.clear()

    def _tool(self, choice: int, tool: ToolDelta) -> JSON:
        """Index on every piece, identity and name once (WIRE 11)."""
        key = (choice, tool.index)
        if key in self._named:
            return {"index": tool.index, "function": {"arguments": tool.arguments}}
        self._named.add(key)
        return {
            "index": tool.index,
            "id": tool.id or f"call_{choice}_{tool.index}",
            "type": "function",
            "function": {"name": tool.name or "", "arguments": tool.arguments},
        }

    def _chunk(self, index: int, delta: JSON, logprobs: JSON | None = None, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._head + encode(choice) + self._tail

    def _usage_chunk(self) -> bytes:
        """The last chunk, for clients that asked: no choices, the counts, and the cost (WIRE 7)."""
        usage = self._usage_raw or _encoded(self._usage or self._call.usage)
        if usage is None:
            return b""
        if not self._head:
            self._begin(own_id(PREFIX, self._call), None)
        cost = cost_usd(self._call)
        if cost is not None:
            usage = Raw(encode(priced(usage, cost)))
        return self._head + b'],"usage":' + bytes(usage) + self._usage_more + b"}\n\n"


_WRITTEN_ANEW = frozenset({"id", "object", "created", "model", "choices", "usage"})


def _further_fields(raw: bytes) -> bytes:
    """Fields of a chunk that ours would lack (fingerprint, service tier), each behind a comma."""
    more = ((name, value) for name, value in shallow(raw).items() if name not in _WRITTEN_ANEW)
    return b"".join(b"," + encode(name) + b":" + bytes(value) for name, value in more)


def _encoded(usage: Usage | None) -> Raw | None:
    return None if usage is None else Raw(encode(openai_usage(usage)))


def _without_null_usage(raw: bytes) -> bytes | None:
    """The frame without `"usage":null`, by bytes alone; None where that could hit more than the outermost level.

    The outermost level is sure when what follows closes one object and opens none.
    """
    head, found, rest = raw.partition(b',"usage":null')
    return head + rest if found and b"{" not in rest and rest.count(b"}") == 1 else None


def _changed(raw: bytes, changes: dict[str, Any]) -> bytes:
    """The same object with some fields replaced, or dropped where the new value is None."""
    fields: dict[str, Any] = shallow(raw)
    for name, value in changes.items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value
    return encode(fields)
