"""Whether an answer does what it was told: form, length, language, words that must or must not stand in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Literal

import re2
from msgspec import Struct

from comporta.errors import ConfigError, Unavailable
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.grounding.judging import judged_instructions
from comporta.guardrails.kinds.json_schema import judged
from comporta.guardrails.kinds.tongue import known_codes, spoken
from comporta.guardrails.looking import Text
from comporta.guardrails.mending import NoJSON, mended
from comporta.guardrails.schemas import schema_check
from comporta.text.normal import normalise, without_accents
from comporta.text.sentences import sentences
from comporta.types import JSON

Form = Literal["json", "bullets", "numbered", "markdown", "plain", "line", "paragraph", "table"]

_BULLET = re.compile(r"^\s*[-*•◦–+]\s+\S")
_NUMBERED = re.compile(r"^\s*\(?\d{1,3}[.)]\s+\S")
_MARKDOWN = re2.compile(r"(?m)^#{1,6} \S|^\s*[-*+] \S|^\s*\d+\. \S|\*\*\S[^*]*\*\*|`[^`\n]+`|^```|\[[^\]]+\]\([^)]+\)")
_TABLE = re2.compile(r"(?m)^\s*\|?(?:\s*:?-{2,}:?\s*\|)+(?:\s*:?-{2,}:?\s*)?$")


class AdherenceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What answers are told to be; what is None or empty is not asked for."""

    format: Form | None = None
    schema: JSON | None = None
    language: str | None = None
    min_characters: int | None = None
    max_characters: int | None = None
    min_words: int | None = None
    max_words: int | None = None
    min_sentences: int | None = None
    max_sentences: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    #: Phrases; case, accents and spaces are not looked at.
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    starts_with: str | None = None
    ends_with: str | None = None
    #: In words, for the judge model (`guardrails.judge`): what no rule can tell.
    instructions: str | None = None


#: Says what is wrong with an answer, or nothing.
Rule = Callable[[Text], Iterator[str]]


def instruction_adherence(settings: AdherenceSettings, tools: Tools) -> Guard:
    """Finds answers that are not as they were to be. Raises ConfigError for what can't be held to."""
    rules = _rules(settings)
    if not rules and settings.instructions is None:
        raise ConfigError("instruction_adherence: say what answers must be: `format`, `max_words`, `must` …")
    if settings.instructions is not None and tools.judge is None:
        raise ConfigError("instruction_adherence: `instructions` needs a judge model: name one under guardrails.judge")

    async def guard(text: Text, context: Context) -> Verdict:
        wrong = [told for rule in rules for told in rule(text)]
        if wrong:
            return Verdict(
                "flag", reason="; ".join(wrong), confidence=1.0, spans=_spans(settings, text),
                text=_offer(settings, text.raw, rules), facts={"broken": len(wrong)},
            )  # fmt: skip
        if settings.instructions is None:
            return PASS
        if context.ask is None:
            raise Unavailable("There is no call for which a judge model could be asked.", code="judge_unavailable")
        return await judged_instructions(context.ask, settings.instructions, text.raw, context)

    return guard


def _rules(settings: AdherenceSettings) -> list[Rule]:
    """The rules that are asked for. Raises ConfigError."""
    found = [rule for rule in (_language(settings), _form(settings), _schema(settings)) if rule is not None]
    for name, count in (("characters", _characters), ("words", _words), ("sentences", _sentences), ("items", _items)):
        low, high = getattr(settings, f"min_{name}"), getattr(settings, f"max_{name}")
        if low is not None and high is not None and low > high:
            raise ConfigError(f"instruction_adherence: min_{name} {low} is more than max_{name} {high}")
        if low is not None or high is not None:
            found.append(_counted(name, count, low, high))
    if settings.must or settings.must_not or settings.starts_with or settings.ends_with:
        found.append(_phrases(settings))
    return found


def _counted(name: str, count: Callable[[str], int], low: int | None, high: int | None) -> Rule:
    def rule(text: Text) -> Iterator[str]:
        size = count(text.raw)
        if low is not None and size < low:
            yield f"it has {size} {name}, fewer than {low}"
        if high is not None and size > high:
            yield f"it has {size} {name}, more than {high}"

    return rule


def _characters(text: str) -> int:
    return len(text.strip())


def _words(text: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in text.split())


def _sentences(text: str) -> int:
    return len(sentences(text))


def _items(text: str) -> int:
    return sum(bool(_BULLET.match(line) or _NUMBERED.match(line)) for line in text.splitlines())


