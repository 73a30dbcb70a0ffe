"""What the admin API takes and tells about prompts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from comporta.gateway.admin.shapes import SHOWN, WHOLE, In, Out, Tags
from comporta.prompts.cases import MOST_CASES
from comporta.prompts.fields import LONGEST_WHY
from comporta.prompts.pushing import LONGEST_FIELD, MOST_FILES

_Said = Annotated[str, Field(max_length=LONGEST_FIELD)]
_Why = Annotated[str, Field(max_length=LONGEST_WHY, examples=["answers in the customer's language"])]
_Environment = Annotated[str, Field(min_length=1, max_length=100, examples=["production"], json_schema_extra=SHOWN)]
_Version = Annotated[str, Field(min_length=1, max_length=64, examples=["2.3.1"], json_schema_extra=SHOWN)]
_Label = Annotated[str, Field(min_length=1, max_length=200)]
_Digest = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=SHOWN)]


class FileIn(In):
    """A prompt file, with where it comes from as far as that is known."""

    name: str = Field(
        min_length=1, max_length=1000, description="For mistakes, and for the id where the text has none."
    )
    text: str = Field(
        max_length=2_000_000, description="The YAML.", examples=["id: support\nversion: 1.0.0\nsystem_prompt: Help.\n"]
    )
    commit_sha: _Said | None = None
    author: _Said | None = Field(None, examples=["Ana Lima <ana@example.com>"])
    message: _Said | None = None


class CaseIn(In):
    """A test case's question."""

    id: str = Field(min_length=1, max_length=200)
    input: str = Field("", max_length=200_000, description="What the model is told last in the user's name.")
    variables: dict[str, Any] = Field(default_factory=dict, description="The values that it was made of.")


class PushIn(In):
    """Prompt files to take in: all of them, or none."""

    files: list[FileIn] = Field(min_length=1, max_length=MOST_FILES)
    commit_sha: _Said | None = Field(None, description="For all files; wins over what a file says.")
    author: _Said | None = Field(None, description="The same. Without any, whoever asks is the author.")
    message: _Said | None = None
    force: bool = Field(False, description="Take in versions that are lower than the highest.")
    strict: bool = Field(False, description="Take warnings for mistakes.")
    dry_run: bool = Field(False, description="Only say what would be done, and what would be refused.")
    cases: dict[_Label, Annotated[list[CaseIn], Field(max_length=MOST_CASES)]] = Field(
        default_factory=dict, max_length=MOST_FILES,
        description="What prompts are tested with, by their ids, in place of what was pushed before. What production "
        "asks is held against it.",
    )  # fmt: skip


class PushedOut(Out):
    """What was done with one prompt."""

    id: str
    version: str
    digest: str
    outcome: Literal["new", "unchanged", "refused"]
    lower: bool = Field(description="Below the highest version there was: let in by force.")
    why: str = Field(description="Why it is refused.")


class PushOut(Out):
    """What a push did."""

    prompts: list[PushedOut]
    warnings: list[str]


class CaseOut(Out):
    """A test case's question."""

    id: str
    input: str
    variables: dict[str, Any]


class CasesOut(Out):
    """What a prompt is tested with, as it was pushed last."""

    cases: int = Field(description="How many there are.")
    pushed_at: datetime
    pushed_by: str
    data: list[CaseOut]
    next: int | None = Field(description="Ask again with it as `after` for more; null at the end.")


class DeployIn(In):
    """Where a version is to go, and why."""

    version: _Version
    environment: _Environment
    why: _Why = ""
    tags: Tags = Field(
        default_factory=dict,
        description="`commit_sha`, `author` and `model_version` are needed; what is not given, the push says.",
    )
    otherwise: Tags = Field(default_factory=dict, description="Tags that count where the push has none.")
    force: bool = Field(False, description="Let a lower version in.")
    replacing: str | None = Field(
        None, max_length=64, description="Only where the label is at this version now; empty: where there is no label."
    )


