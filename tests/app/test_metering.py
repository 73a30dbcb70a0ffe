"""What calls may cost, worked out once: told anew where the configuration or a registered model changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comporta.app import metering
from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.loaded import Places, load_settings
from comporta.pipeline import Call
from comporta.routing.registered import RegisteredModel
from comporta.types import Caller, Input, Message, Price, Target, Text

CONFIG = """
providers: {{mock: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: sk-unused-0123456789}}}}
models: {{mock/cheap: {{price: {{input: $1, output: $2}}}}, mock/dear: {{price: {{input: $1, output: {dear}}}}}}}
routes: {{r: {{variants: [{{model: mock/cheap}}, {{model: mock/dear}}, {{model: mock/unknown}}]}}}}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that was never opened: nothing here asks a database."""
    folder = Folder(tmp_path / "data")
    folder.make()
    (tmp_path / "comporta.yaml").write_text(CONFIG.format(dear="$9"))
    made = Gate(folder, load_settings(Places(tmp_path / "comporta.yaml", folder), {}), "postgresql://nowhere")
    yield made
    made.telemetry.metrics.close()
    made.telemetry.spool.close()


def call(model: str = "r", max_tokens: int = 1_000_000) -> Call:
    given = Input(messages=(Message("user", (Text("x" * 92),)),), max_tokens=max_tokens)
    return Call(kind="chat", input=given, model=model, caller=Caller("k"))


def test_the_dearest_variant_is_foreseen_and_each_costs_its_own(gate: Gate) -> None:
    asked = call()
    assert gate.metering.foresee(asked) == 9_000_100
    costs = [gate.metering._cost_of(asked, Target("r", "v", "mock", name)) for name in ("cheap", "dear", "unknown")]
    assert costs == [2_000_100, 9_000_100, None]


def test_another_configuration_has_its_own_prices(gate: Gate, tmp_path: Path) -> None:
    assert gate.metering.foresee(call()) == 9_000_100
    (tmp_path / "comporta.yaml").write_text(CONFIG.format(dear="$5"))
    gate._swap(load_settings(Places(tmp_path / "comporta.yaml", gate.folder), {}))
    assert gate.metering.foresee(call()) == 5_000_100


def test_a_model_that_is_registered_meanwhile_has_its_own_price_at_once(gate: Gate) -> None:
    assert gate.metering.foresee(call("mock/cheap")) == 2_000_100
    gate.registered._rows.held = {
        "mock/cheap": RegisteredModel("mock/cheap", "mock", "cheap", Price(input=0, output=7_000_000))
    }
    assert gate.metering.foresee(call("mock/cheap")) == 7_000_000


def test_names_that_clients_make_up_fill_no_memory(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "_REMEMBERED", 10)
    for number in range(50):
        gate.metering.foresee(call(f"mock/made-up-{number}"))
    assert len(gate.metering._tariffs) <= 10 and not gate.metering._routes
