"""No text, no bytes and no data make the loader fail in any other way than by saying what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from comporta.config.loading import load
from comporta.errors import ConfigError
from support.settings import Settings

_SIGNS = [
    "-", ":", "?", "[", "]", "{", "}", ",", "&x", "*x", "<<:", "!!int", "!t", "|", ">", "'", '"', "#", "${", "${A}",
    "${A:-", "$${", "---", "...", "%", "@", "~",
]  # fmt: skip
_WORDS = ["server", "port", "routes", "a", "variants", "model", "1", "1.5", ".nan", "on", "2s", "\n", "  ", " ", "\t"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.one_of(st.text(), st.lists(st.sampled_from(_SIGNS + _WORDS)).map("".join)))
@example("? ? ? a")
@example("&a &a a")
@example("<<: &a {<<: *a}")
@example("server: {<<: [*x, {port: 1}]}")
@example("\u2028even: 3")
@example("%YAML 9.9\n---\na: 1")
@example("%TAG ! tag:x\n---\n!a b")
def test_no_text_makes_the_loader_fail_otherwise(tmp_path: Path, text: str) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load(Settings, path, {"A": "1"}).value, Settings)
    except ConfigError as error:
        assert error.message
        for line in error.message.splitlines():
            assert line.startswith((str(path), "…"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_no_bytes_make_the_loader_fail_otherwise(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_bytes(data)
    try:
        load(Settings, path, {})
    except ConfigError as error:
        assert error.message


_DATA: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(list(Settings.model_fields)), _DATA))
def test_no_data_makes_the_loader_fail_otherwise(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=False), encoding="utf-8")
    try:
        load(Settings, path, {})
    except ConfigError as error:
        assert error.message
