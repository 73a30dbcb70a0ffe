"""A steered call carries what its row says to the cache, and a call of no strategy is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.loaded import Places, known, load_settings
from comporta.cache.semantic.asked import THRESHOLD_FACT
from comporta.pipeline import Call
from comporta.routing.choose import Known, plan_of
from comporta.routing.task.live import Live
from comporta.routing.task.steering import Steering
from comporta.types import Caller, Input, Message, Text

TEXT = """
providers: {openai: {api_key: sk-x}}
model_routing:
  strategies:
    latency_optimized: [{task: chat, primary: openai/gpt-4o-mini, cache_similarity_threshold: 0.95}]
routes: {plain: {model: openai/gpt-4o}}
"""


def asked(model: str) -> Call:
    given = Input(messages=(Message("user", (Text("Hello"),)),))
    return Call(kind="chat", input=given, model=model, caller=Caller("k", admin=True))


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[tuple[Steering, Known]]:
    file = tmp_path / "comporta.yaml"
    file.write_text(TEXT)
    found = known(load_settings(Places(file, Folder(tmp_path)), {}), Folder(tmp_path))
    steering = Steering(Live(), lambda row, member: None, lambda target: False)
    steering.take(found.tasks.tables)
    yield steering, found


def test_a_rows_similarity_is_handed_to_the_cache(steered: tuple[Steering, Known]) -> None:
    steering, found = steered
    call = asked("task:chat")
    _, course = steering.plan(call, plan_of(found, call.model, call.caller, None))
    assert course is not None and call.facts[THRESHOLD_FACT] == 0.95


def test_a_route_without_a_strategy_keeps_its_plan(steered: tuple[Steering, Known]) -> None:
    steering, found = steered
    call = asked("plain")
    plan = plan_of(found, call.model, call.caller, None)
    assert steering.plan(call, plan) == (plan, None) and not call.facts
