"""The sections `providers:` and `models:` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Money, Share


class CredentialSection(Section):
    """One key of a provider: given, named as an environment variable, or read from a file (read again on change)."""

    name: str = Field("default", description="Its name in records, logs and headers; never the key itself.")
    key: SecretStr | None = Field(None, description="The key, usually as `${NAME}`.")
    env: str | None = Field(None, description="The environment variable that holds it.")
    file: Path | None = Field(None, description="A file that holds it; a change is seen within a second.")
    weight: float = Field(1.0, gt=0, description="Its share among the provider's credentials.")

    @model_validator(mode="after")
    def _one_source(self) -> CredentialSection:
        # What is written counts: a variable that is empty here may hold a key elsewhere.
        if len(self.model_fields_set & {"key", "env", "file"}) != 1:
            raise ValueError("give exactly one of `key`, `env` and `file`")
        return self


class TimeoutsSection(Section):
    """Time limits towards a provider; each one holds by itself."""

    connect: Duration | None = Field(None, description="Until the connection stands (default 5s).")
    first_token: Duration | None = Field(
        None, description="Until the first content of a stream (default 10s; 120s for models that think)."
    )
    idle: Duration | None = Field(None, description="Silence between two pieces of a stream (default 20s).")
    total: Duration | None = Field(None, description="The whole answer (default 600s).")


class ProviderSection(Section):
    """An endpoint that models are asked at."""

    kind: str | None = Field(
        None, description="The row of data it is (openai, anthropic, gemini, ollama, groq, …); default: its own name."
    )
    base_url: str | None = Field(None, description="Overrides the row's address.")
    api_key: SecretStr | None = Field(None, description="Short for a single credential.")
    credentials: list[CredentialSection] = Field(default_factory=list, description="Several keys, used in turn.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers sent with every request.")
    options: dict[str, Any] = Field(default_factory=dict, description="Peculiarities that override the row's.")
    timeouts: TimeoutsSection = Field(default_factory=lambda: TimeoutsSection(), description="Time limits.")
    prompt_caching: Literal["off", "auto", "always"] = Field(
        "off",
        description="Use the provider's own cache of prompts: `auto` marks a beginning that came before within five "
        "minutes, `always` every one that is long enough.",
    )
    models: list[str] = Field(
        default_factory=list, description="Models listed and found by bare name; default: those of the catalogue."
    )

    @field_validator("credentials")
    @classmethod
    def _own_names(cls, credentials: list[CredentialSection]) -> list[CredentialSection]:
        names = [credential.name for credential in credentials]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{names.count(name)} credentials are named '{name}'; give each a `name` of its own")
        return credentials


class PriceSection(Section):
    """Dollars per million tokens; what is left out is unknown, not free."""

    input: Money | None = Field(None, description="Input that no cache held.")
    cached: Money | None = Field(None, description="Input read from the provider's cache.")
    cache_write: Money | None = Field(None, description="Input written to the provider's cache.")
    output: Money | None = Field(None, description="Output.")
    reasoning: Money | None = Field(None, description="Thinking; default: as output.")
    audio_in: Money | None = Field(None, description="Audio in.")
    image_in: Money | None = Field(None, description="Images in.")
    audio_out: Money | None = Field(None, description="Audio out.")


class ModelSection(Section):
    """A model under a name of your own, or facts that override the catalogue's for `provider/model`."""

    provider: str | None = Field(None, description="A key of `providers`; default: the part of the name before `/`.")
    model: str | None = Field(None, description="The provider's own name; default: the part after `/`.")
    price: PriceSection | None = Field(None, description="Overrides the catalogue's prices.")
    batch_price: Share | None = Field(
        None,
        gt=0,
        description="What the provider's own batch API asks, as a share of the price (openai and anthropic: "
        "50%); 100% keeps batches from it.",
    )
    context: int | None = Field(None, gt=0, description="Tokens that fit in.")
    max_output: int | None = Field(None, gt=0, description="Tokens it can write.")
    capabilities: list[str] | None = Field(
        None, description="What it can do (vision, tools, json_schema, reasoning …)."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Defaults that a body may override.")
