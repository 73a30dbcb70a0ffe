"""What the words of an answer are: contains, equals, begins and ends with, fits a pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from comporta.config.tree import Fields, Items, Path
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.scorers.regexes import read_pattern, search
from comporta.evaluation.scorers.shown import quoted, value
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading

_CASE = ("ignore_case",)


def _folder(ignore_case: bool) -> Callable[[str], str]:
    """White space counts as one space everywhere: answers wrap their lines as they like."""
    return lambda text: " ".join((text.casefold() if ignore_case else text).split())


def _wanted(reading: Reading, path: Path) -> tuple[str, ...]:
    texts = reading.texts(path)
    if not texts or not all(one.strip() for one in texts):
        reading.wrong(path, "needs a text, or a list of texts; none may be empty")
        return ()
    return texts


def _reader(word: str, judge: Callable[[tuple[str, ...], str, Callable[[str], str]], Verdict]) -> Any:
    def read(reading: Reading, path: Path) -> Scorer | None:
        texts = _wanted(reading, (*path, word))
        fold = _folder(reading.truth((*path, "ignore_case")) or False)
        wanted = tuple(map(fold, texts))

        async def scorer(answer: Answer, tools: Tools) -> Verdict:
            return judge(wanted, fold(answer.output), fold)

        return scorer if texts else None

    return read


def _all_in(wanted: tuple[str, ...], said: str, fold: Callable[[str], str]) -> Verdict:
    missing = [one for one in wanted if one not in said]
    if missing:
        return Verdict(False, reason=f"has no {quoted(missing[0])} in {quoted(said)}")
    return Verdict(True, reason=f"has {quoted(wanted[0])}")


def _any_in(wanted: tuple[str, ...], said: str, fold: Callable[[str], str]) -> Verdict:
    found = next((one for one in wanted if one in said), None)
    if found is None:
        return Verdict(False, reason=f"has none of {', '.join(map(quoted, wanted[:5]))} in {quoted(said)}")
    return Verdict(True, reason=f"has {quoted(found)}")


def _none_in(wanted: tuple[str, ...], said: str, fold: Callable[[str], str]) -> Verdict:
    found = next((one for one in wanted if one in said), None)
    if found is not None:
        at = said.index(found)
        return Verdict(False, reason=f"has {quoted(found)}: {quoted(said[max(0, at - 40) : at + len(found) + 40])}")
    return Verdict(True, reason=f"has no {quoted(wanted[0])}")


def _begins(wanted: tuple[str, ...], said: str, fold: Callable[[str], str]) -> Verdict:
    return Verdict(any(map(said.startswith, wanted)), reason=f"begins with {quoted(said[:80])}")


def _ends(wanted: tuple[str, ...], said: str, fold: Callable[[str], str]) -> Verdict:
    return Verdict(any(map(said.endswith, wanted)), reason=f"ends with {quoted(said[-80:])}")


def _pattern(word: str, wanted: bool) -> Any:
    def read(reading: Reading, path: Path) -> Scorer | None:
        fold = reading.truth((*path, "ignore_case")) or False
        pattern = read_pattern(reading, (*path, word), ignore_case=fold)
        if pattern is None:
            return None

        async def scorer(answer: Answer, tools: Tools) -> Verdict:
            found = await search(pattern, answer.output)
            if found is None:
                return Verdict(not wanted, reason=f"nothing in {quoted(answer.output)} fits {quoted(pattern.pattern)}")
            return Verdict(wanted, reason=f"{quoted(found[0])} fits {quoted(pattern.pattern)}")

        return scorer

    return read


def _equals(word: str, wanted: bool) -> Any:
    """A text is compared as text, a mapping or list as JSON."""

    def read(reading: Reading, path: Path) -> Scorer | None:
        node = reading.node((*path, word))
        fold = _folder(reading.truth((*path, "ignore_case")) or False)
        if node is None:
            reading.wrong((*path, word), 'needs a text, a mapping or a list; an empty answer is asked for with ""')
            return None
        if isinstance(node, Fields | Items):
            return _same_json(reading.plain((*path, word)), wanted)
        text = node.text

        async def scorer(answer: Answer, tools: Tools) -> Verdict:
            return _compared(text, answer.output, fold, wanted)

        return scorer

    return read


def _compared(text: str, said: str, fold: Callable[[str], str], wanted: bool) -> Verdict:
    same = fold(said) == fold(text)
    return Verdict(same is wanted, reason=f"the answer is {quoted(said)}" + ("" if same else f", not {quoted(text)}"))


def _same_json(expected: Any, wanted: bool) -> Scorer:
    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        try:
            found = msgspec.json.decode(answer.output)
        except (msgspec.DecodeError, RecursionError):
            return Verdict(not wanted, reason=f"the answer is no JSON: {quoted(answer.output)}")
        same = equal(found, expected)
        return Verdict(
            same is wanted, reason=f"the answer is {value(found)}" + ("" if same else f", not {value(expected)}")
        )

    return scorer


def equal(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(below, other[key]) for key, below in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return (type(one) is type(other) and one == other) or _same_number(one, other)


def _same_number(one: Any, other: Any) -> bool:
    return isinstance(one, int | float) and isinstance(other, int | float) and one == other


def _equals_reference(reading: Reading, path: Path) -> Scorer | None:
    if reading.truth((*path, "equals_reference")) is not True:
        reading.wrong((*path, "equals_reference"), "must be true; leave it out otherwise")
        return None
    fold = _folder(reading.truth((*path, "ignore_case")) or False)

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        if answer.reference is None:
            raise Unjudged("the case has no reference to compare with; give it `reference: …`")
        return _compared(answer.reference, answer.output, fold, wanted=True)

    return scorer


KINDS = (
    Kind("contains", _reader("contains", _all_in), "the answer has this text, or all texts of a list", _CASE),
    Kind("contains_any", _reader("contains_any", _any_in), "the answer has at least one text of a list", _CASE),
    Kind("not_contains", _reader("not_contains", _none_in), "the answer has none of these texts", _CASE),
    Kind("starts_with", _reader("starts_with", _begins), "the answer begins with this text, or one of a list", _CASE),
    Kind("ends_with", _reader("ends_with", _ends), "the answer ends with this text, or one of a list", _CASE),
    Kind("regex", _pattern("regex", True), "a regular expression fits somewhere in the answer", _CASE),
    Kind("not_regex", _pattern("not_regex", False), "a regular expression fits nowhere in the answer", _CASE),
    Kind("equals", _equals("equals", True), "the answer is this text; with a mapping or list, this JSON", _CASE),
    Kind("not_equals", _equals("not_equals", False), "the answer is anything but this", _CASE),
    Kind("equals_reference", _equals_reference, "the answer is the case's `reference`", _CASE),
)
