"""Answers that are data: JSON at all, of a schema, with some value at a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from comporta.config.tree import Path, exact
from comporta.evaluation.base import Answer, Scorer, Tools, Verdict
from comporta.evaluation.jsonpath import Step, parse, values
from comporta.evaluation.replied import json_of
from comporta.evaluation.schemas import read_schema
from comporta.evaluation.scorers.regexes import read_pattern, search
from comporta.evaluation.scorers.shown import quoted, value
from comporta.evaluation.scorers.texts import equal
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading

_Test = Callable[[Any], Awaitable[bool]]
_ANYWHERE = ("anywhere",)
_TESTS = ("equals", "contains", "regex", "one_of", "at_least", "at_most", "min_items", "max_items")


def _on_json(reading: Reading, path: Path, judge: Callable[[Any], Awaitable[Verdict]]) -> Scorer:
    anywhere = reading.truth((*path, "anywhere")) or False

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        try:
            found = json_of(answer.output, anywhere=anywhere)
        except ValueError as error:
            return Verdict(False, reason=f"{error}: {quoted(answer.output)}")
        return await judge(found)

    return scorer


def _is_json(reading: Reading, path: Path) -> Scorer | None:
    if reading.truth((*path, "is_json")) is not True:
        reading.wrong((*path, "is_json"), "must be true; leave it out otherwise")
        return None

    async def judge(found: Any) -> Verdict:
        return Verdict(True, reason=f"the answer is JSON: {value(found)}")

    return _on_json(reading, path, judge)


def _schema(reading: Reading, path: Path) -> Scorer | None:
    check = read_schema(reading, (*path, "json_schema"))
    if check is None:
        return None

    async def judge(found: Any) -> Verdict:
        wrong = check(found)
        return Verdict(not wrong, reason="; ".join(wrong) if wrong else "the answer fits the schema")

    return _on_json(reading, path, judge)


def _path(reading: Reading, path: Path) -> Scorer | None:
    text = reading.text((*path, "json_path"))
    try:
        steps = parse(text)
    except ValueError as error:
        reading.wrong((*path, "json_path"), str(error))
        return None
    exists = reading.truth((*path, "exists"))
    tests = _tests(reading, path)
    if exists is False and tests:
        reading.wrong((*path, "exists"), "is false, so there is nothing that could pass what stands beside it")
    every = reading.truth((*path, "every")) or False
    return _on_json(reading, path, _judge_path(text, steps, tests, exists is not False, every))


def _judge_path(
    text: str, steps: tuple[Step, ...], tests: list[_Test], exists: bool, every: bool
) -> Callable[[Any], Awaitable[Verdict]]:
    async def judge(root: Any) -> Verdict:
        found = values(steps, root)
        if not found or not exists:
            there = f"{text} is {value(found[0])}" if found else f"there is nothing at {text} in {value(root)}"
            return Verdict(bool(found) is exists, reason=there)
        passes = [all([await test(one) for test in tests]) for one in found]
        passed = all(passes) if every else any(passes)
        shown = found[0] if len(found) == 1 else found
        return Verdict(passed, _number(shown), reason=f"{text} is {value(shown)}")

    return judge


def _number(found: Any) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _tests(reading: Reading, path: Path) -> list[_Test]:
    """What stands beside the path, each as a test of one value."""
    makers: dict[str, Callable[[Reading, Path], _Test | None]] = {
        "equals": _test_equals, "contains": _test_contains, "regex": _test_regex, "one_of": _test_one_of,
        "at_least": _test_number(lambda found, bound: found >= bound),
        "at_most": _test_number(lambda found, bound: found <= bound),
        "min_items": _test_items(lambda found, bound: found >= bound),
        "max_items": _test_items(lambda found, bound: found <= bound),
    }  # fmt: skip
    present = [word for word in makers if exact(reading.tree, (*path, word)) is not None]
    tests = [makers[word](reading, (*path, word)) for word in present]
    return [test for test in tests if test is not None]


def _test_equals(reading: Reading, path: Path) -> _Test:
    wanted = reading.plain(path)

    async def test(found: Any) -> bool:
        return equal(found, wanted)

    return test


def _test_one_of(reading: Reading, path: Path) -> _Test | None:
    wanted = reading.plain(path)
    if not isinstance(wanted, list) or not wanted:
        reading.wrong(path, "must be a list of values")
        return None

    async def test(found: Any) -> bool:
        return any(equal(found, one) for one in wanted)

    return test


def _test_contains(reading: Reading, path: Path) -> _Test:
    wanted = reading.plain(path)

    async def test(found: Any) -> bool:
        if isinstance(found, str):
            return str(wanted) in found
        return isinstance(found, list) and any(equal(one, wanted) for one in found)

    return test


def _test_regex(reading: Reading, path: Path) -> _Test | None:
    pattern = read_pattern(reading, path)
    if pattern is None:
        return None

    async def test(found: Any) -> bool:
        return isinstance(found, str) and await search(pattern, found) is not None

    return test


def _test_number(compare: Callable[[float, float], bool]) -> Callable[[Reading, Path], _Test | None]:
    def make(reading: Reading, path: Path) -> _Test | None:
        bound = reading.number(path)
        if bound is None:
            return None

        async def test(found: Any) -> bool:
            number = _number(found)
            return number is not None and compare(number, bound)

        return test

    return make


def _test_items(compare: Callable[[int, int], bool]) -> Callable[[Reading, Path], _Test | None]:
    def make(reading: Reading, path: Path) -> _Test | None:
        bound = reading.whole(path, 0)
        if bound is None:
            return None

        async def test(found: Any) -> bool:
            return isinstance(found, list | dict | str) and compare(len(found), bound)

        return test

    return make


KINDS = (
    Kind("is_json", _is_json, "the answer is JSON", _ANYWHERE),
    Kind("json_schema", _schema, "the answer is JSON and fits a JSON schema", _ANYWHERE),
    Kind("json_path", _path, "the answer is JSON, and a value at a JSON path is as wanted",
         (*_TESTS, "exists", "every", *_ANYWHERE)),
)  # fmt: skip
