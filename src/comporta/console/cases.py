"""Test cases that people saved from calls: kept as scores of the call, given as a file of prompt tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from comporta.console.playing import Line
from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry.reviews import MAX_TEXT_CHARS
from comporta.types import JSON

#: A score's name: its text is a case. As a score it goes with its user when they are erased, and outlives its call.
CASE = "test_case"
OF_PROMPT = "select label from score where prompt_id = %s and name = %s and kind = 'text' order by at desc limit 1000"


def case_text(
    *, variables: Mapping[str, Any] | None, lines: Sequence[Line], expected: str, reference: str | None, by: str
) -> str:
    """A case as the score's text. Raises BadRequest for one that is too long to keep."""
    case: JSON = {"tags": [by] if by else []}
    if variables is not None:
        case["variables"] = dict(variables)
    else:
        asked = [one for one in lines if one.text.strip() and one.role != "system"]
        case["history"] = [{"role": one.role, "content": one.text} for one in asked[:-1]]
        case["input"] = asked[-1].text if asked else ""
    if expected.strip():
        case["expected_behavior"] = expected.strip()
    if reference:
        case["reference"] = reference
    text = json.dumps({name: value for name, value in case.items() if value}, ensure_ascii=False)
    if len(text) > MAX_TEXT_CHARS:
        raise BadRequest(f"A case has up to {MAX_TEXT_CHARS} characters.", param="case")
    return text


async def cases_of(database: Database, prompt: str) -> list[JSON]:
    """The cases of a prompt, the oldest first. Raises Unavailable."""
    async with database.reading() as connection:
        rows = await (await connection.execute(OF_PROMPT, [prompt, CASE])).fetchall()
    found: list[JSON] = []
    for (text,) in reversed(rows):
        try:
            case = json.loads(text)
        except ValueError:
            continue
        if isinstance(case, dict):
            found.append(case)
    return found


def as_suite(prompt: str, cases: Sequence[JSON]) -> str:
    """A file for `prompts/tests/`, as `comporta prompts test` reads it."""
    named = [{"id": f"saved-{n + 1}", **case} for n, case in enumerate(cases)]
    text: str = yaml.safe_dump({"prompt": prompt, "cases": named}, sort_keys=False, allow_unicode=True, width=110)
    return text
