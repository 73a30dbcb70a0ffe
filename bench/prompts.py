"""`python bench/prompts.py [--calls N] [--out FILE]`: what a prompt of the registry adds to a call.

A body is read by the door for chat and passes the stages `model`, `choose` and `prompt`; the upstream step answers at
once, and nothing goes over a network. Once the body names a prompt with its values, once it holds the very messages
that the prompt makes of them: the difference of the medians is what naming a prompt adds. Once more it is measured
around the stage `prompt` alone. The registry is the real one on a PostgreSQL of its own, with one prompt of one version
and with 10,000 prompts of 50 versions each.

Printed as a table and written to `bench/out/prompts.json`. Each key holds an object with `value` (µs), `runs` and,
where something is asked of it, `wanted`:

- `added_p50_us`: named by label in a registry of one prompt
- `added_p50_us_large`: the same prompt in a registry of 10,000 × 50
- `added_p50_us_route`: the same, named by a route's variant, which takes its model from the prompt
- `added_p50_us_many`: there, one of 200 prompts at random for each call
- `stage_p50_us_large`, `stage_p99_us_large`: around the stage alone
- `first_p50_us`: a prompt's first use in a process, read from PostgreSQL and made ready
- `labels_ms`: reading all labels at a start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from comporta.gateway.answering import call_of
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.fallback import Choose
from comporta.gateway.prompting import Prompting
from comporta.pipeline import Call, Next, Only, compose, replay
from comporta.prompts.content import encoded
from comporta.prompts.folder import load_bytes
from comporta.prompts.refs import ref_of
from comporta.prompts.registry import Registry
from comporta.routing.choose import Route, Variant
from comporta.store.database import Database
from comporta.testing.servers import postgres_server
from comporta.types import Caller, Delta, Event, PromptRef

OUT = Path(__file__).parent / "out" / "prompts.json"
PROMPTS, VERSIONS = 10_000, 50
MANY = 200
WANTED_US = 60.0
MARK = "0.0.0-mark"

FILE = f"""
id: prompt-mark
version: {MARK}
model: openai/gpt-4o-mini
temperature: 0.2
max_tokens: 400
system_prompt: |
  You answer questions about orders at {{company}}. Be brief and friendly, and say so where you don't know.

  What the customer ordered:
  {{order}}
user_prompt_template: "{{question}}"
variables:
  - {{name: company, default: Acme}}
  - {{name: order, type: object, required: false}}
  - {{name: question, validation: "string, max 2000 chars", sanitization: "trim, prevent_injection"}}
"""
VALUES = {"order": {"number": "A-1001", "total": 39.9}, "question": "Where is my parcel? It was due yesterday."}

FILL = """
insert into prompt (id, highest, highest_release, versions)
select 'prompt-' || p, '1.' || %(versions)s || '.0', '1.' || %(versions)s || '.0', %(versions)s
from generate_series(1, %(prompts)s) as p;
"""
FILL_VERSIONS = """
insert into prompt_version (prompt_id, version, digest, content, pushed_by)
select 'prompt-' || p, '1.' || v || '.0', md5(p || '/' || v),
    replace(replace(%(content)s, 'prompt-mark', 'prompt-' || p), %(mark)s, '1.' || v || '.0'), 'bench'
from generate_series(1, %(prompts)s) as p, generate_series(1, %(versions)s) as v
"""
FILL_LABELS = """
with moved as (
    insert into prompt_deploy (kind, prompt_id, environment, version, digest, by)
    select 'deploy', 'prompt-' || p, 'production', '1.' || %(versions)s || '.0', md5(p || '/' || %(versions)s), 'bench'
    from generate_series(1, %(prompts)s) as p
    returning number, prompt_id, environment, version, digest
)
insert into prompt_label (prompt_id, environment, version, digest, number, entry, tags)
select prompt_id, environment, version, digest, number, number,
    '{"commit_sha": "c0ffee1", "author": "bench", "model_version": "1"}'
from moved
"""


class Known:
    """A route whose variant names the prompt, and a provider."""

    def __init__(self) -> None:
        variant = Variant("prompt-1", "", "", prompt=ref_of("prompt-1"))
        self._routes = {"orders": Route("orders", (variant,))}

    def route(self, name: str) -> Route | None:
        return self._routes.get(name)

    def provider(self, name: str) -> bool:
        return name == "openai"

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> Iterable[str]:
        return self._routes


class Measured:
    """The stage `prompt`, with the time it takes before it hands a call on."""

    def __init__(self, prompting: Prompting) -> None:
        self.taken_ns: list[int] = []
        self._prompting = prompting

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        begun_ns = time.perf_counter_ns()

        async def after(call: Call) -> AsyncIterator[Event]:
            self.taken_ns.append(time.perf_counter_ns() - begun_ns)
            return await next(call)

        return await self._prompting.stage(call, after)


class Road:
    """From a body to the upstream step."""

    def __init__(self, registry: Registry) -> None:
        known = Known()
        prompting = Prompting(registry, lambda: known)
        self.alone = Measured(prompting)
        self.asked: list[Any] = []
        self._door = OpenAIChat()
        self._caller = Caller("bench")
        self._run = compose(
            [
                ("model", Only(prompting.nameless, prompting.name)),
                ("choose", Choose(lambda: known, lambda route: 100.0, lambda target: False)),
                ("prompt", Only(prompting.applies, prompting.stage)),
            ],
            self._answer,
        )
        self._timed = compose(
            [
                ("model", Only(prompting.nameless, prompting.name)),
                ("choose", Choose(lambda: known, lambda route: 100.0, lambda target: False)),
                ("prompt", Only(prompting.applies, self.alone.stage)),
            ],
            self._answer,
        )

    async def _answer(self, call: Call) -> AsyncIterator[Event]:
        self.asked = [call.input]
        return replay([Event((Delta(text="Yes.", finish="stop"),), whole=True, last=True)])

    async def send(self, body: bytes, timed: bool = False) -> int:
        """Nanoseconds from the body to the upstream's answer."""
        begun_ns = time.perf_counter_ns()
        call = call_of("openai.chat", self._door.parse(body, {}), self._caller, {})
        await (self._timed if timed else self._run)(call)
        return time.perf_counter_ns() - begun_ns


