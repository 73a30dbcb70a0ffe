"""The gate's server: every door, the small pages, and the admin API, on one port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from comporta import __version__
from comporta.app.gate import Gate
from comporta.app.native import Native
from comporta.errors import Forbidden
from comporta.gateway.admin.page import render
from comporta.gateway.answering import Answering, refuse_when
from comporta.gateway.asgi import AsgiMount
from comporta.gateway.batches.pages import BatchPages
from comporta.gateway.batches.store import Batches
from comporta.gateway.doors import listing
from comporta.gateway.doors.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_completions import OpenAICompletions
from comporta.gateway.doors.openai_embeddings import OpenAIEmbeddings
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.gateway.guards import GuardPage
from comporta.gateway.openapi.document import document
from comporta.gateway.prompt_pages import PromptPages
from comporta.gateway.reading import AS_KEY, secret_of
from comporta.gateway.server import Asked, Page, Server
from comporta.gateway.traces import TracesPage
from comporta.keys.admin import is_folders
from comporta.routing.choose import permitted
from comporta.telemetry.metrics import CONTENT_TYPE
from comporta.telemetry.otlp.inbox import Inbox
from comporta.types import Caller

#: Among the names that a key may use, the counts at `/metrics`.
METRICS = "metrics"
#: One step of a native batch may bring a large file; shorter than the job worker waits for it.
_NATIVE_LIMIT_S = 600.0
#: What a form has around its file.
_FORM_BYTES = 64 * 1024


class _Room(Struct, frozen=True):
    """The addresses that a room of the gate answers at; `inner` ones with their limits in seconds."""

    pages: Mapping[str, Any] = {}
    posts: Mapping[str, Any] = {}
    deletions: Mapping[str, Any] = {}
    preflights: Mapping[str, Any] = {}
    inner: Mapping[str, Any] = {}
    #: Largest bodies in bytes: of those that may be packed, and of others that may be larger than usual.
    packed: Mapping[str, int] = {}
    large: Mapping[str, int] = {}


def make_server(gate: Gate) -> Server:
    """Put together what a worker answers with."""
    pages, server = Pages(gate), gate.loaded.value.server
    answering = Answering(
        pipeline=gate.pipeline, authenticate=pages.authenticate, acting=pages.acting, admit=pages.admit,
        max_body=server.max_body, body_timeout_s=server.body_timeout, keep_alive_s=server.keep_alive,
        beside=gate.listening.headers,
    )  # fmt: skip
    doors = (
        OpenAIChat(), OpenAICompletions(), OpenAIResponses(), OpenAIEmbeddings(), AnthropicMessages(),
        AnthropicCountTokens(),
    )  # fmt: skip
    rooms = (
        _own(pages, doors), _calls(gate, pages), _feedback(gate, pages), _traces(gate, pages),
        _batches(gate, pages, doors),
    )  # fmt: skip

    def all_of(kind: str) -> dict[str, Any]:
        return {path: answer for room in rooms for path, answer in getattr(room, kind).items()}

    return Server(
        answering=answering, doors=doors, max_body=server.max_body,
        mounts={"/admin": Lazy(lambda: _admin(gate, pages.authenticate))},
        **{kind: all_of(kind) for kind in _Room.__struct_fields__},
    )  # fmt: skip


def _own(pages: Pages, doors: Sequence[Door]) -> _Room:
    reference = Reference(lambda: document(doors, __version__))
    return _Room(pages={
        "/": pages.root, "/docs": reference.page, "/openapi.json": reference.document, "/v1/models": pages.models,
        "/v1/models/": pages.model, "/health/live": pages.live, "/health/ready": pages.ready,
        "/metrics": pages.metrics, "/metrics/llm": pages.summary,
    })  # fmt: skip


def _calls(gate: Gate, pages: Pages) -> _Room:
    """What is asked of calls before and after them."""
    responses = gate.followups.pages(pages.authenticate)
    prompts = PromptPages(gate.prompts, pages.authenticate)
    guards = GuardPage(pages.authenticate, pages.admit, gate.checking.check)
    return _Room(
        pages={"/v1/responses/": responses.show, "/v1/prompts/": prompts.show},
        posts={"/v1/prompts/": prompts.render, "/v1/guard": guards.post},
        deletions={"/v1/responses/": responses.remove},
    )


def _feedback(gate: Gate, pages: Pages) -> _Room:
    feedback = gate.listening.pages(pages.authenticate, pages.admit)
    return _Room(
        pages={"/feedback.js": feedback.script},
        posts={"/v1/feedback": feedback.post, "/v1/feedback/token": feedback.token},
        preflights={"/v1/feedback": feedback.ask_first},
    )


def _traces(gate: Gate, pages: Pages) -> _Room:
    taking = gate.loaded.value.otlp.take
    if not taking.enabled:
        return _Room()
    inbox = Inbox(gate.folder.traces, taking.max_waiting)
    traces = TracesPage(pages.authenticate, pages.admit, inbox.put)
    return _Room(posts={"/v1/traces": traces.post}, packed={"/v1/traces": taking.max_body})


def _batches(gate: Gate, pages: Pages, doors: Sequence[Door]) -> _Room:
    section = gate.loaded.value.batches
    if not section.enabled:
        return _Room()
    batches = BatchPages(Batches(gate.database), pages.authenticate, lambda: gate.loaded.value.batches)
    native = Native(gate).pages(doors, pages.acting, pages.authenticate)
    return _Room(
        pages={
            "/v1/files": batches.files, "/v1/files/": batches.file, "/v1/batches": batches.batches,
            "/v1/batches/": batches.batch,
        },
        posts={"/v1/files": batches.upload, "/v1/batches": batches.create, "/v1/batches/": batches.cancel},
        deletions={"/v1/files/": batches.remove},
        inner={"/native/": (native.post, _NATIVE_LIMIT_S)},
        large={"/v1/files": section.max_file + _FORM_BYTES},
    )  # fmt: skip


async def _admin(gate: Gate, authenticate: Callable[[str], Caller]) -> AsgiMount:
    # FastAPI is half a second of every worker's start, and most gates never need it: imported at the first request.
    from comporta.app.admin import mounted  # noqa: PLC0415

    return await mounted(gate, authenticate)


class Lazy:
    """A mounted application that is made when its first request comes: it would slow the start of every worker."""

    def __init__(self, make: Callable[[], Awaitable[AsgiMount]]) -> None:
        self._make = make
        self._mount: AsgiMount | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Any, proto: Any) -> None:
        if self._mount is None:
            async with self._making:
                self._mount = self._mount or await self._make()
        await self._mount(scope, proto)


class Reference:
    """The data plane's own page, made when it is first asked for: it takes as long as a thousand calls."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._made: tuple[bytes, bytes] | None = None

    async def document(self, asked: Asked) -> Page:
        return Page((await self._both())[0])

    async def page(self, asked: Asked) -> Page:
        return Page((await self._both())[1], "text/html; charset=utf-8")

    async def _both(self) -> tuple[bytes, bytes]:
        if self._made is None:
            self._made = await asyncio.to_thread(self._written)
        return self._made

    def _written(self) -> tuple[bytes, bytes]:
        made = self._make()
        return msgspec.json.encode(made), render(made, "/openapi.json").encode()


