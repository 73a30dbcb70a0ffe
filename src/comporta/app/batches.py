"""Batches as the job worker runs them: each row asked of the gate over HTTP, in the name of the key that made it."""

from __future__ import annotations

from collections.abc import Mapping

from comporta.app.around import Around
from comporta.gateway.batches.handovers import Handovers
from comporta.gateway.batches.native import HandingOver
from comporta.gateway.batches.running import Answered, Running, Send
from comporta.gateway.batches.store import Batches


def sends_over(around: Around) -> Send:
    """Asks the gate for a row."""

    async def send(path: str, body: str, headers: Mapping[str, str]) -> Answered:
        answer = await around.gate.send("POST", path, body.encode(), headers=headers)
        head = answer.headers
        retry = head.get("retry-after", "")
        return Answered(
            answer.status, answer.body.decode("utf-8", "replace"),
            head.get("x-comporta-request") or head.get("x-request-id"),
            float(retry) if retry.replace(".", "", 1).isdecimal() else None,
            _microusd(head.get("x-comporta-cost-usd")), _microusd(head.get("x-comporta-saved-usd")),
        )  # fmt: skip

    return send


async def run_batches(around: Around) -> None:
    """Ask rows until cancelled."""
    running = Running(
        around.database, sends_over(around), lambda: around.settings().batches.concurrency,
        lambda: around.settings().batches.max_rows, around.count,
    )  # fmt: skip
    await running.run()


async def hand_over(around: Around) -> None:
    """Hand rows to providers' own batch APIs until cancelled; the gate takes each step."""

    async def step(id: str) -> float:
        told = await around.gate.ask("POST", f"/native/step/{id}")
        return float(told["wait_s"])

    await HandingOver(Handovers(around.database), step).run()


async def prune_batches(around: Around) -> None:
    """Drop old files and batches."""
    await Batches(around.database).prune(around.settings().batches.keep)


def _microusd(usd: str | None) -> int | None:
    return None if usd is None else round(float(usd) * 1_000_000)
