"""The sections `tokens:` and `optimize:` of the configuration, and what a route says of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct
from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Share

Relevance = Literal["words", "meaning"]


class TokensSection(Section):
    """How tokens are counted ahead of a call."""

    tables: Path | None = Field(
        None,
        description="A folder with tokenizers' own tables: `o200k_base.tiktoken`, `cl100k_base.tiktoken`, and "
        "`<family>.json` (a `tokenizer.json`) for claude, gemini, llama, mistral, deepseek, qwen. Where a table is "
        "missing, tokens are estimated. Default: the folder where tiktoken keeps its tables.",
    )


class RouteOptimizeSection(Section):
    """What is done on this route to send fewer tokens; what is left out is as `optimize` says."""

    enabled: bool = Field(True, description="Off leaves the route's prompts as they come.")
    blank_space: bool | None = Field(None, description="Collapse blank space outside code, quotes and tables.")
    duplicates: bool | None = Field(None, description="Drop passages and instructions that were said before.")
    history: int | None = Field(None, ge=1, description="Keep the first turn and so many of the last ones.")
    history_tokens: int | None = Field(None, ge=1, description="Drop the oldest turns but the first beyond this.")
    context_tokens: int | None = Field(None, ge=1, description="Keep of documents what fits, by relevance.")
    relevance: Relevance | None = Field(None, description="`words` (BM25), or `meaning` (the local embedder).")
    min_tokens: int | None = Field(None, ge=0, description="Prompts below this are left alone.")
    check: Share | None = Field(None, ge=0, le=1, description="Share of optimised calls also asked as they came.")
    min_similarity: float | None = Field(None, ge=0, le=1, description="Below this mean likeness there is a warning.")


class OptimizeSection(Section):
    """Prompts in fewer tokens: off until turned on, here for all routes or for one by its `optimize`."""

    enabled: bool = Field(False, description="For every route that says nothing of its own.")
    blank_space: bool = Field(True, description="Collapse blank space outside code, quotes and tables.")
    duplicates: bool = Field(True, description="Drop passages and instructions that were said before.")
    history: int | None = Field(None, ge=1, description="Keep the first turn and so many of the last ones.")
    history_tokens: int | None = Field(None, ge=1, description="Drop the oldest turns but the first beyond this.")
    context_tokens: int | None = Field(None, ge=1, description="Keep of documents what fits, by relevance.")
    relevance: Relevance = Field("words", description="`words` (BM25), or `meaning` (the local embedder).")
    min_tokens: int = Field(100, ge=0, description="Prompts below this are left alone.")
    check: Share = Field(
        0.01, ge=0, le=1, validate_default=True,
        description="Share of optimised calls that are also asked as they came, after the answer, to compare.",
    )  # fmt: skip
    min_similarity: float = Field(
        0.7, ge=0, le=1, description="Below this mean likeness of answers there is a warning."
    )


class Policy(Struct, frozen=True):
    """What is done on a route. None leaves a step out."""

    blank_space: bool = True
    duplicates: bool = True
    history: int | None = None
    history_tokens: int | None = None
    context_tokens: int | None = None
    relevance: Relevance = "words"
    min_tokens: int = 100
    check: float = 0.0
    min_similarity: float = 0.7


def policy_of(section: OptimizeSection, route: RouteOptimizeSection | None = None) -> Policy | None:
    """What holds on a route: its own word, else the section's; None where nothing is done."""
    if not (section.enabled if route is None else route.enabled):
        return None
    own = {} if route is None else route.model_dump(exclude_none=True, exclude={"enabled"})
    return Policy(**{**section.model_dump(exclude={"enabled"}), **own})
