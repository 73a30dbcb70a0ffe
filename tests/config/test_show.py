"""The effective configuration with its secrets masked, and the JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from comporta.config.loading import Loaded, load
from comporta.config.show import effective, mask, schema
from support.settings import Settings, write

SECRET = "planted-secret-0123456789"
TEXT = f"""
version: 1.10
server: {{idle: 90, max_body: 5MB}}
admin: {SECRET}
keys: [{SECRET}, short]
limit: 0.01
sample: 0.25
providers:
  p: {{type: plain, api_key: {SECRET}}}
  c: {{type: cloud, region: eu, token: "${{REGION_TOKEN}}"}}
headers:
  Authorization: Bearer {SECRET}
  x-api-key: {SECRET}
  other: "${{OTHER_SECRET}}"
  plain: "${{GREETING}}"
  url: postgresql://user:{SECRET}@host/db
  lines: "a\\nb: c # d"
routes:
  off: {{capture: off, variants: [{{model: m, params: {{api_key: {SECRET}, top_k: 5, max_tokens: 7}}}}]}}
"""
ENVIRONMENT = {"REGION_TOKEN": SECRET, "OTHER_SECRET": SECRET, "GREETING": "hello"}


def found(folder: Path, text: str = TEXT) -> Loaded[Settings]:
    return load(Settings, write(folder, text), ENVIRONMENT)


@pytest.mark.parametrize("origins", [False, True])
def test_no_secret_is_shown(tmp_path: Path, origins: bool) -> None:
    shown = effective(found(tmp_path), origins)
    assert SECRET not in shown
    assert SECRET[:-4] not in shown
    assert "short" not in shown


def test_a_long_secret_shows_its_end_only() -> None:
    assert mask("x" * 9 + "1234") == "***1234"
    assert mask("x" * 8 + "1234") == "***"
    assert mask("") == "***"


def test_values_in_force_are_shown_as_people_write_them(tmp_path: Path) -> None:
    shown: dict[str, Any] = yaml.safe_load(effective(found(tmp_path)))
    assert shown["version"] == "1.10"
    assert shown["server"] == {"host": "127.0.0.1", "port": 8080, "max_body": "5MB", "idle": "1m30s", "debug": False}
    assert (shown["limit"], shown["sample"]) == ("$0.01", "25%")
    assert shown["keys"] == ["***6789", "***"]
    assert shown["headers"]["plain"] == "hello"
    assert shown["headers"]["url"] == "postgresql://user:***@host/db"
    assert shown["headers"]["lines"] == "a\nb: c # d"
    assert shown["routes"]["off"]["capture"] == "off"
    assert shown["routes"]["off"]["variants"][0]["params"] == {"api_key": "***6789", "top_k": 5, "max_tokens": 7}
    assert shown["regions"] == ["br", "eu", "us"]
    assert shown["either"] is None


def test_what_is_shown_loads_again_as_the_same(tmp_path: Path) -> None:
    text = (
        "server: {idle: 0.25s, max_body: 5MB}\nlimit: 0.01\nroutes: {'on': {variants: [{model: '7'}, {model: 'a: b'}]}}"
    )
    first = found(tmp_path, text)
    assert found(tmp_path, effective(first)).value == first.value
    assert found(tmp_path, effective(first, origins=True)).value == first.value


def test_origins_say_file_line_and_variable(tmp_path: Path) -> None:
    shown = effective(found(tmp_path), origins=True).replace(f"{tmp_path}/", "").splitlines()
    assert "version: '1.10'  # comporta.yaml:2" in shown
    assert "  port: 8080  # default" in shown
    assert "    token: '***6789'  # comporta.yaml:10 ${REGION_TOKEN}" in shown
    assert "      - model: m  # comporta.yaml:19" in shown


def test_the_schema_is_valid_and_takes_what_loads(tmp_path: Path) -> None:
    document = schema(Settings)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    check = jsonschema.Draft202012Validator(document)
    text = TEXT.replace("version: 1.10", "version: '1.10'").replace("capture: off", "capture: 'off'")
    check.validate(yaml.safe_load(text))
    check.validate({"server": {"port": "${PORT}", "debug": "${DEBUG:-false}", "idle": "${IDLE}", "max_body": "1MB"}})
    check.validate({"routes": {"a": {"capture": "${CAPTURE}", "variants": [{"model": "m"}]}}})


@pytest.mark.parametrize(
    "document",
    [
        {"evne": 2},
        {"server": {"port": "many"}},
        {"server": {"port": 70_000}},
        {"server": {"idle": "2x"}},
        {"limit": "lots"},
        {"routes": {"a": {"capture": "ful", "variants": [{"model": "m"}]}}},
        {"routes": {"a": {"variants": []}}},
        {"providers": {"p": {"type": "clod"}}},
    ],
)
def test_the_schema_refuses_what_is_wrong(document: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(schema(Settings)).is_valid(document)
