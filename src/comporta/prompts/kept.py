"""What the registry keeps beside the prompts themselves: versions, labels, deploys, approvals, test runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from comporta.types import JSON

Outcome = Literal["new", "unchanged", "refused"]
#: Tags that every deploy carries.
DEPLOY_TAGS = ("commit_sha", "author", "model_version")
#: Verdicts of a test run that let a version through where tests are required.
GREEN = frozenset({"passed", "better", "no worse"})


class Commit(Struct, frozen=True, omit_defaults=True):
    """Where a text comes from; None is what nobody could say. A sha ends in `-dirty` where files were not committed."""

    sha: str | None = None
    author: str | None = None
    message: str = ""


class Source(Struct, frozen=True):
    """A prompt file as it is sent: its name, for mistakes and for the id where the text has none, and its text."""

    name: str
    text: str
    commit: Commit | None = None


class Version(Struct, frozen=True):
    """A pushed version without its text. `digest` is `Prompt.digest`."""

    id: str
    version: str
    digest: str
    model: str | None
    commit_sha: str | None
    author: str | None
    message: str
    pushed_at_s: float
    pushed_by: str

    @property
    def label(self) -> str:
        """`support@2.3.1`."""
        return f"{self.id}@{self.version}"


class Pushed(Struct, frozen=True):
    """What a push did with one prompt. `lower`: it is below the highest version that was there, and was forced."""

    id: str
    version: str
    digest: str
    outcome: Outcome
    lower: bool = False
    #: Why it is refused.
    why: str = ""


class Push(Struct, frozen=True):
    """What a push did: all of it or, where one prompt is refused, nothing. `warnings` have file and line."""

    prompts: tuple[Pushed, ...]
    warnings: tuple[str, ...] = ()


class Label(Struct, frozen=True):
    """Where an environment of a prompt points now. `deploy` is the number of the history's entry that moved it."""

    id: str
    environment: str
    version: str
    digest: str
    deploy: int
    tags: Mapping[str, str]
    moved_at_s: float


class Deploy(Struct, frozen=True):
    """One move of a label. `before` is the version it pointed at; None where it is new.

    `watch_until_s` (epoch seconds) is None where nobody watches. `changed` is false where the label was there already:
    then it is the entry in effect, and nothing was written.
    """

    number: int
    kind: Literal["deploy", "rollback"]
    id: str
    environment: str
    version: str
    digest: str
    before: str | None
    by: str
    why: str
    tags: Mapping[str, str]
    at_s: float
    watch_until_s: float | None
    forced: bool = False
    changed: bool = True


class Plan(Struct, frozen=True):
    """What a deploy would do. `diff` is of the prompts' texts; `missing` are sentences that say what stands in its way.

    `same`: the label is there already.
    """

    id: str
    version: str
    environment: str
    before: str | None
    diff: str
    tags: Mapping[str, str]
    missing: tuple[str, ...] = ()
    same: bool = False


class Approval(Struct, frozen=True):
    """Somebody's yes to one version in one environment."""

    number: int
    id: str
    version: str
    digest: str
    environment: str
    by: str
    why: str
    at_s: float


class TestRun(Struct, frozen=True):
    """A run of a prompt's tests; `green` says whether it lets the version through."""

    #: Not a class of tests.
    __test__ = False

    number: int
    id: str
    version: str
    digest: str
    verdict: str
    green: bool
    summary: JSON
    by: str
    at_s: float


class Listed(Struct, frozen=True):
    """A prompt in a list: its highest version, and where its labels point."""

    id: str
    highest: str
    versions: int
    labels: Mapping[str, str]
    pushed_at_s: float
