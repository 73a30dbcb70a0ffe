"""The section `otlp:` of the configuration: traces and metrics out to a backend of OpenTelemetry's, and spans in."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Size


class OtlpExportSection(Section):
    """Where calls are told as spans and metrics."""

    endpoint: str | None = Field(
        None,
        description="Base address of a backend, `http://localhost:4318`; default: OTEL_EXPORTER_OTLP_ENDPOINT, else "
        "nothing is exported.",
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Headers sent with it; default: OTEL_EXPORTER_OTLP_HEADERS."
    )
    protocol: Literal["http/protobuf", "grpc"] | None = Field(
        None,
        description="grpc needs the extra `comporta[grpc]`; default: OTEL_EXPORTER_OTLP_PROTOCOL, else http/protobuf.",
    )
    every: Duration = Field(2.0, gt=0, validate_default=True, description="How often what is new is sent.")
    timeout: Duration = Field(10.0, gt=0, validate_default=True, description="How long one request may take.")
    content: bool = Field(True, description="Send prompts and replies of calls whose content is kept in full.")
    stages: bool = Field(False, description="Send what happened inside the gate as spans of their own.")
    metrics: bool = Field(True, description="Send the conventions' histograms.")
    scores: bool = Field(True, description="Send scores as gen_ai.evaluation.result events.")
    resource: dict[str, str] = Field(
        default_factory=dict,
        description="Attributes of the sender, beside service.name (default `comporta`) and OTEL_RESOURCE_ATTRIBUTES.",
    )

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str | None) -> str | None:
        parts = urlsplit(endpoint or "http://x")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is not an address; it looks like http://localhost:4318")
        return endpoint


class OtlpTakeSection(Section):
    """Spans that applications send."""

    enabled: bool = Field(True, description="Take spans at POST /v1/traces.")
    max_body: Size = Field(16 << 20, gt=0, validate_default=True, description="The largest batch, as it is sent.")
    max_unpacked: Size = Field(64 << 20, gt=0, validate_default=True, description="The largest batch, unpacked.")
    max_waiting: Size = Field(
        512 << 20, gt=0, validate_default=True, description="The most that waits on this machine's disk to be read."
    )
    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="Take them by gRPC as well, usually at 4317; needs `comporta[grpc]`."
    )
    grpc_host: str = Field("127.0.0.1", description="Where gRPC listens.")


class OtlpSection(Section):
    """OpenTelemetry."""

    export: OtlpExportSection = Field(default_factory=lambda: OtlpExportSection(), description="Calls out.")
    take: OtlpTakeSection = Field(default_factory=lambda: OtlpTakeSection(), description="Spans in.")
