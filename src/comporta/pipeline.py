"""The onion: a call, the stages around it, and the one way they are put together.

`Stage = async (call, next) -> AsyncIterator[Event]`. A stage does what comes before, awaits `next(call)` and returns
the iterator: as it is where it only cares about start and end (it then costs nothing per event), wrapped where it
watches or changes events. `compose` puts a span around every layer and registers every new iterator on the call, so
that the layers close inside-out on every ending.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct, field

from comporta.errors import ComportaError
from comporta.types import JSON, Caller, Choice, Delta, Event, Input, Kind, Reasoning, Reply, Target, ToolCall, Usage

Next = Callable[["Call"], Awaitable[AsyncIterator[Event]]]
Stage = Callable[["Call", Next], Awaitable[AsyncIterator[Event]]]
#: What a room gets that must itself ask a model: a child call with the same trace, key, tags and budgets.
Ask = Callable[["Call"], Awaitable[Reply]]

#: The map of the product: the places around a call, outermost first. `app` fills them; an empty place costs nothing.
STAGES = (
    "record", "allocate", "model", "limit", "follow", "spend", "score", "choose", "prompt", "remember", "retrieve",
    "shorten", "images", "guard", "recall", "attempt",
)  # fmt: skip

MAX_DEPTH = 4
#: What a client wishes of the caches.
CACHE_HEADERS = ("cache-control", "x-comporta-cache")


def new_id() -> str:
    """A UUID version 7 (RFC 9562) as text: sorted by time, so that indexes on it stay small."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Span(Struct, gc=False):
    """What one stage or attempt did, and when. Times are `time.perf_counter_ns` values, made absolute when recorded."""

    name: str
    start_ns: int
    depth: int
    end_ns: int = 0
    error: str | None = None
    attributes: JSON | None = None