async def measure(calls: int, console: Console) -> dict[str, dict[str, Any]]:
    (mark,) = load_bytes(FILE.encode(), "mark.yaml")
    results: dict[str, dict[str, Any]] = {}
    with postgres_server() as server:
        for prompts, versions, large in ((1, 1, False), (PROMPTS, VERSIONS, True)):
            dsn = server.create_database()
            async with Database(dsn) as database:
                console.print(f"{prompts:,} prompts of {versions} versions …")
                await fill(database, encoded(mark), prompts, versions)
                results |= await measured(database, calls, large)
            server.drop_database(dsn)
    return results


def main(calls: int, out: Path) -> int:
    """0 where all is as wanted."""
    console = Console()
    results = asyncio.run(measure(calls, console))
    console.print(table(results, calls))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(one["value"] > one["wanted"] for one in results.values() if "wanted" in one))


async def fill(database: Database, content: str, prompts: int, versions: int) -> None:
    """Straight into the tables: half a million pushes would take an hour."""
    values = {"prompts": prompts, "versions": versions, "content": content, "mark": MARK}
    async with database.connection() as connection:
        await connection.execute("set local session_replication_role = replica")
        for statement in (FILL, FILL_VERSIONS, FILL_LABELS):
            await connection.execute(statement.encode(), values)
    async with database.connection() as connection:
        await connection.execute("analyze prompt_version")


async def measured(database: Database, calls: int, large: bool) -> dict[str, dict[str, Any]]:
    registry = Registry(database)
    begun_s = time.perf_counter()
    await registry.load()
    labels_ms = (time.perf_counter() - begun_s) * 1e3
    road = Road(registry)
    named = body({"prompt": {"id": "prompt-1", "variables": VALUES}})
    await road.send(named)
    same = plain(road)
    if not large:
        return {"added_p50_us": added(await both(road, [named], same, calls), calls)}
    routed = body({"model": "orders", "prompt": {"variables": VALUES}})
    many = [body({"prompt": {"id": f"prompt-{n}", "variables": VALUES}}) for n in range(1, MANY + 1)]
    for one in many:
        await road.send(one)
    found = {
        "added_p50_us_large": added(await both(road, [named], same, calls), calls),
        "added_p50_us_route": added(await both(road, [routed], same, calls), calls),
        "added_p50_us_many": added(await both(road, many, same, calls), calls),
    }
    for _ in range(calls):
        await road.send(named, timed=True)
    taken_us = sorted(ns / 1e3 for ns in road.alone.taken_ns)
    found["stage_p50_us_large"] = {"value": statistics.median(taken_us), "runs": calls, "wanted": WANTED_US}
    found["stage_p99_us_large"] = {"value": taken_us[int(len(taken_us) * 0.99)], "runs": calls}
    found["first_p50_us"] = await first(registry)
    found["labels_ms"] = {"value": labels_ms, "runs": 1}
    return found


def body(said: dict[str, Any]) -> bytes:
    return msgspec.json.encode(said)


def plain(road: Road) -> bytes:
    """A body with the very messages that the prompt made."""
    messages = [{"role": one.role, "content": one.text} for one in road.asked[0].messages]
    return body({"model": "openai/gpt-4o-mini", "temperature": 0.2, "max_tokens": 400, "messages": messages})


async def both(road: Road, named: Sequence[bytes], same: bytes, calls: int) -> tuple[float, float]:
    """Medians in µs with a prompt and without one, taken in turns so that neither has the quieter machine."""
    with_ns, without_ns = [], []
    draw = random.Random(7)
    for _ in range(calls):
        with_ns.append(await road.send(draw.choice(named)))
        without_ns.append(await road.send(same))
    return statistics.median(with_ns) / 1e3, statistics.median(without_ns) / 1e3


def added(medians: tuple[float, float], calls: int) -> dict[str, Any]:
    with_us, without_us = medians
    return {
        "value": with_us - without_us, "runs": calls, "wanted": WANTED_US, "with_us": with_us, "without_us": without_us,
    }  # fmt: skip


async def first(registry: Registry) -> dict[str, Any]:
    """Prompts that nobody asked for before."""
    taken_us = []
    for number in range(1000, 1200):
        begun_ns = time.perf_counter_ns()
        await registry.fetch(PromptRef(f"prompt-{number}"), None)
        taken_us.append((time.perf_counter_ns() - begun_ns) / 1e3)
    return {"value": statistics.median(taken_us), "runs": len(taken_us)}


def table(results: dict[str, dict[str, Any]], calls: int) -> Table:
    made = Table(title=f"What a prompt adds to a call ({calls:,} calls each)")
    for name in ("", "value", "wanted", "with", "without"):
        made.add_column(name, justify="left" if not name else "right")
    for name, one in results.items():
        unit = " ms" if name.endswith("_ms") else " µs"
        cells = [one["value"], one.get("wanted"), one.get("with_us"), one.get("without_us")]
        made.add_row(name, *("" if cell is None else f"{cell:.1f}{unit}" for cell in cells))
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a prompt of the registry adds to a call.")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    sys.exit(main(given.calls, given.out))
