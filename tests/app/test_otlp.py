"""Where and how calls are exported, as configuration and environment say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.otlp import what_of, where_of
from comporta.app.otlp_extra import mistakes
from comporta.app.settings import Settings
from comporta.config.loading import load
from comporta.telemetry.otlp.names import NEWEST
from comporta.telemetry.otlp.settings import OtlpExportSection

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://backend:4317/"}


def test_without_an_endpoint_nothing_is_exported() -> None:
    assert where_of(OtlpExportSection(), {}) is None


def test_the_environment_says_where_with_which_headers_and_over_what() -> None:
    told = {
        **ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_HEADERS": "X-Key=a%20b"
    }  # fmt: skip
    where = where_of(OtlpExportSection(), told)
    assert where is not None
    assert (where.endpoint, where.headers, where.grpc) == ("http://backend:4317", {"x-key": "a b"}, True)
    section = OtlpExportSection.model_validate({"endpoint": "http://other:4318", "protocol": "http/protobuf"})
    other = where_of(section, told)
    assert other is not None and (other.endpoint, other.grpc) == ("http://other:4318", False)


def test_a_resource_names_its_sender_and_keeps_the_case_of_names() -> None:
    told = {"OTEL_SERVICE_NAME": "gate", "OTEL_RESOURCE_ATTRIBUTES": "Team=water,service.name=other"}
    what = what_of(Settings(), {**told, "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}, "i-1")
    assert what.how.resource == {"service.instance.id": "i-1", "service.name": "gate", "Team": "water"}
    assert what.how.names is NEWEST


@pytest.mark.parametrize("written", ["export: {protocol: grpc}", "take: {grpc_port: 4317}"])
def test_an_extra_that_is_missing_is_told_with_its_place(written: str, tmp_path: Path) -> None:
    (tmp_path / "comporta.yaml").write_text(f"otlp:\n  {written}\n")
    loaded = load(Settings, tmp_path / "comporta.yaml", {})
    (told,) = mistakes(loaded, installed=False)
    assert "comporta[grpc]" in told and "comporta.yaml:2" in told
    assert mistakes(loaded, installed=True) == []


def test_calls_tell_where_their_provider_is() -> None:
    settings = Settings.model_validate(
        {"providers": {
            "openai": {}, "mine": {"kind": "openai", "base_url": "http://me:secret@gpu.lan:8000/v1"}, "offline": {},
            "odd": {"kind": "openai", "base_url": "http://[half"},
        }}
    )  # fmt: skip
    servers = what_of(settings, {}, "i-1").how.servers
    assert (servers["openai"], servers["mine"]) == (("api.openai.com", 443), ("gpu.lan", 8000))
    assert not {"offline", "odd"} & set(servers)