class Call(Struct, kw_only=True, eq=False):
    """One call on its way through the stages: who asks what, where it goes, and what is known of it so far.

    Mutable on purpose: it is the one value that lives as long as the call. What it holds (`input`, `target`) is frozen.
    """

    kind: Kind
    input: Input
    #: The name the client asked for: a route, a registered model, `provider/model`, or a bare model name.
    model: str
    caller: Caller
    stream: bool = False
    door: str = "python"
    id: str = field(default_factory=new_id)
    #: The client's own, else the call's id.
    request_id: str = ""
    trace_id: str = ""
    parent_id: str | None = None
    #: The client's own span (W3C trace context), as 16 hexadecimal digits; `trace_id` is then the client's trace.
    parent_span: str | None = None
    #: Of a trace that is the client's its flags (`01`: it is kept) and `tracestate`: then providers hear of it too.
    traced: tuple[str, str | None] | None = None
    depth: int = 0
    session: str | None = None
    user: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    #: The few client headers that providers may need (`anthropic-version`, `anthropic-beta` …), lower case.
    headers: dict[str, str] = field(default_factory=dict)
    #: Whether the client asked for usage in its stream (WIRE 7).
    include_usage: bool = False
    target: Target | None = None
    usage: Usage | None = None
    cost_microusd: int | None = None
    reply_id: str | None = None
    reply_model: str | None = None
    cache: str = "bypass"
    retries: int = 0
    #: Sampling hints that the wire could not carry; reported in a header (WIRE 20).
    dropped: tuple[str, ...] = ()
    error: ComportaError | None = None
    started_s: float = field(default_factory=time.time)
    start_ns: int = field(default_factory=time.perf_counter_ns)
    first_ns: int = 0
    end_ns: int = 0
    spans: list[Span] = field(default_factory=list)
    span_depth: int = 0
    #: What stages tell each other and the record, by name.
    facts: dict[str, Any] = field(default_factory=dict)
    #: What stages decided and why, by the stage's name: it stands on the record, and holds no content.
    notes: dict[str, JSON] | None = None
    #: Whether the endings have run.
    ended: bool = False
    _endings: list[Callable[[Call], None]] = field(default_factory=list)
    _open: list[AsyncIterator[Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.request_id:
            self.request_id = self.id
        if not self.trace_id:
            self.trace_id = self.id.replace("-", "")

    def at_end(self, ending: Callable[[Call], None]) -> None:
        """Register what must happen when the call ends, however it ends; last in, first out.

        Endings are plain functions: they do no network I/O and can't be cancelled. `call.error` says how it ended.
        """
        self._endings.append(ending)

    def note(self, name: str, **said: Any) -> None:
        """Put on the record what was decided and why; JSON values, no content. Said again under a name, it is added."""
        if self.notes is None:
            self.notes = {}
        self.notes[name] = {**self.notes.get(name, {}), **said}

    def at_last(self, ending: Callable[[Call], None]) -> None:
        """Register an ending that runs after all others, those that were registered before it too."""
        self._endings.insert(0, ending)

    def hold(self, events: AsyncIterator[Event]) -> None:
        """Register an iterator to be closed when the call ends; the same one twice in a row counts once."""
        if not self._open or self._open[-1] is not events:
            self._open.append(events)

    @property
    def held(self) -> int:
        """How many iterators are open."""
        return len(self._open)

    async def close_events(self, since: int = 0) -> None:
        """Close what is open, innermost last-opened first; the upstream request is aborted if it still runs.

        Only what was opened after there were `since` of them: a failed attempt in the middle of a stream that is taken
        up again leaves the layers around it open. One that fails to close keeps none of the others open.
        """
        while len(self._open) > since:
            aclose = getattr(self._open.pop(), "aclose", None)
            if aclose is not None:
                try:
                    await aclose()
                except BaseException:
                    await self.close_events(since)
                    raise

    def end(self, error: ComportaError | None = None) -> None:
        """Run the endings, once. Safe to call again: the second time does nothing."""
        if error is not None and self.error is None:
            self.error = error
        self.end_ns = self.end_ns or time.perf_counter_ns()
        failure: Exception | None = None
        while self._endings:
            try:
                self._endings.pop()(self)
            except Exception as error:  # the others must run: a hold that is not settled would be lost money
                failure = failure or error
        self.ended = True
        if failure is not None:
            raise failure

    @property
    def latency_s(self) -> float:
        """Seconds from the start to the end, or to now while the call runs."""
        return ((self.end_ns or time.perf_counter_ns()) - self.start_ns) / 1e9

    def open_span(self, name: str) -> Span:
        """Start a span below the ones now open; end it with `close_span`."""
        span = Span(name, time.perf_counter_ns(), self.span_depth)
        self.spans.append(span)
        self.span_depth += 1
        return span

    def close_span(self, span: Span, error: BaseException | None = None) -> None:
        span.end_ns = time.perf_counter_ns()
        self.span_depth = span.depth
        if error is not None:
            span.error = error.code if isinstance(error, ComportaError) else type(error).__name__


def child_of(parent: Call, asked: Input, model: str, *, door: str, stream: bool = False) -> Call:
    """A call on behalf of another one: same trace, caller, session, user and tags, one deeper.

    Who asks for it sees to MAX_DEPTH. What its client wished of the caches holds for it too.
    """
    wished = {name: said for name in CACHE_HEADERS if (said := parent.headers.get(name)) is not None}
    return Call(
        kind="chat",
        input=asked,
        model=model,
        caller=parent.caller,
        stream=stream,
        door=door,
        request_id=parent.request_id,
        trace_id=parent.trace_id,
        parent_id=parent.id,
        traced=parent.traced,
        depth=parent.depth + 1,
        session=parent.session,
        user=parent.user,
        tags=dict(parent.tags),
        headers=wished,
    )


class Only:
    """A stage that concerns some calls alone: to the others it costs one look, and no span."""

    __slots__ = ("applies", "stage")

    def __init__(self, applies: Callable[[Call], bool], stage: Stage) -> None:
        self.applies = applies
        self.stage = stage

    async def __call__(self, call: Call, next: Next) -> AsyncIterator[Event]:
        return await (self.stage(call, next) if self.applies(call) else next(call))


def compose(stages: Sequence[tuple[str, Stage]], last: Next) -> Next:
    """Put stages around `last`, the first one outermost."""
    step = last
    for name, stage in reversed(stages):
        step = (
            _look_first(stage.applies, _layer(name, stage.stage, step), step)
            if isinstance(stage, Only)
            else _layer(name, stage, step)
        )
    return step


def _look_first(applies: Callable[[Call], bool], layer: Next, inner: Next) -> Next:
    def either(call: Call) -> Awaitable[AsyncIterator[Event]]:
        return layer(call) if applies(call) else inner(call)

    return either


def _layer(name: str, stage: Stage, inner: Next) -> Next:
    clock = time.perf_counter_ns

    async def layer(call: Call) -> AsyncIterator[Event]:
        # What `open_span`, `close_span` and `hold` do, without the calls: each layer of each call passes here.
        depth = call.span_depth
        span = Span(name, clock(), depth)
        call.spans.append(span)
        call.span_depth = depth + 1
        try:
            events = await stage(call, inner)
        except BaseException as error:
            call.close_span(span, error)
            raise
        span.end_ns = clock()
        call.span_depth = depth
        held = call._open
        if not held or held[-1] is not events:
            held.append(events)
        return events

    return layer


async def collect(events: AsyncIterator[Event], first: Sequence[Event] = ()) -> Reply:
    """A plain reply: the events of an answer put together, after those that came `first`."""
    together = [*first, *[event async for event in events]]
    if len(together) == 1:
        return reply_of(together[0])
    gathered = Gathered()
    for event in together:
        gathered.add(event)
    return gathered.reply()


def reply_of(event: Event) -> Reply:
    """The reply that one event holds; of a whole one that nobody changed, with the text it came in."""
    if event.whole and not any(map(_grows, event.deltas)):
        choices = tuple([Choice(d.index, d.text, (), d.refusal, (), d.finish, d.stop_sequence) for d in event.deltas])
    else:
        gathered = Gathered()
        gathered.add(event)
        choices = gathered.reply().choices
    if not event.whole or event.raw is None:
        return Reply(event.id, event.model, choices, event.usage, event.vectors)
    return Reply(event.id, event.model, choices, event.usage, event.vectors, event.wire, event.raw)


def _grows(delta: Delta) -> bool:
    """Whether a delta has parts that a choice holds in another form."""
    return bool(delta.reasoning or delta.signature or delta.encrypted or delta.tools or delta.logprobs or delta.extra)


class _Open:
    """One choice while it grows."""

    __slots__ = ("extra", "finish", "logprobs", "reasoning", "refusal", "stop_sequence", "text", "tools")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.reasoning: list[Reasoning] = []
        self.tools: dict[int, list[Any]] = {}
        self.finish: Any = None
        self.stop_sequence: str | None = None
        self.logprobs: JSON | None = None
        self.extra: JSON | None = None

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.text.append(delta.text)
        if delta.refusal:
            self.refusal.append(delta.refusal)
        if delta.reasoning or delta.signature or delta.encrypted:
            self._reason(delta)
        for piece in delta.tools:
            tool = self.tools.setdefault(piece.index, [None, None, []])
            tool[0] = tool[0] or piece.id
            tool[1] = tool[1] or piece.name
            tool[2].append(piece.arguments)
        if delta.finish:
            self.finish = delta.finish
            self.stop_sequence = delta.stop_sequence
        if delta.logprobs:
            self.logprobs = _joined(self.logprobs, delta.logprobs)
        if delta.extra:
            self.extra = _joined(self.extra, delta.extra)

    def _reason(self, delta: Delta) -> None:
        """A block of thinking ends with its signature; text after that opens the next one."""
        last = self.reasoning[-1] if self.reasoning else None
        if delta.encrypted is not None or last is None or last.signature or last.encrypted:
            self.reasoning.append(Reasoning(delta.reasoning, delta.signature, delta.encrypted))
        else:
            self.reasoning[-1] = Reasoning(last.text + delta.reasoning, delta.signature)

    def choice(self, index: int) -> Choice:
        tools = tuple(
            ToolCall(id=i or f"call_{index}_{n}", name=name or "", arguments="".join(pieces))
            for n, (i, name, pieces) in sorted(self.tools.items())
        )
        return Choice(
            index=index, text="".join(self.text), reasoning=tuple(self.reasoning), refusal="".join(self.refusal),
            tools=tools, finish=self.finish, stop_sequence=self.stop_sequence, logprobs=self.logprobs, extra=self.extra,
        )  # fmt: skip


class Gathered:
    """Events put together as they come: `add` each, then `reply()`; also what a cut answer holds so far."""

    __slots__ = ("_choices", "_id", "_model", "_usage", "_vectors")

    def __init__(self) -> None:
        self._choices: dict[int, _Open] = {}
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._vectors: list[tuple[float, ...] | str] = []

    def add(self, event: Event) -> None:
        self._id = self._id or event.id
        self._model = event.model or self._model
        self._usage = event.usage or self._usage
        self._vectors.extend(event.vectors)
        for delta in event.deltas:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = self._choices[delta.index] = _Open()
            choice.add(delta)

    def reply(self) -> Reply:
        return Reply(
            id=self._id, model=self._model, usage=self._usage, vectors=tuple(self._vectors),
            choices=tuple(c.choice(i) for i, c in sorted(self._choices.items())),
        )  # fmt: skip


def _joined(old: JSON | None, new: JSON) -> JSON:
    """Two partial objects as one: lists grow, other values give way to the newer."""
    if old is None:
        return dict(new)
    for key, value in new.items():
        before = old.get(key)
        old[key] = before + value if isinstance(before, list) and isinstance(value, list) else value
    return old


async def replay(events: Iterable[Event]) -> AsyncIterator[Event]:
    """Given events as a stream: what caches, refusals and tests answer with."""
    for event in events:
        yield event