def _phrases(settings: AdherenceSettings) -> Rule:
    must, must_not = [[plain(one) for one in some] for some in (settings.must, settings.must_not)]
    first, last = plain(settings.starts_with or ""), plain(settings.ends_with or "")

    def rule(text: Text) -> Iterator[str]:
        said = plain(text.plain)
        for at, phrase in enumerate(must):
            if not holds(said, phrase):
                yield f"it lacks «{settings.must[at]}»"
        # Which phrase it was is not told: it may be what must not be read.
        if any(holds(said, phrase) for phrase in must_not):
            yield "it holds what it must not"
        if not said.startswith(first):
            yield f"it does not start with «{settings.starts_with}»"
        if not said.endswith(last):
            yield f"it does not end with «{settings.ends_with}»"

    return rule


def plain(text: str) -> str:
    """A text without its case, accents and spacing."""
    return without_accents(normalise(text))


def holds(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text, and not inside longer words; both plain."""
    at = text.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        before, after = text[at - 1 : at] if at else "", text[end : end + 1]
        if not (before.isalnum() and phrase[:1].isalnum()) and not (after.isalnum() and phrase[-1:].isalnum()):
            return True
        at = text.find(phrase, at + 1)
    return False


def _spans(settings: AdherenceSettings, text: Text) -> tuple[Match, ...]:
    """Where forbidden phrases stand, for masks."""
    found = []
    for phrase in settings.must_not:
        for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text.plain, re.IGNORECASE):
            found.append(Match(*text.at(match.start(), match.end()), "PHRASE"))
    return tuple(found)


def _language(settings: AdherenceSettings) -> Rule | None:
    if settings.language is None:
        return None
    (wanted,) = known_codes("instruction_adherence", (settings.language,))

    def rule(text: Text) -> Iterator[str]:
        code, sure = spoken(text.raw)
        if sure >= 0.3 and code != wanted:
            yield f"it is in '{code}', not in '{wanted}'"

    return rule


def _schema(settings: AdherenceSettings) -> Rule | None:
    if settings.schema is None:
        return None
    try:
        check = schema_check(settings.schema)
    except ConfigError as error:
        raise ConfigError(f"instruction_adherence: schema {error.message}") from None

    def rule(text: Text) -> Iterator[str]:
        verdict = judged(text.raw, [check])
        if verdict.outcome != "pass":
            yield verdict.reason

    return rule


def _form(settings: AdherenceSettings) -> Rule | None:
    form = settings.format
    if form is None or (form == "json" and settings.schema is not None):
        return None

    def rule(text: Text) -> Iterator[str]:
        if not _of_form(form, text.raw.strip()):
            yield f"it is not of the form '{form}'"

    return rule


def _of_form(form: Form, text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    if form == "json":
        return judged(text, []).outcome == "pass"
    if form == "line":
        return len(lines) == 1
    if form == "paragraph":
        return bool(lines) and "\n\n" not in text and not _MARKDOWN.search(text)
    if form == "plain":
        return not _MARKDOWN.search(text)
    if form == "markdown":
        return bool(_MARKDOWN.search(text))
    if form == "table":
        return bool(_TABLE.search(text))
    pattern = _BULLET if form == "bullets" else _NUMBERED
    # A line before the list and one after it, and lines that go on, are still a list.
    marked = sum(bool(pattern.match(line)) for line in lines)
    loose = sum(not pattern.match(line) and not line.startswith((" ", "\t")) for line in lines)
    return marked > 0 and loose <= 2


def _offer(settings: AdherenceSettings, raw: str, rules: list[Rule]) -> str | None:
    """The answer cut or mended where that is all it takes."""
    for offer in _offers(settings, raw):
        if offer != raw and not any(True for rule in rules for _ in rule(Text(offer))):
            return offer
    return None


def _offers(settings: AdherenceSettings, raw: str) -> Iterator[str]:
    if settings.format == "json" or settings.schema is not None:
        with contextlib.suppress(NoJSON):
            yield mended(raw)
    if settings.format == "line":
        yield " ".join(raw.split())
    if settings.max_sentences is not None:
        yield " ".join(sentences(raw)[: settings.max_sentences])
    if settings.max_words is not None or settings.max_characters is not None:
        said = sentences(raw)
        for most in range(len(said) - 1, 0, -1):
            yield " ".join(said[:most])


KINDS = (
    Kind("instruction_adherence", instruction_adherence, AdherenceSettings, sides=("output",), places=("assistant",),
         action="rewrite", severity="warning", slow=True, needs="whole", alone=False, aliases=("instructions",),
         timeout_s=10.0, about="Holds answers to what they were told to be: form, length, language, phrases."),
)  # fmt: skip
