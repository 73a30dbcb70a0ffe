"""The sections `server:` and `outgoing:` of the configuration."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import Field, field_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Size


class ServerSection(Section):
    """Where and how the gate listens."""

    host: str = Field("127.0.0.1", description="Address to listen on; `COMPORTA_HOST` wins over it.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on; `COMPORTA_PORT` wins over it.")
    workers: int = Field(1, ge=1, le=64, description="Processes that answer calls; more than one needs Redis.")
    max_body: Size = Field(20 * 1024 * 1024, validate_default=True, description="Largest body of a request.")
    body_timeout: Duration = Field(60.0, validate_default=True, description="Time a client has to send its body.")
    keep_alive: Duration = Field(
        15.0, gt=0, validate_default=True, description="Silence in a stream after which a comment keeps it open."
    )
    drain: Duration = Field(
        30.0, validate_default=True,
        description="Time that running calls get to finish when the gate is stopped; then they are cut.",
    )  # fmt: skip
    metrics_key: bool = Field(True, description="Whether `/metrics` wants a key.")


class OutgoingSection(Section):
    """How providers are reached."""

    proxy: str | None = Field(None, description="An HTTP proxy for requests to providers.")
    no_proxy: list[str] = Field([], description="Hosts that are reached without it, and those below them.")
    ca_file: Path | None = Field(None, description="Certificate authorities of your own, as a PEM file.")
    keep_alive: Duration = Field(30.0, validate_default=True, description="How long an idle connection is kept.")

    @field_validator("proxy")
    @classmethod
    def _address(cls, proxy: str | None) -> str | None:
        if proxy is not None and not proxy.startswith("http://"):
            raise ValueError("is not the address of an HTTP proxy; it looks like http://host:3128")
        return proxy

    @field_validator("ca_file")
    @classmethod
    def _certificates(cls, file: Path | None) -> Path | None:
        if file is None:
            return None
        try:
            ssl.create_default_context().load_verify_locations(file)
        except ssl.SSLError:
            raise ValueError("is not a PEM file of certificates") from None
        except OSError as error:
            raise ValueError(f"can't be read: {error.strerror}") from None
        return file
