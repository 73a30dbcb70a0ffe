"""Answers held to schemas, forms, lengths, phrases and languages, and what is offered in place of those that fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import ConfigError, Unavailable
from comporta.guardrails.base import Tools
from comporta.guardrails.kinds import adherence, json_schema, tongue
from comporta.guardrails.mending import NoJSON, mended

from .verdicts import of, verdict

SCHEMA = of(json_schema.KINDS, "json_schema")
TOLD = of(adherence.KINDS, "instruction_adherence")
TONGUE = of(tongue.KINDS, "language")

PERSON = {
    "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"], "additionalProperties": False,
}  # fmt: skip
EN = "The parcel leaves our warehouse on Monday and should be with you before the end of the week."
PT = "A encomenda sai do nosso armazém na segunda-feira e deve chegar até você antes do fim da semana."
ES = "El paquete sale de nuestro almacén el lunes y debería llegar a usted antes del fin de la semana."


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('```json\n{"name": "Ana"}\n```', {"name": "Ana"}),
        ('Claro! Aqui está: {"name": "Ana", "age": 3} Espero que ajude.', {"name": "Ana", "age": 3}),
        ('{"name": "Ana", "age": 3,}', {"name": "Ana", "age": 3}),
        ("{'name': 'Ana'}", {"name": "Ana"}),
        ("{name: 'Ana', age: 3}", {"name": "Ana", "age": 3}),
        ('{"name": "Ana", "tags": ["a", "b', {"name": "Ana", "tags": ["a", "b"]}),
        ('{"name": "Ana", // who\n "age": 3}', {"name": "Ana", "age": 3}),
        ('{"name": "say "hi" to me", "ok": True, "x": None}', {"name": 'say "hi" to me', "ok": True, "x": None}),
        ('{“name”: “Ana”}', {"name": "Ana"}),
        ("[1, 2, 3", [1, 2, 3]),
        ('{"a": "l\'été", "b": -1.5e3}', {"a": "l'été", "b": -1.5e3}),
    ],
)  # fmt: skip
def test_what_is_nearly_json_is_mended(written: str, meant: Any) -> None:
    assert json.loads(mended(written)) == meant


@pytest.mark.parametrize("written", ["", "no data here", "[" * 500, "```\nhello\n```", "\ud800"])
def test_what_is_no_json_is_not_made_up(written: str) -> None:
    with pytest.raises(NoJSON):
        mended(written)


LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))


def _values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)


@given(st.recursive(LEAVES, _values, max_leaves=10))
@settings(max_examples=80, deadline=None)
def test_json_is_left_as_it_is(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    try:
        assert json.loads(mended(written)) == value
    except NoJSON:
        assert any(0xD800 <= ord(c) < 0xE000 for c in written)


@given(st.text(alphabet="{}[]\"',:abc123 \n\\/#`tru", max_size=80))
@settings(max_examples=300, deadline=None)
def test_whatever_is_mended_is_json(text: str) -> None:
    try:
        json.loads(mended(text))
    except NoJSON:
        return


async def test_an_answer_that_fits_its_schema_passes_and_one_that_does_not_is_told_where() -> None:
    assert (await verdict(SCHEMA, '{"name": "Ana", "age": 3}', {"schema": PERSON})).outcome == "pass"
    wrong = await verdict(SCHEMA, '{"name": "Ana", "age": "three hundred"}', {"schema": PERSON})
    assert wrong.outcome == "flag" and wrong.text is None
    assert "'type'" in wrong.reason and "three" not in wrong.reason


async def test_the_schema_of_the_request_counts_and_no_schema_means_any_json() -> None:
    assert (await verdict(SCHEMA, "[1]")).outcome == "pass"
    assert (await verdict(SCHEMA, "[1]", schema=PERSON)).outcome == "flag"
    assert (await verdict(SCHEMA, "[1]", {"callers": False}, schema=PERSON)).outcome == "pass"


async def test_an_answer_that_rules_can_mend_is_offered_mended() -> None:
    found = await verdict(SCHEMA, "Here you go:\n```json\n{'name': 'Ana',}\n```", {"schema": PERSON})
    assert found.text is not None and json.loads(found.text) == {"name": "Ana"}
    assert (await verdict(SCHEMA, found.text, {"schema": PERSON})).outcome == "pass"


async def test_a_schema_that_is_none_is_a_mistake_at_start_and_a_finding_in_a_request() -> None:
    with pytest.raises(ConfigError, match="no JSON schema"):
        await verdict(SCHEMA, "{}", {"schema": {"type": "thing"}})
    found = await verdict(SCHEMA, "{}", schema={"type": "thing"})
    assert found.outcome == "flag" and "no JSON schema" in found.reason


@pytest.mark.parametrize(
    ("told", "good", "bad"),
    [
        ({"format": "bullets"}, "- one\n- two", "one and two"),
        ({"format": "numbered"}, "Os passos:\n1. um\n2. dois", "- um\n- dois"),
        ({"format": "line"}, "just this", "this\nand that"),
        ({"format": "plain"}, "Just words.", "# Title\nwords"),
        ({"format": "markdown"}, "## Title\n**yes**", "Just words."),
        ({"format": "paragraph"}, "One. Two.", "One.\n\nTwo."),
        ({"format": "table"}, "| a | b |\n|---|---|\n| 1 | 2 |", "a b"),
        ({"format": "json"}, '{"a": 1}', "a: 1"),
        ({"schema": PERSON}, '{"name": "Ana"}', '{"nome": "Ana"}'),
        ({"max_words": 4}, "um dois três quatro", "um dois três quatro cinco"),
        ({"min_words": 3}, "uno dos tres", "uno dos"),
        ({"max_sentences": 1}, "One sentence only.", "One sentence. And another."),
        ({"max_characters": 5}, "12345", "123456"),
        ({"min_items": 2, "max_items": 3}, "- a\n- b", "- a"),
        ({"must": ["política de privacidade"]}, "Veja a POLITICA de Privacidade.", "Veja a política."),
        ({"must_not": ["garantía"]}, "Sin promesas.", "Le damos GARANTIA total."),
        ({"must_not": ["art"]}, "The party starts.", "The art of it."),
        ({"starts_with": "Olá"}, "Olá, Ana!", "Bom dia, Ana!"),
        ({"ends_with": "Saludos"}, "Todo bien. Saludos", "Todo bien."),
        ({"language": "pt-BR"}, PT, ES),
        ({"language": "en"}, EN, PT),
    ],
)
async def test_what_answers_are_told_to_be_is_held_to(told: dict[str, Any], good: str, bad: str) -> None:
    assert (await verdict(TOLD, good, told)).outcome == "pass"
    found = await verdict(TOLD, bad, told)
    assert found.outcome == "flag" and found.confidence == 1.0


async def test_what_must_not_stand_there_is_marked_and_not_repeated() -> None:
    text = "Our secret plan is called Aurora."
    found = await verdict(TOLD, text, {"must_not": ["Aurora"]})
    assert [text[span.start : span.end] for span in found.spans] == ["Aurora"]
    assert "Aurora" not in found.reason


async def test_an_answer_that_is_too_long_is_offered_cut_where_a_sentence_ends() -> None:
    found = await verdict(TOLD, "One two three. Four five six. Seven eight.", {"max_words": 6})
    assert found.text == "One two three. Four five six."
    assert (await verdict(TOLD, "One two three four.", {"max_words": 2})).text is None


async def test_instructions_in_words_go_to_the_judge() -> None:
    async def ask(system: str, text: str) -> str:
        return '{"ok": false, "confidence": 0.8, "why": "rude"}' if "polite" in text else '{"ok": true}'

    tools = Tools(judge="big")
    found = await verdict(TOLD, "Go away.", {"instructions": "Be polite."}, tools, ask=ask)
    assert found.confidence == pytest.approx(0.9)
    assert (await verdict(TOLD, "Go away.", {"instructions": "Be short."}, tools, ask=ask)).outcome == "pass"
    with pytest.raises(ConfigError, match="judge"):
        await verdict(TOLD, "x", {"instructions": "Be polite."})
    with pytest.raises(Unavailable):
        await verdict(TOLD, "x", {"instructions": "Be polite."}, tools)


@pytest.mark.parametrize(
    "told", [{}, {"min_words": 5, "max_words": 2}, {"language": "tlh"}, {"format": "haiku"}, {"max_wrods": 3}]
)
async def test_what_cannot_be_held_to_is_a_mistake_at_start(told: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await verdict(TOLD, "x", told)


@pytest.mark.parametrize(
    ("text", "allow", "passes"),
    [(EN, ["en"], True), (PT, ["en"], False), (ES, ["es", "pt"], True), (EN, ["es", "pt"], False),
     ("ok", ["pt"], True), ("12 345", ["es"], True),
     ("Das Paket verlässt unser Lager am Montag und sollte bald bei Ihnen sein.", ["en", "pt", "es"], False),
     ("Посылка покидает наш склад в понедельник.", ["en", "pt", "es"], False)],
)  # fmt: skip
async def test_texts_are_held_to_languages(text: str, allow: list[str], passes: bool) -> None:
    found = await verdict(TONGUE, text, {"allow": allow})
    assert (found.confidence < TONGUE.threshold) == passes


async def test_an_answer_is_held_to_the_language_of_its_question() -> None:
    told = {"same_as_question": True}
    assert (await verdict(TONGUE, PT, told, question=PT)).outcome == "pass"
    assert (await verdict(TONGUE, EN, told, question=PT)).confidence >= TONGUE.threshold
    assert (await verdict(TONGUE, EN, told, question="ok")).outcome == "pass"


async def test_a_language_that_cannot_be_told_is_a_mistake_at_start() -> None:
    for told in ({}, {"allow": ["klingon"]}):
        with pytest.raises(ConfigError, match="language"):
            await verdict(TONGUE, "x", told)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
async def test_no_text_makes_them_fail(text: str) -> None:
    await verdict(SCHEMA, text, {"schema": PERSON})
    await verdict(
        TOLD, text, {"format": "markdown", "max_words": 3, "must_not": ["a"], "language": "pt", "must": ["é"]}
    )
    await verdict(TOLD, text, {"format": "table", "schema": PERSON})
    await verdict(TONGUE, text, {"allow": ["pt"], "deny": ["es"]})


async def test_texts_made_to_be_slow_are_read_soon() -> None:
    for text in (
        "|" * 50_000,
        " -:" * 30_000,
        "{" * 50_000,
        '"' * 50_000,
        "**" * 40_000,
        "[a](" * 20_000,
        "/*" * 40_000,
    ):
        await verdict(TOLD, text, {"format": "markdown"})
        await verdict(TOLD, text, {"format": "table"})
        await verdict(SCHEMA, '{"a": ' + text)
