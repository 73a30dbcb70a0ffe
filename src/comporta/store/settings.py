"""The section `database:` and `redis:` of the configuration."""

from __future__ import annotations

from pydantic import Field, SecretStr

from comporta.config.section import Section


class DatabaseSection(Section):
    """PostgreSQL; without a `url` the gate runs its own under the data folder."""

    url: SecretStr | None = Field(None, description="`postgresql://…` of a server of yours (14 or later).")
    max_connections: int = Field(8, ge=2, le=200, description="Connections of each process.")


class RedisSection(Section):
    """Redis or Valkey, shared by several workers or replicas."""

    url: SecretStr | None = Field(None, description="`redis://…` or `unix://…`.")
