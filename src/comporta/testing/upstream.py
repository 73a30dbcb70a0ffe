"""The base of the fake providers: a real HTTP server that answers by script, with every fault a provider can have.

A subclass gives `routes()`, each a pure function `(Seen, Step) -> Answer` in its own wire's words, and `failure`, its
error envelope. Delays, cuts, stalls, garbage and errors in mid-stream are played here, once for all wires.

    async with FakeOpenAI() as fake:
        fake.script(Step(text="Hello"), Step(status=429, headers={"Retry-After": "1"}))
        ...
        assert fake.seen[0].json["model"] == "gpt-4o-mini"

`python -m comporta.testing.upstream --wire openai --port 9000` serves one until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from msgspec import Struct

from comporta.types import JSON, Usage

WIRES = {
    "openai": "comporta.testing.fake_openai:FakeOpenAI",
    "anthropic": "comporta.testing.fake_anthropic:FakeAnthropic",
    "gemini": "comporta.testing.fake_gemini:FakeGemini",
    "ollama": "comporta.testing.fake_ollama:FakeOllama",
}
_TOKEN = re.compile(r"\S+\s*|\s+")
MAX_BODY_BYTES = 64 * 1024 * 1024


class ToolAsk(Struct, frozen=True):
    """A tool call that the scripted model makes; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"
    id: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """One scripted answer: what it says, how fast, and how it goes wrong. Counts are of stream frames."""

    #: A text is streamed word by word; a tuple says the tokens exactly.
    text: str | tuple[str, ...] = "Hello there, my friend."
    reasoning: str | tuple[str, ...] = ""
    tools: tuple[ToolAsk, ...] = ()
    refusal: str = ""
    #: In OpenAI's words; a wire puts it into its own. None: what fits the content.
    finish: str | None = None
    #: None: counted from the content.
    usage: Usage | None = None
    omit_usage: bool = False
    logprobs: bool = False
    #: The model the answer names, where it is not the one asked for.
    model: str | None = None
    status: int = 200
    #: The provider's own error code or type; None: what fits the status.
    error: str | None = None
    message: str = "This is a scripted failure."
    headers: dict[str, str] = {}
    #: Before the headers, before the first frame, and between frames.
    delay_s: float = 0.0
    first_delay_s: float = 0.0
    token_delay_s: float = 0.0
    #: The connection is closed without a single byte of an answer.
    drop: bool = False
    #: The same, after what was asked has been done.
    lost: bool = False
    #: After so many frames (of a plain body: after half of it) the connection is closed, or nothing more comes.
    cut_after: int | None = None
    stall_after: int | None = None
    #: After so many frames comes one that can't be read, or an error object in the 200 (instead of the rest).
    garbage_after: int | None = None
    error_after: int | None = None
    #: The terminator ([DONE] …) is left out.
    omit_done: bool = False
    #: The first frame holds the role alone, as OpenAI's does.
    role_only_first: bool = True
    #: Bytes are written in pieces of this size, so that frames are cut anywhere.
    split_bytes: int | None = None
    #: The body as it stands, in place of all of the above.
    body: bytes | None = None
    content_type: str = "application/json"
    #: Embeddings: the vectors to answer with; else they are made from the texts.
    vectors: tuple[tuple[float, ...], ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        return _tokens(self.text)

    @property
    def whole_text(self) -> str:
        return "".join(self.tokens)

    @property
    def reasoning_tokens(self) -> tuple[str, ...]:
        return _tokens(self.reasoning)

    @property
    def refusal_tokens(self) -> tuple[str, ...]:
        return _tokens(self.refusal)

    @property
    def whole_reasoning(self) -> str:
        return "".join(self.reasoning_tokens)

    def usage_for(self, seen: Seen) -> Usage:
        """The scripted usage, or a count: a token per word out, a token per four bytes in."""
        if self.usage is not None:
            return self.usage
        written = len(self.tokens) + sum(1 + len(t.arguments) // 4 for t in self.tools) + len(self.refusal) // 4
        return Usage(input=max(1, len(seen.body) // 4), output=written, reasoning=len(self.reasoning_tokens))


def _tokens(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text)) if isinstance(text, str) else text


class Seen:
    """A request that the fake received, and what became of it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.method = request.method
        self.path = request.path
        self.query: dict[str, str] = dict(request.query)
        self.headers: dict[str, str] = {name.lower(): value for name, value in request.headers.items()}
        self.match: dict[str, str] = dict(request.match_info)
        self.take(body)
        #: Set when the client left before the answer's end.
        self.gone = asyncio.Event()
        #: Set when the whole answer was written.
        self.done = asyncio.Event()
        #: How many frames were written.
        self.frames = 0

    def take(self, body: bytes) -> None:
        """Hold this body."""
        self.body = body
        try:
            value = msgspec.json.decode(body) if body else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        #: The body as JSON; empty where it is no JSON object (`valid` tells).
        self.json: JSON = value if isinstance(value, dict) else {}
        self.valid = isinstance(value, dict)

    def within(self, path: str, body: bytes) -> Seen:
        """A request that stood in this one: a row of a batch."""
        row = copy.copy(self)
        row.method, row.path = "POST", path
        row.headers = {**self.headers, "content-type": "application/json"}
        row.take(body)
        return row


class Answer(Struct, frozen=True, kw_only=True):
    """What a route says in its wire's words: a plain body, or the frames of a stream."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    #: None: a plain answer.
    frames: Sequence[bytes] | None = None
    #: The terminator.
    end: bytes = b""
    #: What stands for a malformed frame, and for an error inside the stream.
    garbage: bytes = b'data: {"broken": \n\n'
    error: bytes = b""


Route = Callable[[Seen, Step], Answer]
Script = Step | Callable[[Seen], Step]


class FakeUpstream:
    """A provider on 127.0.0.1 that answers by script. It can be stopped and started again on the same port."""

    wire = ""

    def __init__(self, default: Script | None = None, port: int = 0) -> None:
        #: What is answered when the script is empty.
        self.default: Script = Step() if default is None else default
        self.seen: list[Seen] = []
        self.in_flight = 0
        self.port = port
        self._steps: dict[str | None, deque[Script]] = {}
        self._arrived = asyncio.Condition()
        self._closed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # ---- for subclasses ----

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Method and path (aiohttp's patterns) of each route. GET takes no step from the script."""
        raise NotImplementedError

    def failure(self, seen: Seen, step: Step) -> bytes:
        """The error envelope for `step.status` and `step.error`; also the error inside a plain 200."""
        raise NotImplementedError

    def model_of(self, seen: Seen) -> str | None:
        """The model a request names: scripts may be for one model only."""
        model = seen.json.get("model")
        return model if isinstance(model, str) else None

    # ---- for tests ----

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, *steps: Script, model: str | None = None) -> None:
        """Answer the next requests (for `model` only, where it is given) with these steps, one each."""
        self._steps.setdefault(model, deque()).extend(steps)

    async def arrived(self, count: int, timeout_s: float = 10.0) -> Seen:
        """Wait until so many requests have come; the last of them."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) >= count)
        return self.seen[count - 1]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self._closed.clear()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for (method, path), route in self.routes().items():
            app.router.add_route(method, path, self._answering(route))
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; what is in flight or stalled is cut."""
        self._closed.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---- playing a step ----

    def _answering(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.in_flight += 1
            seen = Seen(request, await request.read())
            try:
                await self._note(seen)
                return await self._play(request, seen, self._step(seen), route)
            except (asyncio.CancelledError, ConnectionError):
                if not seen.done.is_set() and not self._closed.is_set():
                    seen.gone.set()
                raise
            finally:
                self.in_flight -= 1

        return answer

    async def _note(self, seen: Seen) -> None:
        async with self._arrived:
            self.seen.append(seen)
            self._arrived.notify_all()

    def _step(self, seen: Seen) -> Step:
        script = self.default
        if seen.method != "GET":
            for queue in (self._steps.get(self.model_of(seen)), self._steps.get(None)):
                if queue:
                    script = queue.popleft()
                    break
        return script if isinstance(script, Step) else script(seen)

    async def _play(self, request: web.Request, seen: Seen, step: Step, route: Route) -> web.StreamResponse:
        if step.delay_s:
            await asyncio.sleep(step.delay_s)
        if step.drop:
            return _cut(request, seen)
        answer = self._answer(seen, step, route)
        if step.lost:
            return _cut(request, seen)
        response = web.StreamResponse(status=answer.status, headers={**answer.headers, **step.headers})
        response.content_type = answer.content_type
        if answer.frames is None:
            return await self._play_body(request, seen, step, answer, response)
        await response.prepare(request)
        return await self._play_frames(request, seen, step, answer, response)

    def answer_row(self, path: str, body: bytes) -> Answer:
        """What a batch's row is answered: by the script of its model, else by the default."""
        row = self.seen[-1].within(path, body)
        model = self.model_of(row)
        queue = self._steps.get(model) if model is not None else None
        script = queue.popleft() if queue else self.default
        return self._answer(row, script if isinstance(script, Step) else script(row), self.routes()["POST", path])

    def _answer(self, seen: Seen, step: Step, route: Route) -> Answer:
        if step.body is not None:
            return Answer(status=step.status, body=step.body, content_type=step.content_type)
        if step.status >= 400:
            return Answer(status=step.status, body=self.failure(seen, step))
        answer = route(seen, step)
        if answer.frames is None and answer.status == 200 and step.error_after is not None:
            return Answer(body=self.failure(seen, step))
        return answer

    async def _play_body(
        self, request: web.Request, seen: Seen, step: Step, answer: Answer, response: web.StreamResponse
    ) -> web.StreamResponse:
        response.content_length = len(answer.body)
        await response.prepare(request)
        if step.cut_after is None and step.stall_after is None:
            await self._write(response, answer.body, step)
            seen.done.set()
            return response
        await response.write(answer.body[: len(answer.body) // 2])
        if step.stall_after is not None:
            await self._closed.wait()
        return _cut(request, seen)

    async def _play_frames(
        self, request: web.Request, seen: Seen, step: Step, answer: Answer, response: web.StreamResponse
    ) -> web.StreamResponse:
        if step.first_delay_s:
            await asyncio.sleep(step.first_delay_s)
        frames = list(answer.frames or ())
        for number in range(len(frames) + 1):
            if number == step.cut_after:
                return _cut(request, seen)
            if number == step.stall_after:
                await self._closed.wait()
                return _cut(request, seen)
            if number == step.garbage_after:
                await self._write(response, answer.garbage, step)
            if number == step.error_after:
                await self._write(response, answer.error, step)
                break
            if number < len(frames):
                if number and step.token_delay_s:
                    await asyncio.sleep(step.token_delay_s)
                await self._write(response, frames[number], step)
                seen.frames += 1
        if not step.omit_done and answer.end:
            await self._write(response, answer.end, step)
        seen.done.set()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes, step: Step) -> None:
        size = step.split_bytes
        if size is None:
            await response.write(data)
            return
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
            await asyncio.sleep(0)


def _cut(request: web.Request, seen: Seen) -> web.StreamResponse:
    """Close the connection; what was written before still arrives, the end of the body never does."""
    seen.done.set()
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def frame(value: Any, name: str | None = None) -> bytes:
    """A server-sent event with JSON data."""
    data = b"data: " + msgspec.json.encode(value) + b"\n\n"
    return data if name is None else b"event: " + name.encode() + b"\n" + data


def fake_for(wire: str) -> type[FakeUpstream]:
    """The fake that speaks a wire."""
    module, name = WIRES[wire].split(":")
    fake: type[FakeUpstream] = getattr(import_module(module), name)
    return fake


async def serve(wire: str, port: int, step: Step) -> None:
    """Serve a fake until cancelled."""
    async with fake_for(wire)(step, port) as fake:
        print(f"A fake {wire} provider listens on {fake.url}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="comporta.testing.upstream", description="A fake provider.")
    parser.add_argument("--wire", choices=sorted(WIRES), default="openai")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--text", default="Hello there, my friend.")
    parser.add_argument("--tokens", type=int, help="so many tokens instead of the text")
    parser.add_argument("--delay-s", type=float, default=0.0, help="before the headers")
    parser.add_argument("--token-delay-s", type=float, default=0.0, help="between stream frames")
    options = parser.parse_args()
    text = ("tick ",) * options.tokens if options.tokens else options.text
    step = Step(text=text, delay_s=options.delay_s, token_delay_s=options.token_delay_s)
    try:
        asyncio.run(serve(options.wire, options.port, step))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    # Run as the imported module: subclasses must see the same classes.
    import_module("comporta.testing.upstream").main()
