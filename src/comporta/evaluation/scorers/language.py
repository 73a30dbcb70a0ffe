"""In which language an answer is: by small words and scripts (a heuristic), by a judge where those don't tell."""

from __future__ import annotations

from comporta.config.tree import Path
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.judges.labels import chosen
from comporta.evaluation.scorers.shown import quoted
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading
from comporta.text.tags import Tagged, fits, guess_tag, read_tag

SAME = "same"
#: A guess that is less sure than that is none.
LEAST_SURE = 0.1
_BY = "by small words and spellings, a heuristic"


def _read(reading: Reading, path: Path) -> Scorer | None:
    written = reading.texts((*path, "language"))
    tags: list[str] = []
    for text in written:
        try:
            tags.append(SAME if text == SAME else read_tag(text))
        except ValueError as error:
            reading.wrong((*path, "language"), str(error))
    if not tags:
        if not written:
            reading.wrong((*path, "language"), "needs a language tag such as pt-BR, a list of tags, or same")
        return None

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        wanted = [asked_language(answer) if tag == SAME else tag for tag in tags]
        return await _judged(answer.output, wanted, tools)

    return scorer


def asked_language(answer: Answer) -> str:
    """The tag of the input: the one given for it, else the guess. Raises Unjudged where neither tells."""
    if answer.language is not None:
        try:
            return read_tag(answer.language)
        except ValueError as error:
            raise Unjudged(f"the language given for the input {error}") from None
    guess = guess_tag(answer.input)
    if guess.sure < LEAST_SURE:
        raise Unjudged(f"the language of the input can't be told from {quoted(answer.input)}; give the case a language")
    return guess.tag


async def _judged(text: str, wanted: list[str], tools: Tools) -> Verdict:
    guess = guess_tag(text)
    if guess.sure < LEAST_SURE:
        return await _asked(text, wanted, tools)
    passed = any(fits(tag, guess.tag) for tag in wanted)
    return Verdict(passed, reason=_reason(guess, wanted), heuristic=True)


def _reason(guess: Tagged, wanted: list[str]) -> str:
    return f"the answer is in {guess.tag} ({_BY}, sure to {guess.sure:.2f}); asked is {' or '.join(wanted)}"


async def _asked(text: str, wanted: list[str], tools: Tools) -> Verdict:
    """What too few words of a known language tell, a judge may know."""
    if tools.judge is None or tools.ask is None:
        raise Unjudged(f"the language can't be told from {quoted(text)}, and there is no judge to ask")
    labels = {tag: f"it is in the language of the tag {tag}" for tag in wanted} | {"another": "in another language"}
    found = await chosen("Say in which language the ANSWER is written.", labels, text, tools)
    passed = found.label in wanted
    return Verdict(passed, reason=found.reason, asked=found.asked, cost_microusd=found.cost_microusd)


KINDS = (Kind("language", _read, "the answer is in this language (BCP-47), one of a list, or the input's (`same`)"),)
