"""JSON schemas held against answers: patterns in linear time, nothing fetched, what is wrong told without values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from comporta.errors import ConfigError
from comporta.types import JSON

#: Says what is wrong with a value, and nothing of what stands there; empty where it fits.
Check = Callable[[Any], list[str]]
_MOST_TOLD = 3
_LONGEST_TOLD = 120


def schema_check(schema: JSON) -> Check:
    """What holds values against a schema (draft 2020-12 unless `$schema` says another). Raises ConfigError."""
    # A tenth of a second, which only policies with a schema should take.
    import jsonschema_rs  # noqa: PLC0415

    try:
        validator = jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_fetched
        )
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        why = str(getattr(error, "message", error)).splitlines()[0][:_LONGEST_TOLD]
        raise ConfigError(f"is no JSON schema: {why}") from None

    def check(value: Any) -> list[str]:
        errors = islice(validator.iter_errors(value), _MOST_TOLD)
        return [f"{_where(error.instance_path)} breaks the rule '{_rule(error.schema_path)}'" for error in errors]

    return check


def _fetched(uri: str) -> Any:
    raise ValueError("schemas are not fetched; put it under $defs")


def _rule(path: Sequence[Any]) -> str:
    return str(path[-1])[:_LONGEST_TOLD] if path else "false"


def _where(path: Sequence[Any]) -> str:
    # Names of properties come from the answer itself: only the schema's own words may stand in a reason.
    return "$" if not path else f"${'.…' * min(len(path), 4)}"
