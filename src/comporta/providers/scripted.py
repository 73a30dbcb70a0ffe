"""The scripted model: latency, tokens, errors, cuts and stalls by script, for tests, demos and load.

With no script it echoes the last text of the user word by word. It asks for nothing outside the process and, given a
seed, always says the same. Usage counts words. What a script may say stands in `providers/script.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec
from msgspec import structs

from comporta.errors import (
    ComportaError,
    UpstreamCredential,
    UpstreamCut,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamUnreachable,
)
from comporta.pipeline import new_id
from comporta.providers.base import Endpoint, Query
from comporta.providers.script import Fail, Script, ScriptedTool, Step, changed, read_script, split_model
from comporta.types import JSON, Delta, Event, Finish, Input, Message, Text, ToolDelta, ToolResult, Usage

_WORD = re.compile(r"\s*\S+|\s+$")
_WORDS = (
    "água", "barrage", "canal", "delta", "eddy", "flood", "gate", "harbour", "inlet", "jetty", "keel", "lock", "mill",
    "nível", "oxbow", "pier", "quay", "river", "sluice", "tide", "upstream", "valve", "weir", "xebec", "yield", "zona",
)  # fmt: skip


class Scripted:
    """A model that does what it is told. It remembers only which step each model comes to next."""

    name = "scripted"

    def __init__(self) -> None:
        self._scripts: dict[str, tuple[object, Script]] = {}
        self._asked: dict[tuple[str, str], int] = {}

    def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        """The scripted answer as events; raises UpstreamError where the script says so."""
        model, by_name = split_model(query.model)
        turn = self._asked.get((endpoint.provider, model), 0)
        self._asked[endpoint.provider, model] = turn + 1
        try:
            step = self._step(query, endpoint, model, by_name, turn)
        except ComportaError as error:
            return _refused(error)
        query = structs.replace(query, model=model)
        fail = failure(step, model, turn)
        if query.kind != "chat":
            return _at_once(query, step, fail)
        return (_streamed if query.stream else _whole)(query, step, fail)

    def _step(self, query: Query, endpoint: Endpoint, model: str, by_name: JSON, turn: int) -> Step:
        steps = self._script(endpoint).steps(model)
        if steps is None:
            raise UpstreamRejected(f"The script has no model {model!r}.", status=404, code="model_not_found")
        try:
            return changed(steps[turn % len(steps)], by_name, query.input.extra.get("script"))
        except msgspec.ValidationError as error:
            raise UpstreamRejected(f"The script of this call can't be read: {error}", param="script") from None

    def _script(self, endpoint: Endpoint) -> Script:
        value = endpoint.options.get("script")
        known = self._scripts.get(endpoint.provider)
        if known is None or known[0] is not value:
            known = value, read_script(value, f"providers.{endpoint.provider}.options.script")
            self._scripts[endpoint.provider] = known
        return known[1]


# ---- failures -------------------------------------------------------------------------------------------------------


def failure(step: Step, model: str, turn: int) -> Fail | None:
    """What goes wrong this time, if anything: `error_rate` is drawn from the seed, the model and the turn."""
    if step.error is None and step.error_rate is None:
        return None
    rate = 1.0 if step.error_rate is None else step.error_rate
    if Random(f"{step.seed}/{model}/{turn}").random() >= rate:
        return None
    return step.error or Fail()


def fault(fail: Fail) -> ComportaError:
    """The error a wire would make of that status."""
    status, text = fail.status, f"The script says: status {fail.status}."
    if status == 0:
        return UpstreamUnreachable("The script says: no connection.", code=fail.code)
    if status in {401, 402, 403}:
        return UpstreamCredential(text, code=fail.code)
    if status == 429:
        return UpstreamLimited(text, code=fail.code, retry_after_s=fail.retry_after)
    if fail.code == "content_filter":
        return UpstreamFiltered(text)
    if status in {408, 409} or status >= 500:
        return UpstreamFault(text, code=fail.code, retry_after_s=fail.retry_after)
    return UpstreamRejected(text, code=fail.code, status=max(status, 400))


async def _refused(error: ComportaError) -> AsyncIterator[Event]:
    nothing: tuple[Event, ...] = ()
    for event in nothing:
        yield event
    raise error


async def _begin(step: Step, fail: Fail | None, more_s: float = 0.0) -> None:
    """Wait as the script says, then fail if the failure comes before anything else."""
    await asyncio.sleep(step.first_delay)
    if fail is not None and fail.after is None:
        raise fault(fail)
    if more_s:
        await asyncio.sleep(more_s)


async def _stop_short(step: Step, fail: Fail | None, sent: int) -> None:
    """Cut, fail or stall where the script says so after that many content events."""
    if step.cut_after == sent:
        raise UpstreamCut(f"The script cut the answer after {sent} events.")
    if fail is not None and fail.after == sent:
        raise fault(fail)
    if step.stall_after == sent:
        await asyncio.Event().wait()


# ---- chat -----------------------------------------------------------------------------------------------------------


async def _streamed(query: Query, step: Step, fail: Fail | None) -> AsyncIterator[Event]:
    reply_id, model = _reply_id(query, step), query.model
    choices = [_Choice(query, step, index) for index in range(max(query.input.n, 1))]
    await _begin(step, fail)
    if step.role_first:
        yield Event(deltas=tuple(Delta(index=c.index) for c in choices), id=reply_id, model=model)
    sent = 0
    for choice in choices:
        for delta in choice.deltas():
            await _stop_short(step, fail, sent)
            if sent:
                await asyncio.sleep(step.token_delay)
            yield Event(deltas=(delta,), id=reply_id, model=model)
            sent += 1
    await _stop_short(step, fail, sent)
    yield Event(deltas=tuple(c.end() for c in choices), id=reply_id, model=model)
    yield Event(usage=_usage(query.input, step, choices), id=reply_id, model=model, last=True)


async def _whole(query: Query, step: Step, fail: Fail | None) -> AsyncIterator[Event]:
    choices = [_Choice(query, step, index) for index in range(max(query.input.n, 1))]
    count = sum(c.count for c in choices)
    await _begin(step, fail, more_s=step.token_delay * max(count - 1, 0))
    for sent in range(count + 1) if fail or step.cut_after is not None or step.stall_after is not None else ():
        await _stop_short(step, fail, sent)
    yield Event(
        deltas=tuple(c.whole() for c in choices), usage=_usage(query.input, step, choices),
        id=_reply_id(query, step), model=query.model, whole=True, last=True,
    )  # fmt: skip


class _Choice:
    """One choice, made before it is sent: words of reasoning and text, tool calls, why it ends."""

    __slots__ = ("count", "finish", "index", "reasoning", "stop_sequence", "text", "tools")

    def __init__(self, query: Query, step: Step, index: int) -> None:
        asked = query.input
        self.index = index
        self.reasoning = _WORD.findall(step.reasoning)
        self.tools = _tools(asked, step, index)
        silent = self.tools and step.text is None and step.tokens is None
        text, self.stop_sequence = _stopped("" if silent else _text(asked, step, index), asked.stop)
        words = _WORD.findall(text)
        short = asked.max_tokens is not None and len(words) > asked.max_tokens
        self.text = words[: asked.max_tokens] if short else words
        self.finish: Finish = step.finish or ("length" if short else "tool_calls" if self.tools else "stop")
        self.count = len(self.reasoning) + len(self.text) + sum(1 + len(_pieces(t)) for t in self.tools)

    def deltas(self) -> Iterator[Delta]:
        """The choice piece by piece, as a provider streams it; its end comes apart."""
        yield from (Delta(index=self.index, reasoning=word) for word in self.reasoning)
        yield from (Delta(index=self.index, text=word) for word in self.text)
        for tool in self.tools:
            yield Delta(index=self.index, tools=(structs.replace(tool, arguments=""),))
            for piece in _pieces(tool):
                yield Delta(index=self.index, tools=(ToolDelta(index=tool.index, arguments=piece),))

    def end(self) -> Delta:
        return Delta(index=self.index, finish=self.finish, stop_sequence=self.stop_sequence)

    def whole(self) -> Delta:
        return Delta(
            index=self.index, text="".join(self.text), reasoning="".join(self.reasoning), tools=self.tools,
            finish=self.finish, stop_sequence=self.stop_sequence,
        )  # fmt: skip


def _text(asked: Input, step: Step, index: int) -> str:
    if step.text is not None:
        return step.text
    if step.tokens is not None:
        seed = f"{step.seed if step.seed is not None else asked.seed}/{index}"
        return " ".join(Random(seed).choices(_WORDS, k=step.tokens))
    form = asked.response_format
    if form is not None and form.kind != "text":
        value = {"echo": last_text(asked)} if form.kind == "json_object" else sample(form.schema or {})
        return json.dumps(value, ensure_ascii=False)
    return last_text(asked)


def last_text(asked: Input) -> str:
    """The last text of the user, or of a tool that answered after it."""
    for message in reversed(asked.messages):
        results = [p for p in message.parts if isinstance(p, ToolResult)]
        text = message.text or "".join(p.text for r in results for p in r.parts if isinstance(p, Text))
        if text and message.role in {"user", "tool"}:
            return text
    return ""


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(text.index(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    place, stop = min(found)
    return text[:place], stop


# ---- tools ----------------------------------------------------------------------------------------------------------


def _tools(asked: Input, step: Step, index: int) -> tuple[ToolDelta, ...]:
    """Tool calls, where the caller offers tools, allows their use and has not just answered one."""
    choice = asked.tool_choice
    answered = bool(asked.messages) and _is_tool_answer(asked.messages[-1])
    if not asked.tools or answered or (choice is not None and choice.mode == "none"):
        return ()
    calls = step.tools
    if not calls and choice is not None and choice.mode in {"required", "tool"}:
        tool = next((t for t in asked.tools if t.name == choice.name), asked.tools[0])
        calls = (ScriptedTool(tool.name, sample(tool.parameters or {"type": "object"})),)
    if asked.parallel_tool_calls is False:
        calls = calls[:1]
    return tuple(
        ToolDelta(index=i, id=call.id or f"call_{index}_{i}", name=call.name, arguments=_arguments(call))
        for i, call in enumerate(calls)
    )


def _is_tool_answer(message: Message) -> bool:
    return message.role == "tool" or any(isinstance(p, ToolResult) for p in message.parts)


def _arguments(call: ScriptedTool) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)


def _pieces(tool: ToolDelta) -> list[str]:
    """Arguments come in pieces that fall anywhere in the JSON, as they do from real models."""
    return [tool.arguments[i : i + 7] for i in range(0, len(tool.arguments), 7)]


def sample(schema: JSON, root: JSON | None = None, depth: int = 0) -> Any:
    """A small value that a JSON Schema allows; null where it nests deeper than an example needs."""
    root = schema if root is None else root
    if depth > 12:
        return None
    if "$ref" in schema:
        return sample(_referred(schema["$ref"], root), root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    options = schema.get("enum") or schema.get("examples")
    if options:
        return options[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], root, depth + 1)
    return _sample_of_type(schema, root, depth)


def _sample_of_type(schema: JSON, root: JSON, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: sample(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {}), root, depth + 1) for _ in range(max(schema.get("minItems", 1), 1))]
    if kind in {"integer", "number"}:
        return schema.get("minimum", schema.get("maximum", 1))
    if kind == "string":
        return "sample".ljust(schema.get("minLength", 0), "e")[: schema.get("maxLength", 1000)]
    return {"boolean": True}.get(kind)


def _referred(reference: str, root: JSON) -> JSON:
    place: Any = root
    for name in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        place = place.get(name, {}) if isinstance(place, dict) else {}
    return place if isinstance(place, dict) else {}


# ---- usage, embeddings ----------------------------------------------------------------------------------------------


def _usage(asked: Input, step: Step, choices: list[_Choice]) -> Usage | None:
    if step.usage is False:
        return None
    output = sum(len(c.text) + sum(len(_pieces(t)) for t in c.tools) for c in choices)
    counted = Usage(input=_words(asked), output=output, reasoning=sum(len(c.reasoning) for c in choices))
    if isinstance(step.usage, bool):
        return counted
    said = {k: v for k, v in structs.asdict(step.usage).items() if v is not None}
    return structs.replace(counted, **said)


def _words(asked: Input) -> int:
    texts = [_shown(part) for message in asked.messages for part in message.parts]
    return sum(len(text.split()) for text in texts)


def _shown(part: object) -> str:
    if isinstance(part, ToolResult):
        return " ".join(_shown(inner) for inner in part.parts)
    return part.text if isinstance(part, Text) else ""


async def _at_once(query: Query, step: Step, fail: Fail | None) -> AsyncIterator[Event]:
    await _begin(step, fail)
    await _stop_short(step, fail, 0)
    yield _embedded(query, step) if query.kind == "embed" else _counted(query)


def _counted(query: Query) -> Event:
    return Event(usage=Usage(input=_words(query.input)), model=query.model, whole=True, last=True)


def _embedded(query: Query, step: Step) -> Event:
    length = query.input.dimensions or step.dimensions
    texts = [text if isinstance(text, str) else " ".join(map(str, text)) for text in query.input.texts]
    usage = Usage(input=sum(len(text.split()) for text in texts)) if step.usage is not False else None
    vectors = tuple(hashed(text, length) for text in texts)
    return Event(vectors=vectors, usage=usage, model=query.model, whole=True, last=True)


def hashed(text: str, length: int) -> tuple[float, ...]:
    """A unit vector made of the hashes of a text's words: texts that share words lie near each other."""
    vector = [0.0] * length
    for word in text.lower().split() or [""]:
        digest = blake2b(word.encode(), digest_size=32).digest()
        for i in range(0, 32, 4):
            place = int.from_bytes(digest[i : i + 4], "big")
            vector[(place >> 1) % length] += 1.0 if place & 1 else -1.0
    norm = math.sqrt(sum(x * x for x in vector))
    return tuple(x / norm for x in vector) if norm else (1.0, *vector[1:])


def _reply_id(query: Query, step: Step) -> str:
    seed = step.seed if step.seed is not None else query.input.seed
    return f"scripted-{new_id() if seed is None else seed}"
