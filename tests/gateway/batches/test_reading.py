"""Files of requests: what lines may say, and what can be told of those that say nothing sound."""

from __future__ import annotations

import json

import pytest

from comporta.gateway.batches.reading import lines_of, rows_of, user_of

ENDPOINT = "/v1/chat/completions"
DEEP = '{"body":' * 5_000 + "1" + "}" * 5_000


def line(custom_id: str, **body: str) -> str:
    return json.dumps({"custom_id": custom_id, "url": ENDPOINT, "body": {"model": "m", **body}})


def test_a_nul_in_an_id_is_a_mistake_of_its_line_and_of_no_other() -> None:
    rows, mistakes = rows_of([(1, line("a\0b")), (2, line("sound"))], ENDPOINT, 10)
    assert [row.custom_id for row in rows] == ["sound"]
    assert [(one.line, one.code, one.param) for one in mistakes] == [(1, "invalid_custom_id", "custom_id")]


def test_nothing_that_is_put_in_holds_a_nul() -> None:
    (row,), _ = rows_of([(1, line("a", user="u\0ser", text="x\0y"))], ENDPOINT, 10)
    assert "\0" not in row.body and row.user == "user"
    assert list(lines_of(b"a\0b\n\n \nc")) == ["ab", "c"]


@pytest.mark.parametrize(
    "text", [DEEP, "{", "[]", '{"body": 1}', '{"body": {"user": 7}}', '{"body": {"metadata": []}}']
)
def test_a_line_that_names_no_user_names_none(text: str) -> None:
    assert user_of(text) is None


def test_a_line_nested_too_deeply_is_told_with_its_number() -> None:
    _, mistakes = rows_of([(4, DEEP)], ENDPOINT, 10)
    assert [(one.line, one.code) for one in mistakes] == [(4, "invalid_json_line")]
