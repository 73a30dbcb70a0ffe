"""A small configuration with every kind of key, for the tests of the config room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Money, Share, Size
from comporta.errors import ConfigError


class Server(Section):
    """Where the gate listens."""

    host: str = "127.0.0.1"
    """The address."""
    port: int = Field(default=8080, ge=1, le=65535, description="The port | one number.")
    #: How large a body may be,
    #: at most.
    max_body: Size = 10_000_000
    idle: Duration = Field(default=20.0, gt=0)
    debug: bool = False


class Variant(Section):
    """One way to answer."""

    model: str
    weight: float = Field(default=1.0, ge=0)
    params: dict[str, object] = Field(default_factory=dict)


class Route(Section):
    """What an application asks for."""

    variants: list[Variant] = Field(min_length=1)
    capture: Literal["full", "preview", "hashed", "off"] = "preview"


class Plain(Section):
    """A provider with a key."""

    type: Literal["plain"]
    api_key: SecretStr


class Cloud(Section):
    """A provider with a region."""

    type: Literal["cloud"]
    region: str
    token: SecretStr | None = None


class Settings(Section):
    """The whole of it."""

    version: str = "1"
    server: Server = Server()
    routes: dict[str, Route] = Field(default_factory=dict)
    providers: dict[str, Annotated[Plain | Cloud, Field(discriminator="type")]] = Field(default_factory=dict)
    admin: SecretStr | None = None
    keys: list[SecretStr] = Field(default_factory=list)
    limit: Money | None = None
    sample: Share = 0.05
    headers: dict[str, str] = Field(default_factory=dict)
    either: int | list[int] | None = None
    choice: Server | Variant | None = None
    regions: frozenset[str] = frozenset({"us", "eu", "br"})
    even: int = 2

    @field_validator("even")
    @classmethod
    def _is_even(cls, even: int) -> int:
        if even % 2:
            raise ValueError(f"{even} is odd")
        return even

    @field_validator("headers")
    @classmethod
    def _talks_too_much(cls, headers: dict[str, str]) -> dict[str, str]:
        if "leak" in headers:
            raise ValueError(f"can't have {headers}")
        return headers


def write(folder: Path, text: str, name: str = "comporta.yaml") -> Path:
    """A file in the folder."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def said(error: ConfigError, folder: Path) -> list[str]:
    """The error's lines, without the folder's name."""
    return error.message.replace(f"{folder}/", "").splitlines()