class Pages:
    """The small GETs."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.admit = refuse_when(lambda: gate.draining, lambda: gate.telemetry.spool.full)

    def authenticate(self, secret: str) -> Caller:
        return self._gate.keys.authenticate(secret, time.time())

    def acting(self, caller: Caller, key_id: str) -> Caller:
        """The key that the gate's own processes ask for: believed of the data folder's key alone."""
        row = self._gate.keys.row(caller.key_id)
        if row is None or not is_folders(row):
            raise Forbidden(f"{AS_KEY} is for the gate's own processes.", code="not_for_you")
        return self._gate.keys.caller(key_id, time.time())

    async def root(self, asked: Asked) -> Page:
        return Page(
            b'{"name":"comporta","docs":"/docs","openapi":"/openapi.json","admin":"/admin/docs",'
            b'"models":"/v1/models","health":"/health/ready"}'
        )

    async def live(self, asked: Asked) -> Page:
        return Page(b'{"status":"live"}')

    async def ready(self, asked: Asked) -> Page:
        """Ready to answer calls; a database that is away is told, and is no reason to send callers elsewhere."""
        gate = self._gate
        self.admit()
        return Page(
            msgspec.json.encode(
                {"status": "ready", "database": gate.database_state, "spool_bytes": gate.telemetry.spool.bytes}
            )
        )

    async def models(self, asked: Asked) -> Page:
        caller = self.authenticate(secret_of(asked.headers))
        return Page(listing.listing(self._listed(caller), asked.headers))

    async def model(self, asked: Asked) -> Page:
        caller = self.authenticate(secret_of(asked.headers))
        return Page(listing.one(self._listed(caller), asked.rest, asked.headers))

    def _listed(self, caller: Caller) -> list[listing.Listed]:
        """What a key may use (WIRE 25)."""
        return [self._shown(name) for name in self._gate.known.names() if permitted(caller, name)]

    def _shown(self, name: str) -> listing.Listed:
        known = self._gate.known
        owner, _, model = name.partition("/")
        provider = known.providers.get(owner)
        if provider is None or name in known.routes:
            return listing.Listed(name)
        facts = provider.facts(model)
        return listing.Listed(name, owner, context=facts.context, max_output=facts.max_output)

    async def metrics(self, asked: Asked) -> Page:
        """Counts of everybody's calls, money among them: for administrators, and for keys that name them."""
        if self._gate.loaded.value.server.metrics_key:
            caller = self.authenticate(secret_of(asked.headers))
            if not caller.admin and METRICS not in caller.allow:
                raise Forbidden(
                    "This key may not read everybody's counts. Make one that may read them and nothing else: "
                    f"comporta key create prometheus --allow {METRICS}"
                )
        gauges = await self._gate.observing.gauges()
        return Page(await self._gate.telemetry.metrics.exposition(gauges), CONTENT_TYPE)

    async def summary(self, asked: Asked) -> Page:
        """Figures for people and dashboards; a key that is no admin's sees its own."""
        caller = self.authenticate(secret_of(asked.headers))
        query = dict(asked.query)
        if not caller.admin and query.setdefault("key", caller.key_id) != caller.key_id:
            raise Forbidden("This key may see its own figures only.", param="key")
        return Page(msgspec.json.encode(await self._gate.observing.report(query, all_calls=caller.admin)))
