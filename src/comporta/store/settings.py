"""The section `database:` and `redis:` of the configuration."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, field_validator

from comporta.config.section import Section


class DatabaseSection(Section):
    """PostgreSQL; without a `url` the gate runs its own under the data folder."""

    url: SecretStr | None = Field(None, description="`postgresql://…` of a server of yours (14 or later).")
    max_connections: int = Field(8, ge=2, le=200, description="Connections of each process.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr | None) -> SecretStr | None:
        try:
            conninfo_to_dict(url.get_secret_value() if url else "")
        except psycopg.ProgrammingError:
            # Its own words could quote the password.
            raise ValueError(
                "is not a PostgreSQL address; it looks like postgresql://user:password@host:5432/database"
            ) from None
        return url


class RedisSection(Section):
    """Redis or Valkey, shared by several workers or replicas."""

    url: SecretStr | None = Field(None, description="`redis://…` or `unix://…`.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("is not a Redis address; it looks like redis://host:6379/0 or unix:///path/to/socket")
        return url
