"""Answers read as data, and the names of routes in them."""

from __future__ import annotations

import pytest

from comporta.chains.output import WrongOutput, as_text, chosen, fitted, read_json, schema_mistake

SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}, "pages": {"type": "integer"}}}


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "a"}',
        '  {"kind": "a"}\n',
        '```json\n{"kind": "a"}\n```',
        'Here it is:\n```\n{"kind": "a"}\n```\nAnything else?',
        'The answer is {"kind": "a"}, I think.',
    ],
)
def test_json_is_found_where_models_put_it(text: str) -> None:
    assert read_json(text) == {"kind": "a"}


@pytest.mark.parametrize("text", ["", "no", "{", '{"a": NaN}', "[" * 5000, '{"a": 1', "}{"])
def test_what_is_no_json_is_told(text: str) -> None:
    with pytest.raises(WrongOutput):
        read_json(text)


def test_a_value_that_fits_its_schema_is_kept() -> None:
    assert fitted({"kind": "a", "pages": 2}, SCHEMA) == {"kind": "a", "pages": 2}


def test_a_value_that_does_not_fit_is_refused_by_place_and_rule_and_without_itself() -> None:
    with pytest.raises(WrongOutput) as told:
        fitted({"kind": "secret-word", "pages": "2"}, SCHEMA)
    assert "$.kind breaks the rule 'enum'" in told.value.message
    assert "$.pages breaks the rule 'type'" in told.value.message
    assert "secret-word" not in told.value.message


def test_a_schema_is_checked_before_it_is_used() -> None:
    assert schema_mistake(SCHEMA) is None
    assert '"objekt" is not valid' in (schema_mistake({"type": "objekt"}) or "")
    assert "is no JSON schema" in (schema_mistake({"pattern": "("}) or "")
    assert "is no JSON schema" in (schema_mistake({"$ref": "#/nowhere"}) or "")


def test_a_reference_out_of_the_schema_is_fetched_from_nowhere() -> None:
    assert "not fetched" in (schema_mistake({"$ref": "http://127.0.0.1:9/schema.json"}) or "")
    with pytest.raises(WrongOutput, match="can't be used"):
        fitted({}, {"$ref": "http://127.0.0.1:9/schema.json"})


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("billing", "billing"),
        (" **Billing**. ", "billing"),
        ("billing dispute", "billing dispute"),
        ('{"route": "technical"}', "technical"),
        ('{"choice": "Technical", "why": "not billing"}', "technical"),
        ("I would send this to technical.", "technical"),
        ("This is a billing dispute, clearly.", "billing dispute"),
        ("billing or technical", None),
        ("the weather", None),
        ("technicality", None),
        ("", None),
    ],
)
def test_a_route_is_taken_where_an_answer_names_one_alone(text: str, route: str | None) -> None:
    assert chosen(text, ["billing", "technical", "billing dispute"]) == route


def test_an_output_as_an_answer_is_its_text_or_its_json() -> None:
    assert as_text("á") == "á"
    assert as_text({"á": [1, None]}) == '{"á": [1, null]}'
    assert as_text(None) == ""
