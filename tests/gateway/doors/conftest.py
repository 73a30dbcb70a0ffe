"""What the tests of doors share: a call to answer, and the official SDKs fed with given bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from comporta.pipeline import Call
from comporta.types import Caller, Input

MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]


@pytest.fixture
def make_call() -> MakeCall:
    def make(**given: Any) -> Call:
        cost = given.pop("cost_microusd", None)
        defaults: dict[str, Any] = {"kind": "chat", "input": Input(), "model": "support", "caller": Caller("key")}
        call = Call(**(defaults | given))
        call.cost_microusd = cost
        return call

    return make


def _transport(body: bytes, status: int, stream: bool) -> httpx2.MockTransport:
    kind = "text/event-stream" if stream else "application/json"
    return httpx2.MockTransport(lambda _: httpx2.Response(status, content=body, headers={"content-type": kind}))


@pytest.fixture
def openai_client() -> MakeClient:
    """An OpenAI client whose every answer is the given bytes."""

    def make(body: bytes, *, status: int = 200, stream: bool = True) -> openai.OpenAI:
        http = httpx2.Client(transport=_transport(body, status, stream))
        return openai.OpenAI(api_key="k", base_url="http://gate.test/v1", max_retries=0, http_client=http)

    return make


@pytest.fixture
def anthropic_client() -> MakeClient:
    """An Anthropic client whose every answer is the given bytes."""

    def make(body: bytes, *, status: int = 200, stream: bool = True) -> anthropic.Anthropic:
        http = httpx2.Client(transport=_transport(body, status, stream))
        return anthropic.Anthropic(api_key="k", base_url="http://gate.test", max_retries=0, http_client=http)

    return make
