"""A gate with fakes behind it whose providers' own batch APIs answer: what tests of native batches ask and look at."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from openai import OpenAI

from comporta.app.folder import Folder
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Seen, Step
from comporta.types import Usage
from support.serving import SECRETS, Fakes, Served
from support.talking import ask, until

#: gpt-4o-mini at $0.15 and $0.60 per million tokens, claude-haiku-4-5 at $1 and $5: half of that in batches.
USAGE = Usage(input=1001, output=333)
PLAIN = {"gpt-4o-mini": 350, "claude-haiku-4-5": 2666}
HALF = {"gpt-4o-mini": 175, "claude-haiku-4-5": 1333}

CONFIG = """
providers:
  openai: {{base_url: "{openai}/v1", api_key: "${{OPENAI_API_KEY}}"}}
  anthropic: {{base_url: "{anthropic}", api_key: "${{ANTHROPIC_API_KEY}}"}}
models:
  openai/gpt-4o-mini: {{price: {{input: $0.15, output: $0.60}}}}
  anthropic/claude-haiku-4-5: {{price: {{input: $1, output: $5}}}}
  openai/gpt-4o: {{price: {{input: $2.5, output: $10}}, batch_price: 100%}}
routes:
  mini: {{model: openai/gpt-4o-mini}}
  haiku: {{model: anthropic/claude-haiku-4-5}}
  dear: {{model: openai/gpt-4o}}
  masked:
    model: openai/gpt-4o-mini
    guardrails:
      unmask: true
      input: [{{type: pii_detection, action: mask}}]
      output: [{{type: regex, patterns: ["FORBIDDEN"], action: block}}]
guardrails: {{mask_style: numbered}}
retry: {{attempts: 1}}
breaker: {{failures: 1000, share: 100%}}
batches: {{native: true, native_poll: 200ms, concurrency: 8}}
logging: {{format: json}}
"""


class House:
    """A gate with fakes behind it."""

    def __init__(self, gate: Served, fakes: Fakes) -> None:
        self.gate = gate
        self.fakes = fakes

    def fresh(self) -> House:
        """Itself, with fakes that have heard nothing yet, and answer everything."""
        for fake in (self.fakes.openai, self.fakes.anthropic):
            fake.default = Step(text="Indeed.", usage=USAGE)
            fake.seen.clear()
            fake.batches.all.clear()
            fake.batches.hold, fake.batches.answers, fake.batches.refusal = False, None, None
        return self

    def client(self, team: str, **more: Any) -> OpenAI:
        made = ask(self.gate, "/admin/keys", {"name": f"of-{team}", "team": team, **more}).json
        return OpenAI(base_url=f"{self.gate.url}/v1", api_key=made["secret"], max_retries=0)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        running = Folder(self.gate.data).running()
        assert running is not None
        with psycopg.connect(running.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def hurry(self) -> None:
        """What waits for its time, or for the lease of one who died, is due now."""
        self.sql("update batch_handover set due_at = now(), lease_until = null where state <> 'closed'")
        self.sql("update batch_row set lease_until = now() where state in ('running', 'waiting')")

    def kill(self, part: str) -> None:
        """Kill a process of the gate's, and wait for the next one."""
        before = self.pids(part)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: self.pids(part) - before)
        assert until(self.gate.ready)

    def pids(self, part: str) -> set[int]:
        return {pid for pid, command in self.gate.processes().items() if part in command}

    def handovers(self, batch: str) -> list[Any]:
        return self.sql("select state, reason from batch_handover where batch_id = %s", batch)

    def calls(self, team: str, count: int) -> list[Any]:
        """The records of a team's calls, once there are so many."""
        path = f"/admin/calls?team={team}&limit=100"
        until(lambda: len(ask(self.gate, path).json["data"]) >= count)
        found: list[Any] = ask(self.gate, path).json["data"]
        return found


@contextmanager
def native_house(more: str = "") -> Iterator[House]:
    """`more`: further lines of its configuration."""
    fakes = Fakes()
    with short_folder() as folder:
        config = CONFIG.format(openai=fakes.openai.url, anthropic=fakes.anthropic.url) + more
        gate = Served(folder, config, SECRETS)
        gate.start()
        try:
            yield House(gate, fakes)
        finally:
            gate.stop()
            fakes.close()


def echo(seen: Seen) -> Step:
    """Says again what it was told."""
    messages = seen.json.get("messages") or [{"content": ""}]
    return Step(text=f"You said: {messages[-1]['content']}", usage=USAGE)


def row(number: int, model: str = "mini", text: str = "Question", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"{text} {number}?"}], **more}
    return {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def begin(client: OpenAI, rows: list[Any], **more: Any) -> str:
    text = "\n".join(json.dumps(one) for one in rows)
    file = client.files.create(file=("in.jsonl", io.BytesIO(text.encode())), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_body=more
    ).id


def ended(client: OpenAI, batch: str, within_s: float = 60) -> Any:
    def look() -> Any:
        found = client.batches.retrieve(batch)
        return found if found.status in ("completed", "failed", "cancelled", "expired") else None

    found = until(look, within_s)
    assert found, client.batches.retrieve(batch)
    return found


def read(client: OpenAI, file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    return {one["custom_id"]: one for one in map(json.loads, client.files.content(file).text.splitlines())}


def spoken(fake: Any, path: str) -> int:
    """How many requests a fake was sent at a path."""
    return sum(seen.path == path and seen.method == "POST" for seen in fake.seen)


def costs(calls: list[Any]) -> list[int]:
    return sorted(call["cost_microusd"] for call in calls if call["cost_microusd"])