class DeployChangedIn(In):
    """Where all that changed is to go, and why."""

    environment: _Environment
    why: _Why = ""
    tags: Tags = Field(default_factory=dict)
    otherwise: Tags = Field(default_factory=dict, description="Tags that count where the push has none.")
    expecting: list[_Label] | None = Field(
        None, max_length=MOST_FILES, description="Only where these are what changed.", examples=[["support@2.3.1"]]
    )


class RollbackIn(In):
    """Which environment is to go back, and why."""

    environment: _Environment
    why: _Why = ""
    expecting: Annotated[int, Field(ge=1, le=2**62), WHOLE] | None = Field(
        None, description="Only where this entry of the history is the last."
    )


class ApproveIn(In):
    """What is approved, and why."""

    version: _Version
    environment: _Environment
    why: _Why = ""


class TestRunIn(In):
    """The outcome of a test run."""

    version: _Version
    digest: _Digest = Field(description="Of the prompt that was tested.")
    verdict: str = Field(
        min_length=1, max_length=40, description="`passed`, `better` and `no worse` are green.", examples=["passed"]
    )
    summary: dict[str, Any] = Field(default_factory=dict)


class VersionOut(Out):
    """A version without its text."""

    id: str
    version: str
    digest: str
    model: str | None
    commit_sha: str | None
    author: str | None
    message: str
    pushed_at: datetime
    pushed_by: str


class LabelOut(Out):
    """Where an environment points."""

    environment: str
    version: str
    deploy: int = Field(description="The entry of the history that moved it.")
    tags: dict[str, str]
    moved_at: datetime


class DeployOut(Out):
    """One move of a label."""

    number: int
    kind: Literal["deploy", "rollback"]
    id: str
    environment: str
    version: str
    digest: str
    before: str | None = Field(description="Where it pointed; null: it is new.")
    by: str
    why: str
    tags: dict[str, str]
    at: datetime
    watch_until: datetime | None = Field(description="Until then it is brought back by itself if it does harm.")
    forced: bool = Field(description="To a lower version.")
    changed: bool = Field(description="false: the label was there already, and this is the entry in effect.")


class PlanOut(Out):
    """What a deploy would do."""

    id: str
    version: str
    environment: str
    before: str | None
    diff: str = Field(description="A unified diff of both texts.")
    tags: dict[str, str]
    missing: list[str] = Field(description="What stands in its way.")
    same: bool = Field(description="The label is there already.")


class ApprovalOut(Out):
    """Somebody's yes."""

    number: int
    id: str
    version: str
    digest: str
    environment: str
    by: str
    why: str
    at: datetime


class TestRunOut(Out):
    """A test run."""

    number: int
    id: str
    version: str
    digest: str
    verdict: str
    green: bool
    summary: dict[str, Any]
    by: str
    at: datetime


class ListedOut(Out):
    """A prompt in a list."""

    id: str
    highest: str
    versions: int
    labels: dict[str, str]
    pushed_at: datetime


class PromptsPage(Out):
    """Prompts by id."""

    data: list[ListedOut]
    next: str | None = Field(description="Ask again with it as `after` for more; null at the end.")


class PromptOut(Out):
    """A prompt: all its versions, the highest first, and its labels."""

    id: str
    versions: list[VersionOut]
    labels: list[LabelOut]


class VersionDetail(VersionOut):
    """A version with its text, as a prompt file."""

    text: str
    approvals: list[ApprovalOut]
    tests: list[TestRunOut]


class DiffOut(Out):
    """The difference between two versions."""

    before: str | None
    after: str
    diff: str = Field(description="A unified diff of both texts.")


class AuditOut(Out):
    """An entry of the audit log."""

    number: int
    at: datetime
    by: str
    act: str = Field(examples=["prompt.deploy"])
    subject: str = Field(description="What it was done to: a prompt's id.")
    why: str
    details: dict[str, Any]
