"""The section `console:` of the configuration."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from comporta.config.section import Section
from comporta.config.values import Duration

_HOUR_S = 3_600.0


class ConsoleSection(Section):
    """The web page for people: where it listens, and how long a sign-in lasts."""

    enabled: bool = Field(True, description="Whether it is started; `--no-console` and `COMPORTA_CONSOLE=0` win.")
    host: str = Field("127.0.0.1", description="Address to listen on; `COMPORTA_CONSOLE_HOST` wins over it.")
    port: int = Field(8090, ge=1, le=65535, description="Port to listen on; `COMPORTA_CONSOLE_PORT` wins over it.")
    url: str | None = Field(
        None,
        description="The address that people open, where it is another one than host and port: behind a proxy. With "
        "https, cookies are sent over https alone.",
    )
    idle: Duration = Field(
        12 * _HOUR_S, ge=60, validate_default=True, description="Without use for so long, a sign-in ends."
    )
    longest: Duration = Field(
        7 * 24 * _HOUR_S, ge=60, validate_default=True, description="After so long a sign-in ends in any case."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError("is not the address of a site; it looks like https://console.example.com")
        return url.rstrip("/")


def address_of(settings: ConsoleSection) -> str:
    """Where people open it."""
    if settings.url:
        return settings.url
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
