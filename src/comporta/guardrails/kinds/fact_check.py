"""Answers held against a knowledge base of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.grounding.checking import Doubt, Grounding, Judge, asking, verdict_of
from comporta.guardrails.grounding.reading import read
from comporta.guardrails.looking import Text

#: A claim that shares less of its words with what was found is about something else.
_SHARED = 0.34


class FactSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The knowledge base, by its name under `guardrails.knowledge`, and what becomes of what it says nothing about."""

    knowledge: str
    judge: Judge = "in_doubt"
    #: Claims that the base says nothing about: `pass` leaves them, `flag` finds them too.
    unknown: Literal["pass", "flag"] = "pass"
    #: Passages that each claim is held against.
    passages: int = 4
    meaning: bool = True


def fact_check(settings: FactSettings, tools: Tools) -> Guard:
    """Finds claims that a knowledge base contradicts or does not hold. Raises ConfigError."""
    if tools.knowledge is None:
        raise ConfigError("fact_check: there is no knowledge base here: name one under guardrails.knowledge")
    if settings.judge == "always" and tools.judge is None:
        raise ConfigError("fact_check: `judge: always` needs a judge model: name one under guardrails.judge")
    if not 1 <= settings.passages <= 50:
        raise ConfigError(f"fact_check: passages must be from 1 to 50, not {settings.passages}")
    base = tools.knowledge(settings.knowledge)
    grounding = Grounding(tools.embedder if settings.meaning else None)

    async def guard(text: Text, context: Context) -> Verdict:
        async def given(claim: str) -> Sequence[str]:
            return await base.search(claim, settings.passages)

        doubts = await grounding.doubts(
            text.raw, context.question if context.whole else "", given,
            threshold=context.threshold, ask=asking(tools, context, settings.judge), judge=settings.judge,
        )  # fmt: skip
        if settings.unknown == "pass":
            doubts = [one for one in doubts if await known(one)]
        return verdict_of(text.raw, doubts, context.threshold, "the knowledge base") if doubts else PASS

    async def known(doubt: Doubt) -> bool:
        passages = await grounding.prepared(await base.search(doubt.claim, settings.passages))
        return max(passages.scores(read(doubt.claim).stems), default=0.0) >= _SHARED

    return guard


KINDS = (
    Kind("fact_check", fact_check, FactSettings, sides=("output",), places=("assistant",), action="warn",
         severity="warning", slow=True, needs="sentence", alone=False, aliases=("fact_checking",), timeout_s=10.0,
         about="Finds claims that a knowledge base of yours (a folder of texts or tables) does not support."),
)  # fmt: skip
