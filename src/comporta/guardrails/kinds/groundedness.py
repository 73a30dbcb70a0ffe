"""Answers that must rest on the passages they were given: retrieved ones, results of tools, or texts of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.grounding.checking import Grounding, Judge, asking, verdict_of
from comporta.guardrails.looking import Text


class GroundSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What answers rest on and who decides in doubt."""

    judge: Judge = "in_doubt"
    #: The system's instructions count as passages too: where documents are put there.
    system: bool = False
    #: The user's own words count as passages too: where documents are pasted there.
    question: bool = False
    #: An answer for which there is no passage at all.
    without_passages: Literal["pass", "flag"] = "pass"
    #: Compare English sentences by meaning too, which costs some milliseconds for each.
    meaning: bool = True


def groundedness(settings: GroundSettings, tools: Tools) -> Guard:
    """Finds answers with claims that their passages do not support. Raises ConfigError."""
    if settings.judge == "always" and tools.judge is None:
        raise ConfigError("groundedness: `judge: always` needs a judge model: name one under guardrails.judge")
    grounding = Grounding(tools.embedder if settings.meaning else None)

    async def guard(text: Text, context: Context) -> Verdict:
        passages = _passages(settings, context)
        if not passages:
            if settings.without_passages == "pass":
                return PASS
            return Verdict("flag", reason="there is no passage that it could rest on", confidence=1.0)

        async def given(claim: str) -> Sequence[str]:
            return passages

        doubts = await grounding.doubts(
            text.raw, context.question if context.whole else "", given,
            threshold=context.threshold, ask=asking(tools, context, settings.judge), judge=settings.judge,
        )  # fmt: skip
        return verdict_of(text.raw, doubts, context.threshold, "the passages")

    return guard


def _passages(settings: GroundSettings, context: Context) -> tuple[str, ...]:
    more = (context.system if settings.system else "", context.question if settings.question else "")
    return tuple(one for one in (*context.passages, *more) if one.strip())


KINDS = (
    Kind("groundedness", groundedness, GroundSettings, sides=("output",), places=("assistant",), action="warn",
         severity="warning", slow=True, needs="sentence", alone=False, aliases=("hallucination",), timeout_s=10.0,
         about="Finds claims of an answer that its passages do not support."),
)  # fmt: skip
