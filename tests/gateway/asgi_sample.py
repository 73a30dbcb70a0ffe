"""A FastAPI application behind AsgiMount, run by a real granian: what test_asgi.py talks to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from comporta.gateway.asgi import AsgiMount


def make_app(notes: Path) -> FastAPI:
    """Notes what happens to it in a file, since the test stands in another process."""

    def note(text: str) -> None:
        with notes.open("a") as file:
            file.write(text + "\n")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        note("started")
        yield {"word": "sluice"}
        note("stopped")

    app = FastAPI(lifespan=lifespan)

    @app.api_route("/echo/{rest:path}", methods=["GET", "POST"])
    async def echo(rest: str, request: Request) -> JSONResponse:
        client = request.client
        headers = [[k, v] for k, v in request.headers.items() if k.startswith("x-")]
        facts = {
            "rest": rest, "query": str(request.query_params), "headers": headers, "method": request.method,
            "word": request.state.word, "url": str(request.url), "client": client.host if client else None,
        }  # fmt: skip
        return JSONResponse(facts, headers={"x-answer": "yes"}, status_code=201)

    @app.post("/upload")
    async def upload(request: Request) -> dict[str, int]:
        size = pieces = 0
        try:
            async for piece in request.stream():
                size, pieces = size + len(piece), pieces + 1
        except Exception as error:
            note(f"upload {type(error).__name__}")
            raise
        return {"size": size, "pieces": pieces}

    @app.get("/stream")
    async def stream(count: int = 5, wait_s: float = 0.0, size: int = 8) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                for number in range(count):
                    yield f"{number}".rjust(size).encode()
                    await asyncio.sleep(wait_s)
            except BaseException as error:
                note(f"stream {type(error).__name__}")
                raise

        return StreamingResponse(parts(), media_type="text/plain")

    @app.get("/slow")
    async def slow(request: Request) -> PlainTextResponse:
        for _ in range(200):
            if await request.is_disconnected():
                note("slow saw the client leave")
                break
            await asyncio.sleep(0.01)
        return PlainTextResponse("late")

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError("a secret word")

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        if "refuse" in socket.query_params:
            await socket.close(4001)
            return
        await socket.accept()
        async for text in socket.iter_text():
            if text == "bytes":
                await socket.send_bytes(b"\x00\xff")
            elif text == "bye":
                await socket.close(4002)
                return
            else:
                await socket.send_text(f"{socket.state.word} {text}")
        note("websocket ended")

    return app


class Worker:
    """granian's RSGI application: the mount with its start and its end."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._mount: AsgiMount | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self._mount = AsgiMount(make_app(self._notes))
        await self._mount.startup()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._mount is not None
        loop.run_until_complete(self._mount.shutdown())

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        assert self._mount is not None
        await self._mount(scope, proto)
