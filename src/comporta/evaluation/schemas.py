"""JSON schemas compiled once and safe to hold against any answer: linear patterns, nothing fetched, bounded depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs

from comporta.config.tree import Path
from comporta.prompts.reading import Reading

#: What is wrong with a value, each with the path to it; empty where it fits.
Check = Callable[[Any], list[str]]
_MOST_TOLD = 5
_LONGEST_TOLD = 200


class NoSchema(ValueError):
    """It is no JSON schema; `at` is the path to what is wrong within it."""

    def __init__(self, message: str, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.at = at


def _fetched(uri: str) -> Any:
    raise ValueError("schemas are not fetched; put it under $defs")


def compiled(schema: Any) -> Check:
    """What holds a value against a schema (draft 2020-12 unless `$schema` says another). Raises NoSchema."""
    try:
        validator = jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_fetched
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise _wrong(error) from None
    except (ValueError, RecursionError) as error:
        raise NoSchema(f"is no JSON schema: {error}"[:_LONGEST_TOLD]) from None

    def check(value: Any) -> list[str]:
        told: list[str] = []
        for error in validator.iter_errors(value):
            told.append(f"{_dotted(error.instance_path)}: {error.message[:_LONGEST_TOLD]}")
            if len(told) == _MOST_TOLD:
                break
        return told

    return check


def _wrong(error: Any) -> NoSchema:
    message = str(getattr(error, "message", error))[:_LONGEST_TOLD]
    if message.endswith('is not a "regex"'):
        message += " (patterns without look-around and back-references are taken: those run in linear time)"
    return NoSchema(f"is no JSON schema: {message}", tuple(getattr(error, "instance_path", ())))


def _dotted(path: Any) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def read_schema(reading: Reading, path: Path) -> Check | None:
    """The schema at a path; what is wrong with it is noted where it stands."""
    if not reading.fields(path):
        reading.wrong(path, "needs a JSON schema")
        return None
    try:
        return compiled(reading.mapping(path))
    except NoSchema as error:
        reading.wrong((*path, *error.at), str(error))
        return None
