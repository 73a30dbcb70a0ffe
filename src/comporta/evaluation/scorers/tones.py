"""The tone of an answer, its empathy and its defensiveness: by a judge where there is one, else by phrase lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache

from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Path
from comporta.config.values import parse_share
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.judges.asking import judge_of
from comporta.evaluation.judges.labels import chosen
from comporta.evaluation.judges.rubric import Rubric, judged_by_rubric
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading
from comporta.text.tone import LABELS, NoTone, Tone, Tones

_BY = ("judge", "heuristic")
_MEANT = {
    "empathetic": "sees how the reader feels and says so, takes their side, or owns up to a mistake",
    "friendly": "warm and at ease, without speaking of anybody's feelings",
    "formal": "of letters and offices",
    "neutral": "plain facts or steps",
    "defensive": "justifies itself, blames the reader or others, or shuts the matter down",
    "rude": "insults, mocks or dismisses the reader",
}
_EMPATHY = "How much empathy the answer shows: it names what the reader goes through and takes it seriously (10), or \
speaks as if nobody felt anything (0)."
_DEFENSIVE = "How defensive the answer is: it justifies itself, contradicts the reader's experience, or shifts the \
blame (10), or does nothing of the kind (0)."
_Scorers = Callable[[Answer, Tools], Awaitable[Verdict]]


@cache
def tones() -> Tones:
    """The phrase lists, read when they are first needed."""
    return Tones()


def heuristic_tone(answer: Answer) -> Tone:
    """The tone by phrase lists. Raises Unjudged for languages without any."""
    try:
        return tones().analyse(answer.output)
    except NoTone as error:
        raise Unjudged(f"{error}; a judge (`judge: {{model: …}}`) can tell it") from None


def _chooses(reading: Reading, path: Path, by_judge: _Scorers, by_phrases: _Scorers) -> Scorer:
    """By the judge where one is configured; `by` asks for one of the two."""
    by = reading.word((*path, "by"), ("", *_BY), "")

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        has_judge = tools.judge is not None and tools.ask is not None
        if by == "heuristic" or (by == "" and not has_judge):
            return await by_phrases(answer, tools)
        return await by_judge(answer, tools)

    return scorer


def _tone(reading: Reading, path: Path) -> Scorer | None:
    wanted = reading.texts((*path, "tone"))
    unknown = [one for one in wanted if one not in LABELS]
    for one in unknown:
        reading.wrong((*path, "tone"), f"must be one of {', '.join(LABELS)}{did_you_mean(one, LABELS)}")
    if not wanted:
        reading.wrong((*path, "tone"), f"needs one of {', '.join(LABELS)}, or a list of them")
    if unknown or not wanted:
        return None

    async def by_phrases(answer: Answer, tools: Tools) -> Verdict:
        found = heuristic_tone(answer)
        return Verdict(found.label in wanted, reason=f"the tone is {found.label} ({_because(found)})", heuristic=True)

    async def by_judge(answer: Answer, tools: Tools) -> Verdict:
        judge_of(tools)
        found = await chosen("Say of what tone the ANSWER is.", _MEANT, answer.output, tools, answer.input)
        reason = f"the tone is {found.label}: {found.reason}"
        return Verdict(found.label in wanted, None, reason, asked=found.asked, cost_microusd=found.cost_microusd)

    return _chooses(reading, path, by_judge, by_phrases)


def _because(found: Tone) -> str:
    phrases = ", ".join(dict.fromkeys(found.found)) or "no phrase of any tone"
    return f"by phrases in {found.language}, a heuristic: {phrases[:120]}"


def _measured(word: str, rubric: str, field: str, most: bool) -> Callable[[Reading, Path], Scorer | None]:
    """A score with a bound: `empathy_at_least`, `defensiveness_at_most`."""

    def read(reading: Reading, path: Path) -> Scorer | None:
        bound = reading.read((*path, word), parse_share)
        if bound is None:
            return None

        async def by_phrases(answer: Answer, tools: Tools) -> Verdict:
            found = heuristic_tone(answer)
            value: float = getattr(found, field)
            passed = value <= bound if most else value >= bound
            return Verdict(passed, value, f"{value:.2f}, asked is {bound:g} ({_because(found)})", heuristic=True)

        async def by_judge(answer: Answer, tools: Tools) -> Verdict:
            # A rubric passes from a mark on upwards; here the bound may be an upper one, so passing is decided again.
            found = await judged_by_rubric(Rubric(rubric, repeats=repeats), answer, tools)
            value = found.value or 0.0
            passes = tuple(one <= bound if most else one >= bound for one in found.values)
            return Verdict(value <= bound if most else value >= bound, value, found.reason, found.values, passes,
                           found.asked, found.cost_microusd)  # fmt: skip

        repeats = reading.whole((*path, "repeats"), 1, 25)
        return _chooses(reading, path, by_judge, by_phrases)

    return read


KINDS = (
    Kind("tone", _tone, f"the answer's tone is one of {', '.join(LABELS)}", ("by",)),
    Kind("empathy_at_least", _measured("empathy_at_least", _EMPATHY, "empathy", most=False),
         "the answer shows so much empathy (0 to 1)", ("by", "repeats")),
    Kind("defensiveness_at_most", _measured("defensiveness_at_most", _DEFENSIVE, "defensive", most=True),
         "the answer is no more defensive than that (0 to 1)", ("by", "repeats")),
)  # fmt: skip
