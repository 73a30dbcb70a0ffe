"""Batches that a provider's own batch API answers: real processes, killed between steps, and every micro-dollar."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from openai import OpenAI

from comporta.app.folder import Folder
from comporta.testing.fake_batches import Batches
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
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

    def client(self, team: str, **more: Any) -> OpenAI:
        made = ask(self.gate, "/admin/keys", {"name": f"of-{team}", "team": team, **more}).json
        return OpenAI(base_url=f"{self.gate.url}/v1", api_key=made["secret"], max_retries=0)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        running = Folder(self.gate.data).running()
        assert running is not None
        with psycopg.connect(running.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def calls(self, team: str, count: int) -> list[Any]:
        """The records of a team's calls, once there are so many."""
        path = f"/admin/calls?team={team}&limit=100"
        found: list[Any] = until(lambda: (got := ask(self.gate, path).json["data"]) and len(got) >= count and got, 15)
        return found or ask(self.gate, path).json["data"]


@pytest.fixture
def house() -> Iterator[House]:
    fakes = Fakes()
    with short_folder() as folder:
        config = CONFIG.format(openai=fakes.openai.url, anthropic=fakes.anthropic.url)
        gate = Served(folder, config, SECRETS)
        gate.start()
        fakes.openai.default = fakes.anthropic.default = Step(text="Indeed.", usage=USAGE)
        try:
            yield House(gate, fakes)
        finally:
            gate.stop(signal.SIGINT)
            fakes.close()


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


@pytest.mark.parametrize(
    ("route", "model", "api", "batches"),
    [
        ("mini", "gpt-4o-mini", "openai", "/v1/batches"),
        ("haiku", "claude-haiku-4-5", "anthropic", "/v1/messages/batches"),
    ],
)
def test_a_batch_goes_to_its_provider_as_one_and_costs_half_to_the_micro_dollar(
    house: House, route: str, model: str, api: str, batches: str
) -> None:
    fake = getattr(house.fakes, api)
    client = house.client("night")
    batch = begin(client, [row(n, route) for n in range(12)])
    found = ended(client, batch)
    assert (found.status, found.request_counts.completed) == ("completed", 12), house.gate.output[-3000:]
    answers = read(client, found.output_file_id)
    assert {one["response"]["body"]["choices"][0]["message"]["content"] for one in answers.values()} == {"Indeed."}
    assert len(answers) == 12 and answers["r-7"]["response"]["status_code"] == 200
    # Nothing was asked by itself.
    assert [seen.path for seen in fake.seen if seen.method == "POST" and "files" not in seen.path] == [batches]
    cost, saved = HALF[model], PLAIN[model] - HALF[model]
    assert found.comporta == {
        "native": True, "handed_over": 12, "cost_usd": 12 * cost / 1e6, "saved_usd": 12 * saved / 1e6,
    }  # fmt: skip
    calls = house.calls("night", 12)
    assert len(calls) == 12
    assert {call["cost_microusd"] for call in calls} == {cost}
    assert {(call["usage"]["input"], call["usage"]["output"]) for call in calls} == {(1001, 333)}
    assert {call["notes"]["native"]["saved_microusd"] for call in calls} == {saved}
    assert {call["notes"]["batch"]["id"] for call in calls} == {batch}
