"""Prompts over HTTP: pushed, deployed, asked with through every door, recorded, and fetched by an application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from comporta.client import Prompts
from support.serving import Fakes, Served
from support.talking import ask, recorded

FILE = """
id: parcels
version: {version}
model: openai/{model}
max_tokens: 77
system_prompt: You are version {version}.
user_prompt_template: "{{question}}"
variables: [{{name: question, validation: "string, max 40 chars"}}]
"""
TAGS = {"commit_sha": "c0ffee1", "author": "ana", "model_version": "m1"}
VALUES = {"question": "Where is it?"}


@pytest.fixture(scope="module")
def pushed(gate: Served) -> Iterator[Served]:
    """Two versions: the first in production, the second in staging."""
    for version, model, label in (("1.0.0", "p-a", "production"), ("2.0.0", "p-b", "staging")):
        files = [{"name": "parcels.yaml", "text": FILE.format(version=version, model=model), "author": "ana"}]
        pushed = ask(gate, "/admin/prompts/push", {"files": files})
        assert pushed.status in (200, 201), pushed.body
        body = {"version": version, "environment": label, "why": "test", "tags": TAGS}
        deployed = ask(gate, "/admin/prompts/parcels/deploy", body)
        assert deployed.status in (200, 201), deployed.body
    yield gate


@pytest.mark.parametrize(
    ("path", "more"), [("/v1/chat/completions", {}), ("/v1/responses", {}), ("/v1/messages", {})]
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_every_door_asks_with_a_prompt_and_nothing_else(
    pushed: Served, fakes: Fakes, path: str, more: dict[str, Any], stream: bool
) -> None:
    answer = ask(pushed, path, {"prompt": {"id": "parcels", "variables": VALUES}, "stream": stream, **more})
    assert answer.status == 200, answer.body
    assert answer.headers["x-comporta-prompt"] == "parcels@1.0.0"
    sent = fakes.openai.seen[-1].json
    told = sent["messages"] if "messages" in sent else sent["input"]
    assert sent["model"] == "p-a" and [one["content"] for one in told] == ["You are version 1.0.0.", "Where is it?"]
    assert 77 in (sent.get("max_tokens"), sent.get("max_completion_tokens"), sent.get("max_output_tokens"))
    record = recorded(pushed, answer.call)
    assert (record["call"]["prompt_version"], record["call"]["prompt_label"]) == ("1.0.0", "production")
    assert record["call"]["deploy"] == TAGS and record["variables"] == VALUES


def test_openais_own_sdk_asks_with_a_prompt_in_its_own_words(pushed: Served) -> None:
    with openai.OpenAI(base_url=f"{pushed.url}/v1", api_key=pushed.key, max_retries=0) as client:
        response = client.responses.create(prompt={"id": "parcels", "version": "2.0.0", "variables": dict(VALUES)})
        assert response.output_text
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(prompt={"id": "parcels", "variables": {"question": "x" * 41}})
        assert "parcels@1.0.0: variable question is too long" in str(refused.value)
        with pytest.raises(openai.NotFoundError):
            client.responses.create(prompt={"id": "nobody"})


def test_the_counts_tell_prompt_and_deploy(pushed: Served) -> None:
    ask(pushed, "/v1/chat/completions", {"prompt": {"id": "parcels", "variables": VALUES}})
    lines = [
        line for line in ask(pushed, "/metrics").body.decode().splitlines() if "comporta_prompt_calls_total{" in line
    ]
    assert any('prompt="parcels"' in line and 'commit_sha="c0ffee1"' in line for line in lines), lines


def test_an_application_fetches_a_prompt_and_is_told_when_nothing_changed(pushed: Served) -> None:
    path = "/v1/prompts/parcels?label=staging&question=Hello"
    first = ask(pushed, path)
    assert first.status == 200 and first.json["messages"][0]["content"] == "You are version 2.0.0."
    again = ask(pushed, path, if_none_match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    posted = ask(pushed, "/v1/prompts/parcels/render", {"label": "staging", "variables": {"question": "Hello"}})
    assert posted.status == 200 and posted.json == first.json
    assert ask(pushed, path, key="cmp-nobody").status == 401
    wrong = ask(pushed, "/v1/prompts/parcels/render", {"variables": {}})
    assert (wrong.status, wrong.json["error"]["code"]) == (400, "invalid_variable")
    assert ask(pushed, "/v1/prompts/parcels", {"question": "?"}).status == 404


async def test_the_client_has_what_the_gate_has_and_goes_on_without_it(pushed: Served) -> None:
    async with Prompts(pushed.url, await asyncio.to_thread(lambda: pushed.key)) as prompts:
        found = await prompts.get("parcels", variables=VALUES)
        assert (found.version, found.source, found.body["max_tokens"]) == ("1.0.0", "gate", 77)
        assert (await prompts.get("parcels", variables=VALUES)).source == "cache"
