"""Batches as the job worker runs them: each row asked of the gate over HTTP, in the name of the key that made it."""

from __future__ import annotations

from collections.abc import Mapping

from comporta.app.around import Around
from comporta.gateway.batches.running import Answered, Running, Send
from comporta.gateway.batches.store import Batches


def sends_over(around: Around) -> Send:
    """Asks the gate for a row."""

    async def send(path: str, body: str, headers: Mapping[str, str]) -> Answered:
        answer = await around.gate.send("POST", path, body.encode(), headers=headers)
        retry = answer.headers.get("retry-after", "")
        return Answered(
            answer.status, answer.body.decode("utf-8", "replace"), answer.headers.get("x-request-id"),
            float(retry) if retry.replace(".", "", 1).isdecimal() else None,
        )  # fmt: skip

    return send


async def run_batches(around: Around) -> None:
    """Ask rows until cancelled."""
    running = Running(
        around.database, sends_over(around), lambda: around.settings().batches.concurrency,
        lambda: around.settings().batches.max_rows, around.count,
    )  # fmt: skip
    await running.run()


async def prune_batches(around: Around) -> None:
    """Drop old files and batches."""
    await Batches(around.database).prune(around.settings().batches.keep)
