"""The client's trace on its way through the gate: what the upstream hears of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from comporta.gateway.answering import call_of
from comporta.gateway.attempt import Attempt, Reached, TimeLimits
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.transport import HttpTransport
from comporta.pipeline import collect
from comporta.providers.base import Endpoint, Query
from comporta.providers.openai import OpenAI
from comporta.telemetry.otlp.context import span_id_of
from comporta.testing.fake_openai import FakeOpenAI
from comporta.types import Caller, Target

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


async def heard(fake: FakeOpenAI, headers: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """What the upstream hears of a call that comes with these headers, and the id of the call's span."""
    parsed = OpenAIChat().parse(json.dumps(CHAT).encode(), {})
    call = call_of("openai.chat", parsed, Caller("k"), headers)
    call.target = Target("r", "v", "openai", "m")
    query = Query(kind="chat", input=parsed.input, model="m", stream=False)
    endpoint = Endpoint("openai", fake.base_url, "sk-none", {})
    reached = Reached(model=OpenAI(), endpoint=endpoint, query=query, credential="first", limits=TimeLimits())
    transport = HttpTransport()
    try:
        await collect(await Attempt(lambda call: reached, transport)(call))
        await call.close_events()
    finally:
        await transport.close()
    return {name: value for name, value in fake.seen[-1].headers.items() if name.startswith("trace")}, span_id_of(
        call.id
    )


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_an_upstream_hears_of_the_clients_trace_its_flags_and_its_state(flags: str) -> None:
    async with FakeOpenAI() as fake:
        given = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "vendor=x"}
        found, span = await heard(fake, given)
    assert found == {"traceparent": f"00-{TRACE}-{span}-{flags}", "tracestate": "vendor=x"}


@pytest.mark.parametrize("given", [{}, {"tracestate": "vendor=x"}, {"traceparent": "nonsense", "tracestate": "a=b"}])
async def test_without_a_trace_of_the_clients_an_upstream_hears_of_none(given: dict[str, str]) -> None:
    async with FakeOpenAI() as fake:
        found, _ = await heard(fake, given)
    assert found == {}
