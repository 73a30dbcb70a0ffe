"""Answers of steps read as data: JSON checked against a schema, and the name of a route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from comporta.errors import UpstreamError
from comporta.types import JSON

#: What is not JSON although a model was asked for it, or names no route: asking again may help.
_FENCED = re.compile(r"```[A-Za-z]*\s*\n(.*?)```", re.DOTALL)
_EDGES = " \t\r\n\"'`*.,;:!?()[]{}"
_DECISION_KEYS = ("route", "choice", "decision", "name", "answer")
_LONGEST_DECISION = 10_000
_MOST_TOLD = 3
_LONGEST_TOLD = 200


class WrongOutput(UpstreamError):
    """The answer of a step is not of the form that the chain asks for."""

    code = "chain_output_invalid"


def read_json(text: str) -> Any:
    """The data in an answer, also where it stands between three backticks or after a sentence. Raises WrongOutput."""
    stripped = text.strip()
    for candidate in _candidates(stripped):
        try:
            return msgspec.json.decode(candidate)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            continue
    raise WrongOutput("The answer is no JSON." if stripped else "The answer is empty, and JSON was asked for.")


def _candidates(text: str) -> Iterable[str]:
    yield text
    if fenced := _FENCED.search(text):
        yield fenced[1].strip()
    first = min((at for sign in "{[" if (at := text.find(sign)) >= 0), default=-1)
    if first >= 0:
        yield text[first : text.rfind("}" if text[first] == "{" else "]") + 1]


def schema_mistake(schema: JSON) -> str | None:
    """What is wrong with a schema; None where it can be used."""
    try:
        _validator(schema)
    except (ValueError, RecursionError) as error:
        return f"is no JSON schema: {str(getattr(error, 'message', error)).splitlines()[0][:_LONGEST_TOLD]}"
    return None


def fitted(value: Any, schema: JSON) -> Any:
    """The value, where it fits the schema. Raises WrongOutput that says where it doesn't, and not what stands there."""
    try:
        errors = islice(_validator(schema).iter_errors(value), _MOST_TOLD)
        wrong = [f"{_where(error.instance_path)} breaks the rule '{_rule(error.schema_path)}'" for error in errors]
    except (ValueError, RecursionError) as error:
        raise WrongOutput(f"The schema of the answer can't be used ({type(error).__name__}).") from None
    if wrong:
        raise WrongOutput(f"The answer does not fit its schema: {'; '.join(wrong)}.")
    return value


def _validator(schema: JSON) -> Any:
    """Raises ValueError. Patterns are matched in linear time, and what a schema refers to is fetched from nowhere."""
    # A tenth of a second, which only chains with a schema should take.
    import jsonschema_rs  # noqa: PLC0415

    try:
        return jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_fetched)
    except jsonschema_rs.ReferencingError as error:
        raise ValueError(str(error)) from None


def _fetched(uri: str) -> Any:
    raise ValueError("schemas are not fetched; put it under $defs")


def _rule(path: Sequence[Any]) -> str:
    return str(path[-1])[:_LONGEST_TOLD] if path else "false"


def _where(path: Iterable[Any]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[:200]


def asks_for_json(schema: JSON | None) -> str:
    """What a model is told that is not held to the form by its provider."""
    if schema is None:
        return "Answer with JSON alone, with no other text before or after it."
    return (
        "Answer with JSON alone, with no other text before or after it. It must fit this JSON schema:\n"
        f"{json.dumps(schema, ensure_ascii=False)}"
    )


def asks_for_route(routes: Iterable[str], about: Mapping[str, str]) -> str:
    """What a model is told that decides between routes."""
    lines = [f"- {name}: {about[name]}" if name in about else f"- {name}" for name in routes]
    return "\n".join(["Choose exactly one of these, and answer with its name alone:", *lines])


def chosen(text: str, routes: Iterable[str]) -> str | None:
    """The route that an answer names: alone, in a JSON object, or as the only one that its text names."""
    known = {name.casefold(): name for name in routes}
    text = text.strip()[:_LONGEST_DECISION]
    said = text.strip(_EDGES).casefold()
    if said in known:
        return known[said]
    if (in_json := _in_json(text)) is not None and in_json.strip(_EDGES).casefold() in known:
        return known[in_json.strip(_EDGES).casefold()]
    named = [name for low, name in known.items() if re.search(rf"(?<!\w){re.escape(low)}(?!\w)", text.casefold())]
    # «billing» within «billing dispute» is not named for itself.
    outer = [
        name for name in named if not any(name != other and name.casefold() in other.casefold() for other in named)
    ]
    return outer[0] if len(outer) == 1 else None


def _in_json(text: str) -> str | None:
    try:
        found = read_json(text)
    except WrongOutput:
        return None
    if isinstance(found, str):
        return found
    values = [found[key] for key in _DECISION_KEYS if key in found] if isinstance(found, dict) else []
    return values[0] if values and isinstance(values[0], str) else None


def as_text(value: Any) -> str:
    """An output as an answer: a text as it is, data as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
