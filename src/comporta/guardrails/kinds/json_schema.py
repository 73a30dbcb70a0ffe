"""Answers that must be JSON, and JSON of a certain form; what is nearly that is offered as it should be."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.mending import NoJSON, mended, parsed
from comporta.guardrails.schemas import Check, schema_check
from comporta.types import JSON

#: Schemas of calls that are kept ready.
_REMEMBERED = 200


class JSONSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The schema that answers must fit. Without one the call's own `response_format` counts, else any JSON will do."""

    schema: JSON | None = None
    #: Where a call brings a schema of its own, that one too must be met.
    callers: bool = True


class _Ready:
    """Checks by their schemas."""

    def __init__(self) -> None:
        self._checks: OrderedDict[bytes, Check] = OrderedDict()

    def of(self, schema: JSON) -> Check:
        key = msgspec.json.encode(schema)
        known = self._checks.get(key)
        if known is None:
            known = self._checks[key] = schema_check(schema)
            if len(self._checks) > _REMEMBERED:
                self._checks.popitem(last=False)
        return known


def json_schema(settings: JSONSettings, tools: Tools) -> Guard:
    """Finds answers that are no JSON or do not fit. Raises ConfigError for a schema that is none."""
    try:
        own = None if settings.schema is None else schema_check(settings.schema)
    except ConfigError as error:
        raise ConfigError(f"json_schema: schema {error.message}") from None
    ready = _Ready()

    async def guard(text: Text, context: Context) -> Verdict:
        checks = [] if own is None else [own]
        if settings.callers and context.schema is not None:
            try:
                checks.append(ready.of(context.schema))
            except ConfigError as error:
                return Verdict("flag", reason=f"the schema of the request {error.message}", confidence=1.0)
        return judged(text.raw, checks)

    return guard


def judged(raw: str, checks: list[Check]) -> Verdict:
    """The verdict on an answer; `text` offers it mended where rules can make it fit."""
    try:
        wrong = _wrong(parsed(raw), checks)
        if not wrong:
            return PASS
        return Verdict("flag", reason="; ".join(wrong), confidence=1.0, facts={"json": True})
    except NoJSON:
        pass
    try:
        offer = mended(raw)
        wrong = _wrong(parsed(offer), checks)
    except NoJSON:
        return Verdict("flag", reason="it is no JSON, nor nearly", confidence=1.0, facts={"json": False})
    if wrong:
        return Verdict("flag", reason=f"it is no JSON, and mended {'; '.join(wrong)}", confidence=1.0)
    return Verdict("flag", reason="it is no JSON as it stands", confidence=1.0, text=offer, facts={"json": False})


def _wrong(value: Any, checks: list[Check]) -> list[str]:
    return [told for check in checks for told in check(value)]


KINDS = (
    Kind("json_schema", json_schema, JSONSettings, sides=("output",), places=("assistant",), action="rewrite",
         severity="warning", needs="whole", alone=False, aliases=("json", "schema"),
         about="Holds answers to a JSON schema (its own, or the request's); mends what is nearly JSON."),
)  # fmt: skip
