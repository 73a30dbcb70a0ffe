"""Reads a suite from its file: `tests/<id>.yaml`, every mistake at once with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from comporta.config.mistakes import refusal
from comporta.config.parsing import decoded, parse, read_text
from comporta.config.tree import Fields, Items, Mistake, Node, Scalar, nearest
from comporta.config.tree import Path as Steps
from comporta.config.values import parse_share
from comporta.evaluation.acting import read_acting
from comporta.evaluation.assertions import read_assertions
from comporta.evaluation.base import Assertion, Case, JudgeModel
from comporta.evaluation.suite import PAIRWISE, Metric, Rules, Suite, Trying
from comporta.prompts.reading import Reading, unusable
from comporta.text.tags import read_tag
from comporta.types import Message, Role, Text

KIND = "file of tests"
MOST_CASES = 10_000
MOST_REPEATS = 100
_KEYS = ("prompt", "description", "model", "judge", "action", "gate", "input_variable", "defaults", "cases")
_SHARED = ("variables", "language", "tags", "repeats", "required", "assert", "expected_behavior", "history")
_CASE = ("id", "input", "reference", *_SHARED)
_GATE = ("pass_rate", "margin", "confidence", "metrics")
_METRIC = ("margin", "lower_is_better")
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def load_suite(path: Path) -> Suite:
    """The suite of a file. Raises ConfigError with a line for each mistake."""
    text, mistakes = read_text(path, str(path), KIND)
    return _suite(text, str(path), mistakes, path)


def load_suite_bytes(data: bytes, name: str) -> Suite:
    """The same of bytes; `name` stands in mistakes and gives the prompt's id where the file doesn't."""
    text, mistakes = decoded(data, name, KIND)
    return _suite(text, name, mistakes, Path(name))


def find_suites(folder: Path) -> tuple[Path, ...]:
    """The files of tests that belong to a folder of prompts: in `tests/` in it, and beside it in `tests/prompts/`, or
    in `tests/` where that is a folder of such files alone (one that holds Python is somebody else's).
    """
    beside = folder.parent / "tests"
    found = [folder / "tests", beside / "prompts"]
    if beside != folder and beside.is_dir() and not any(beside.glob("*.py")):
        found.append(beside)
    files = [one for place in found if place.is_dir() for one in place.iterdir()]
    return tuple(sorted(one for one in files if one.suffix in (".yaml", ".yml") and not one.name.startswith(".")))


def _suite(text: str | None, name: str, mistakes: list[Mistake], path: Path) -> Suite:
    tree: Node | None = None
    if text is not None:
        tree, found = parse(text, name)
        mistakes = [*mistakes, *found]
    if tree is not None:
        odd = [Mistake(nearest(tree, at).place, at, why) for at, why in unusable(tree)]
        mistakes, tree = [*mistakes, *odd], None if odd else tree
    if tree is None:
        raise refusal(str(one) for one in mistakes)
    reading = Reading(tree)
    suite = _read(reading, path)
    mistakes += reading.mistakes
    if mistakes:
        raise refusal(str(one) for one in sorted(mistakes, key=lambda one: one.place))
    return suite


def _read(reading: Reading, path: Path) -> Suite:
    reading.fields(())
    reading.keys((), _KEYS)
    reading.keys(("defaults",), _SHARED)
    return Suite(
        prompt=reading.text(("prompt",), path.stem) or path.stem,
        cases=_cases(reading),
        model=reading.text(("model",)) or None,
        judge=_judge(reading),
        acting=read_acting(reading),
        rules=_rules(reading),
        input_variable=reading.text(("input_variable",)) or None,
        path=path,
    )


def _judge(reading: Reading) -> JudgeModel | None:
    path: Steps = ("judge",)
    node = reading.node(path)
    if node is None:
        return None
    if isinstance(node, Scalar):
        return JudgeModel(reading.text(path))
    if not reading.fields(path):
        return None
    reading.keys(path, ("model", "repeats", "temperature", "max_tokens"))
    model = reading.text((*path, "model"))
    if not model:
        reading.wrong(path, "needs a model")
    return JudgeModel(
        model=model,
        repeats=reading.whole((*path, "repeats"), 1, MOST_REPEATS) or 1,
        temperature=reading.number((*path, "temperature"), 0, 2),
        max_tokens=reading.whole((*path, "max_tokens"), 1) or 1024,
    )


# ---- the gate -------------------------------------------------------------------------------------------------------


def _rules(reading: Reading) -> Rules:
    path: Steps = ("gate",)
    if not reading.fields(path):
        return Rules()
    reading.keys(path, _GATE)
    confidence = _share(reading, (*path, "confidence"), 0.5, 0.9999)
    margin = _share(reading, (*path, "margin"))
    return Rules(
        pass_rate=_share(reading, (*path, "pass_rate")),
        margin=0.05 if margin is None else margin,
        alpha=0.05 if confidence is None else round(1 - confidence, 12),
        metrics=_metrics(reading, (*path, "metrics")),
    )


def _share(reading: Reading, path: Steps, least: float = 0.0, most: float = 1.0) -> float | None:
    value = reading.read(path, parse_share)
    if value is not None and not least <= value <= most:
        reading.wrong(path, f"must be between {least:.4g} and {most:.4g} (or in percent)")
        return None
    return value


def _metrics(reading: Reading, path: Steps) -> tuple[Metric, ...]:
    node = reading.node(path)
    if node is None or not reading.fields(path):
        return ()
    assert isinstance(node, Fields)
    return tuple(_metric(reading, (*path, name), name) for name in node.values)


def _metric(reading: Reading, path: Steps, name: str) -> Metric:
    """`helpfulness: 0.05`, `cost: 10%`, or a mapping with `margin` and `lower_is_better`."""
    lower: bool | None = None
    below = path
    if isinstance(reading.node(path), Fields):
        reading.keys(path, _METRIC)
        lower = reading.truth((*path, "lower_is_better"))
        below = (*path, "margin")
    text = reading.text(below).strip()
    relative = text.endswith("%")
    try:
        margin = float(text.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        margin = -1.0
    if not 0 <= margin < 1e12:
        reading.wrong(below, "must be a number of at least 0, or percent of the baseline (10%)")
    return Metric(name, margin, relative, name in ("cost", "latency") if lower is None else lower)


# ---- cases ----------------------------------------------------------------------------------------------------------


def _cases(reading: Reading) -> tuple[Trying, ...]:
    places = list(reading.items(("cases",)))
    if not places:
        reading.wrong(("cases",), "needs at least one case")
    if len(places) > MOST_CASES:
        reading.wrong(("cases",), f"has {len(places):,} cases; a file has at most {MOST_CASES:,}")
        return ()
    before = len(reading.mistakes)
    shared = read_assertions(reading, ("defaults", "assert"))
    if len(reading.mistakes) > before:
        shared = ()
    cases: list[Trying] = []
    first: dict[str, int] = {}
    for at, path in enumerate(places):
        found = _case(reading, path, at, shared)
        if found is None:
            continue
        if found.case.id in first:
            reading.wrong(
                (*path, "id"), f"is the id of cases[{first[found.case.id]}] already; each needs one of its own"
            )
        first.setdefault(found.case.id, at)
        cases.append(found)
    return tuple(cases)


def _case(reading: Reading, path: Steps, at: int, shared: tuple[Assertion, ...]) -> Trying | None:
    if not isinstance(reading.node(path), Fields):
        reading.wrong(path, "must be a mapping with input, variables or history")
        return None
    reading.keys(path, _CASE)
    node = nearest(reading.tree, path)
    pick = _picker(reading, path)
    variables = {**reading.mapping(("defaults", "variables")), **reading.mapping((*path, "variables"))}
    own = read_assertions(reading, (*path, "assert"))
    case = Case(
        id=_id(reading, path, at),
        input=reading.text((*path, "input")),
        variables=variables,
        messages=_history(reading, pick("history")),
        language=reading.read(pick("language"), lambda text: read_tag(str(text))),
        reference=reading.text((*path, "reference")) if reading.node((*path, "reference")) is not None else None,
        assertions=(*shared, *own),
        tags=tuple(dict.fromkeys([*reading.texts(("defaults", "tags")), *reading.texts((*path, "tags"))])),
        place=node.place,
    )
    if not case.input and not case.messages and not variables:
        reading.wrong(path, "says nothing to the prompt: give it an input, variables or a history")
    return Trying(
        case=case,
        repeats=reading.whole(pick("repeats"), 1, MOST_REPEATS) or 1,
        required=reading.truth(pick("required")) or False,
        expected_behavior=reading.text(pick("expected_behavior")).strip() or None,
        against_baseline=(
            *_against(reading, ("defaults", "assert"), shared),
            *_against(reading, (*path, "assert"), own),
        ),
        digest=_digest(reading, path),
    )


def _picker(reading: Reading, path: Steps) -> Any:
    """Where a key is said: in the case, else under `defaults`."""
    return lambda key: (*path, key) if reading.node((*path, key)) is not None else ("defaults", key)


def _id(reading: Reading, path: Steps, at: int) -> str:
    name = " ".join(reading.text((*path, "id")).split())
    if len(name) > 200:
        reading.wrong((*path, "id"), "is longer than 200 characters")
    return name or f"case-{at + 1}"


def _history(reading: Reading, path: Steps) -> tuple[Message, ...]:
    found: list[Message] = []
    for one in reading.items(path):
        if reading.fields(one):
            reading.keys(one, ("role", "content"))
            role = _ROLES[reading.word((*one, "role"), tuple(_ROLES), "user")]
            found.append(Message(role, (Text(reading.text((*one, "content"))),)))
    return tuple(found)


def _against(reading: Reading, path: Steps, found: Sequence[Assertion]) -> Iterator[str]:
    """The names of those assertions of a list that compare with the baseline's answer."""
    node = reading.node(path)
    entries = node.values if isinstance(node, Items) else ()
    # Where they differ in number, something is wrong with one of them, and the file is refused anyway.
    for entry, made in zip(entries, found, strict=False):
        said = entry.values.get(PAIRWISE) if isinstance(entry, Fields) else None
        if isinstance(said, Scalar) and said.value == "baseline":
            yield made.name


def _digest(reading: Reading, path: Steps) -> str:
    """All that is said of a case, but for what only the gate reads: an old answer to another question is no answer."""
    said = {"case": reading.plain(path), "defaults": reading.plain(("defaults",))}
    said |= {key: reading.plain((key,)) for key in ("judge", "action", "input_variable")}
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]
