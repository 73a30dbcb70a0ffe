"""The prompt registry: immutable versions, labels that point at them, and a history of who moved what and why."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import UNSET, UnsetType

from comporta.prompts.kept import Approval, Commit, Deploy, Label, Listed, Plan, Push, Source, TestRun, Version
from comporta.prompts.prompt import Prompt
from comporta.prompts.settings import PromptsSection
from comporta.store.database import Database
from comporta.types import JSON, PromptRef

TOPIC = "prompts"
#: Where a call's prompt is looked for when neither the call nor its key says.
DEFAULT_ENVIRONMENT = "production"


class Registry:
    """All prompts. `resolve` reads memory only; `load` fills it with the labels, at start and on each notice."""

    topic = TOPIC

    def __init__(self, database: Database, *, settings: Callable[[], PromptsSection] = PromptsSection) -> None:
        self._database = database
        self._settings = settings

    async def load(self) -> None:
        """Bring the labels in memory up to date."""
        raise NotImplementedError

    # ---- in a call ----

    def resolve(self, ref: PromptRef, environment: str | None) -> Prompt | None:
        """The prompt that is meant, from memory; None where `fetch` must be asked."""
        raise NotImplementedError

    async def fetch(self, ref: PromptRef, environment: str | None) -> Prompt:
        """The prompt that is meant. Raises NotFound (`prompt_not_found`), BadRequest (`prompt_reference`)."""
        raise NotImplementedError

    def label(self, id: str, environment: str) -> Label | None:
        """Where an environment points, as of the last load; its tags are those of the deploy."""
        raise NotImplementedError

    # ---- reading ----

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> builtins.list[Listed]:
        raise NotImplementedError

    async def versions(self, id: str) -> builtins.list[Version]:
        """All versions of a prompt, the highest first. Raises NotFound."""
        raise NotImplementedError

    async def version(self, id: str, version: str) -> Version:
        raise NotImplementedError

    async def history(self, id: str, environment: str | None = None, *, limit: int = 100) -> builtins.list[Deploy]:
        """The moves of a prompt's labels, the newest first."""
        raise NotImplementedError

    async def watched(self) -> builtins.list[Deploy]:
        """Deploys whose window still runs and that are still in effect, oldest first."""
        raise NotImplementedError

    # ---- changing ----

    async def push(
        self, source: Path | Sequence[Source], *, by: str, commit: Commit | None = None, force: bool = False,
        strict: bool = False,
    ) -> Push:  # fmt: skip
        raise NotImplementedError

    async def plan(
        self, id: str, version: str, environment: str, tags: Mapping[str, str] | None = None, force: bool = False
    ) -> Plan:
        raise NotImplementedError

    async def deploy(
        self, id: str, version: str, environment: str, by: str, why: str = "", tags: Mapping[str, str] | None = None,
        force: bool = False, *, replacing: str | UnsetType | None = UNSET,
    ) -> Deploy:  # fmt: skip
        """Point an environment at a version."""
        raise NotImplementedError

    async def rollback(
        self, id: str, environment: str, by: str, why: str = "", *, expecting: int | None = None
    ) -> Deploy:
        """Point an environment back at what it had before; `expecting` is the number of the deploy to be undone."""
        raise NotImplementedError

    async def approve(self, id: str, version: str, environment: str, by: str, why: str = "") -> Approval:
        raise NotImplementedError

    async def record_test(self, id: str, version: str, digest: str, verdict: str, summary: JSON, by: str) -> TestRun:
        """Keep the outcome of a test run; the version may be pushed later."""
        raise NotImplementedError
