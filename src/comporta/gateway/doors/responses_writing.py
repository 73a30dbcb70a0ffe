"""Writing the Responses API's objects: the response, its items, its usage."""

from __future__ import annotations

from typing import Any

from comporta.gateway.doors.responses_reading import NAME
from comporta.gateway.doors.writing import encode, kept_id, model_of
from comporta.pipeline import Call
from comporta.providers.openai_responses import SEALED, SIGNATURE
from comporta.types import JSON, Choice, Finish, Reply, Usage

PREFIX = "resp_"
#: Facts of a call: the body as its client sent it, and whether the response can be followed up by its id.
ASKED, STORED = "responses.asked", "responses.stored"

#: Fields of the request that a response repeats, with what stands there when the client sent none.
_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def response(call: Call, reply: Reply) -> bytes:
    """A whole response; the upstream's own bytes where they are in this wire."""
    if reply.raw is not None and reply.wire == NAME:
        return reply.raw
    return encode(whole_response(call, reply))


def whole_response(call: Call, reply: Reply) -> JSON:
    """A response written anew."""
    identity = kept_id(PREFIX, call, reply.id)
    body = begun(call, identity, model_of(call, reply.model))
    choice = reply.choices[0] if reply.choices else Choice(0)
    return ended(body, _output(choice, identity, native=identity == reply.id), choice.finish, reply.usage)


def begun(call: Call, identity: str, model: str) -> JSON:
    """A response before it says anything. `store` tells whether it can be followed up, whatever was asked."""
    asked: JSON = call.facts.get(ASKED) or (call.input.raw if call.input.wire == NAME else None) or {}
    body: JSON = {
        "id": identity,
        "object": "response",
        "created_at": int(call.started_s),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "store": call.facts.get(STORED, False),
        "usage": None,
    }
    for name, absent in _REPEATED.items():
        value = asked.get(name)
        body[name] = absent if value is None else value
    return body


def ended(body: JSON, output: list[Any], finish: Finish | None, usage: Usage | None) -> JSON:
    """The same response at its end (WIRE 27: what was cut short is `incomplete`)."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish or "stop")
    return body | {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": None if usage is None else usage_of(usage),
    }


def usage_of(usage: Usage) -> JSON:
    """The counts of this wire, which include cached and reasoning tokens (WIRE 28)."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


# ---- items ----------------------------------------------------------------------------------------------------------


def _output(choice: Choice, identity: str, *, native: bool) -> list[JSON]:
    items: list[JSON] = []
    for thought in choice.reasoning:
        seal = sealed(thought.signature, thought.encrypted, native=native)
        items.append(reasoning(item_id("rs_", identity, len(items)), thought.text, seal, "completed"))
    if choice.text or choice.refusal or not choice.tools:
        parts = (
            [output_text(choice.text, annotations_of(choice.extra), logprobs_of(choice.logprobs))]
            if choice.text
            else []
        )
        if choice.refusal:
            parts.append({"type": "refusal", "refusal": choice.refusal})
        # A message that was cut short says so, as it does in a stream.
        cut = choice.finish in ("length", "content_filter") and not choice.tools
        items.append(message(item_id("msg_", identity, len(items)), parts, "incomplete" if cut else "completed"))
    for tool in choice.tools:
        name = item_id("fc_", identity, len(items))
        items.append(function_call(name, tool.id, tool.name, tool.arguments, "completed"))
    return items


def item_id(prefix: str, identity: str, place: int) -> str:
    return f"{prefix}{identity.removeprefix(PREFIX)}_{place}"


def sealed(signature: str | None, encrypted: str | None, *, native: bool) -> str | None:
    """What a client must send back for the model to go on from its thinking, in the one field there is for it."""
    if signature is not None:
        return SIGNATURE + signature
    if encrypted is None:
        return None
    return encrypted if native else SEALED + encrypted


def reasoning(identity: str, thoughts: str, seal: str | None, status: str) -> JSON:
    item: JSON = {
        "id": identity,
        "type": "reasoning",
        "status": status,
        "summary": [{"type": "summary_text", "text": thoughts}] if thoughts else [],
    }
    return item if seal is None else item | {"encrypted_content": seal}


def message(identity: str, parts: list[JSON], status: str) -> JSON:
    return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": parts}


def output_text(text: str, annotations: list[Any] | None = None, logprobs: list[Any] | None = None) -> JSON:
    return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": logprobs or []}


def function_call(identity: str, call_id: str, name: str, arguments: str, status: str) -> JSON:
    return {
        "id": identity,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def annotations_of(extra: JSON | None) -> list[JSON]:
    """Chat nests what a citation says under its type; here it is flat."""
    given = (extra or {}).get("annotations")
    found = []
    for annotation in given if isinstance(given, list) else ():
        kind = annotation.get("type") if isinstance(annotation, dict) else None
        inner = annotation.get(kind) if isinstance(kind, str) else None
        found.append({"type": kind, **inner} if isinstance(inner, dict) else annotation)
    return found


def logprobs_of(given: JSON | None) -> list[Any]:
    content = (given or {}).get("content")
    return content if isinstance(content, list) else []
