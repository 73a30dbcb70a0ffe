"""The key `ensemble` of a route's variant."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Share

MOST_MEMBERS = 10
#: Strategies by which a judge reads the answers.
JUDGED = frozenset({"best_of", "fuse"})
Strategy = Literal["consensus", "vote", "best_of", "fuse", "first"]


class MemberSection(Section):
    """One of the models that are asked."""

    model: str = Field(description="`provider/model`, or the name of a model under `models`, or of a chain.")
    name: str | None = Field(None, description="Its name in answers, records and reviews; default: the model's.")
    weight: float = Field(1.0, gt=0, description="What its vote counts, and whose answer is preferred.")
    params: dict[str, Any] = Field(default_factory=dict, description="Defaults that a body may override.")


class EnsembleSection(Section):
    """Several models that answer together."""

    members: list[MemberSection] = Field(min_length=1, max_length=MOST_MEMBERS, description="Models, or their names.")
    strategy: Strategy = Field(
        "consensus",
        description="`consensus`: answers that are alike; `vote`: the answer given most; `best_of`: a judge picks; "
        "`fuse`: a judge writes one of all; `first`: the fastest.",
    )
    prefer: str | None = Field(
        None,
        description="The member whose answer is given where several would do; default: the heaviest, else the first.",
    )
    consensus_over: Literal["pairs", "matrix"] = Field(
        "pairs", description="The mean likeness of all pairs, or of the whole matrix with its diagonal, which flatters."
    )
    threshold: Share = Field(
        0.85, ge=0, le=1, validate_default=True, description="Answers agree when they are more alike than this."
    )
    embedder: str | None = Field(
        None, description="The embedding model, `provider/model`, that likeness is told by; default: the local one, "
        "which knows English alone."
    )  # fmt: skip
    field: str | None = Field(
        None, description="A JSON path into the answers (`$.label`): votes count that alone."
    )  # fmt: skip
    judge: str | None = Field(None, description="The model that picks (`best_of`) or writes (`fuse`).")
    rubric: str | None = Field(None, description="What a good answer is, for the judge.")
    quorum: int | None = Field(None, ge=1, description="So many must answer; default: 2, of `first` 1.")
    wait: Duration = Field(30.0, gt=0, validate_default=True, description="Who has not answered by then is left out.")
    hedge: Duration = Field(
        0.0, ge=0, validate_default=True, description="`first`: a pause before each next member is asked too."
    )
    stream: Literal["refuse", "buffer"] = Field(
        "refuse", description="Streams that can't be told before all have answered: 400, or given in one piece."
    )
    review: bool = Field(True, description="Put what needs a person's look into the review queue.")

    @field_validator("members", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """A member may be said by its model alone."""
        if not isinstance(value, list):
            return value
        return [{"model": one} if isinstance(one, str) else one for one in value]

    @model_validator(mode="after")
    def _can_be_done(self) -> EnsembleSection:
        names = [one.name or one.model for one in self.members]
        if self.prefer is not None and self.prefer not in names:
            raise ValueError(f"`prefer` names no member: there are {', '.join(names)}")
        if self.quorum is not None and self.quorum > len(names):
            raise ValueError(f"a `quorum` of {self.quorum} is more than the {len(names)} members")
        if self.strategy != "first" and len(names) < 2:
            raise ValueError("an ensemble needs two members or more")
        if (self.strategy in JUDGED) != (self.judge is not None):
            raise ValueError("give a `judge` with `best_of` and `fuse`, and with no other strategy")
        if self.field is not None and self.strategy != "vote":
            raise ValueError("a `field` is counted by `strategy: vote` alone")
        if self.quorum is not None and self.strategy == "first":
            raise ValueError("`first` takes one answer; it has no `quorum`")
        return self
