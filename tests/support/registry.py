"""A database for tests of the registry: one for a whole module, emptied before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from comporta.prompts.kept import Source
from comporta.store.database import Database
from comporta.testing.servers import Postgres

TABLES = (
    "audit, prompt, prompt_version, prompt_deploy, prompt_label, prompt_approval, prompt_test_run, prompt_test_set, "
    "prompt_test_case"
)


@pytest.fixture(scope="module")
def module_dsn(postgres: Postgres) -> Iterator[str]:
    dsn = postgres.create_database()
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture
async def database(module_dsn: str) -> AsyncIterator[Database]:
    """Making a new one takes a third of a second."""
    async with Database(module_dsn) as opened:
        async with opened.connection() as connection:
            # What nobody may take out, the tables' own triggers keep: they rest for this.
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(f"truncate {TABLES}".encode())
        yield opened


def file(
    version: str = "1.0.0", text: str = "Hello.", id: str = "support", more: str = "model: openai/gpt-4o"
) -> Source:
    """A prompt file in a line."""
    return Source(f"prompts/{id}.yaml", f"id: {id}\nversion: {version}\n{more}\nsystem_prompt: |\n  {text}\n")
