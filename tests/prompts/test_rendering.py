"""A prompt with values becomes messages: placeholders, bullets, examples, persona, history, images, rules."""

from __future__ import annotations

import time
from typing import Any

import pytest

from comporta.errors import BadRequest
from comporta.types import Image, Message, Text
from support.prompts import prompt


def said(*messages: Message) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in messages]


def render(text: str, history: tuple[Message, ...] = (), **variables: Any) -> list[tuple[str, str]]:
    return said(*prompt(text).render(variables, history).messages)


def test_placeholders_are_filled_and_other_braces_stay() -> None:
    text = """
    system_prompt: 'Be kind to {name}. Say {"ok": true}, {}, {1} or \\{name}.'
    variables: [name]
    """
    assert render(text, name="Ana") == [("system", 'Be kind to Ana. Say {"ok": true}, {}, {1} or {name}.')]


@pytest.mark.parametrize("value", ["{other}", "{{ 7*7 }}", "{% raw %}", "{include: tone@1.0.0}", "\\{name}", "{name}"])
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    plain = "system_prompt: 'Hello {name}{other}'\nvariables: [name, {name: other, default: '!'}]"
    jinja = (
        "template: jinja\nsystem_prompt: 'Hello {{ name }}{{ other }}'\nvariables: [name, {name: other, default: '!'}]"
    )
    for text in (plain, jinja):
        assert render(text, name=value) == [("system", f"Hello {value}!")]


def test_objects_and_lists_are_labelled_bullets_without_what_is_empty() -> None:
    text = "system_prompt: |\n  {likes}\n  {menu}\nvariables: {likes: object, menu: list}"
    likes = {"restrictions": ["gluten", "lactose"], "allergies": [], "note": " ", "max_price": 30.0, "spicy": False,
             "home": {"city": "Lisboa", "floor": None}, "stars": 0}  # fmt: skip
    menu = [{"name": "Caldo", "price": 4.5}, "Bacalhau", {}, "Arroz,\nde polvo"]
    assert render(text, likes=likes, menu=menu)[0][1].splitlines() == [
        "- Restrictions: gluten, lactose", "- Max price: 30", "- Spicy: false", "- Home:", "  - City: Lisboa",
        "- Stars: 0", "- Name: Caldo", "  Price: 4.5", "- Bacalhau", "- Arroz,", "  de polvo",
    ]  # fmt: skip


def test_the_system_message_is_persona_then_prompt_then_steps() -> None:
    text = """
    language: pt
    persona: {role: "guia de {city}", tone: [calmo, breve], limits: nada de política}
    system_prompt: Ajude.
    reasoning: [O que a pessoa quer?, O que falta?]
    variables: [city]
    """
    assert render(text, city="Évora")[0][1].splitlines() == [
        "- Papel: guia de Évora", "- Tom: calmo, breve", "- Limites: nada de política", "", "Ajude.", "",
        "Antes de responder, pense nestes passos:", "1. O que a pessoa quer?", "2. O que falta?",
    ]  # fmt: skip


EXAMPLES = """
system_prompt: Sort it.
user_prompt_template: "Sort: {what}"
variables: [what]
examples:
  - {input: plain, output: a}
  - {input: {what: "{given}"}, output: {kind: b}}
"""


def test_examples_are_turns_and_their_variables_fill_the_users_template() -> None:
    assert render(EXAMPLES, what="x") == [
        ("system", "Sort it."), ("user", "plain"), ("assistant", "a"), ("user", "Sort: {given}"),
        ("assistant", '{"kind": "b"}'), ("user", "Sort: x"),
    ]  # fmt: skip


def test_examples_can_stand_in_the_text() -> None:
    messages = render(EXAMPLES + "examples_as: text", what="x")
    assert [role for role, _ in messages] == ["system", "user"]
    assert messages[0][1].endswith(
        'Examples:\n\nInput: plain\nOutput: a\n\nInput: Sort: {given}\nOutput: {"kind": "b"}'
    )


HISTORY = (Message("user", (Text("earlier"),)), Message("assistant", (Text("indeed"),)))


def test_the_history_goes_where_the_file_says() -> None:
    text = "system_prompt: S\nmessages: [{role: user, content: first}, history, {role: assistant, content: last}]"
    rendered = prompt(text).render({}, HISTORY)
    assert [text for _, text in said(*rendered.messages)] == ["S", "first", "earlier", "indeed", "last"]
    assert rendered.history_at == 2


def test_without_a_place_the_history_goes_before_the_question() -> None:
    messages = render(EXAMPLES, HISTORY, what="x")
    assert [text for _, text in messages[-3:]] == ["earlier", "indeed", "Sort: x"]


def test_parameters_tools_and_format_come_with_the_messages() -> None:
    rendered = prompt("""
    model: openai/gpt-4o-mini
    temperature: 0.2
    max_tokens: 50
    stop: END
    timeout: 30s
    params: {presence_penalty: 0.5}
    system_prompt: Answer.
    response_format: {type: object, properties: {a: {type: string}}, required: [a]}
    tools: [{type: function, function: {name: look_up, description: d, parameters: {type: object, properties: {}}}}]
    """).render()
    assert rendered.params == {"temperature": 0.2, "max_tokens": 50, "stop": ["END"], "presence_penalty": 0.5}
    assert (rendered.model, rendered.timeout_s, rendered.id, rendered.version) == (
        "openai/gpt-4o-mini", 30.0, "support", "1.0.0",
    )  # fmt: skip
    assert rendered.response_format is not None and rendered.response_format.kind == "json_schema"
    assert [tool.name for tool in rendered.tools] == ["look_up"]


URL = "https://example.com/a.png"


@pytest.mark.parametrize(
    ("value", "image"),
    [
        (URL, Image(url=URL)),
        ("data:image/PNG;base64,aGk=", Image(data="aGk=", media_type="image/png")),
        ({"url": URL, "detail": "low"}, Image(url=URL, detail="low")),
        ({"data": "aGk=", "media_type": "image/png"}, Image(data="aGk=", media_type="image/png")),
    ],
)
def test_an_image_stands_where_its_placeholder_is(value: object, image: Image) -> None:
    text = "user_prompt_template: 'Before {photo} after'\nvariables: {photo: image}"
    message = prompt(text).render({"photo": value}).messages[0]
    assert message.parts == (Text("Before"), image, Text(" after"))


@pytest.mark.parametrize("text", ["user_prompt_template: Look.", "template: jinja\nuser_prompt_template: Look."])
def test_an_image_without_a_place_goes_to_the_end(text: str) -> None:
    message = prompt(text + "\nvariables: [{name: photo, type: image}]").render({"photo": URL}).messages[0]
    assert message.parts == (Text("Look."), Image(url=URL))


def test_an_image_cannot_stand_in_the_system_prompt() -> None:
    with pytest.raises(Exception, match="can't hold the image photo"):
        prompt("system_prompt: 'x {photo}'\nvariables: {photo: image}")


@pytest.mark.parametrize(
    ("declared", "value", "told"),
    [
        ("{name: x}", None, "is missing (required)"),
        ("{name: x}", 5, "must be text (type: string)"),
        ("{name: x, validation: 'max 3 chars'}", "four", "at most 3 characters (max_length)"),
        ("{name: x, validation: {min_length: 5}}", "four", "at least 5 characters (min_length)"),
        ("{name: x, sanitization: trim, validation: not empty}", "  ", "at least 1 character (min_length)"),
        ("{name: x, validation: {pattern: '[a-z]+'}}", "A1", "must match [a-z]+ as a whole (pattern)"),
        ("{name: x, validation: 'one of: low, high'}", "mid", "must be one of low, high (one_of)"),
        ("{name: x, validation: email}", "nobody", "must be an email (format)"),
        ("{name: x, validation: date}", "soon", "must be a date (format)"),
        ("{name: x, type: number}", True, "must be a number (type: number)"),
        ("{name: x, type: number}", float("nan"), "must be a finite number (type: number)"),
        ("{name: x, validation: 'integer, 1-5'}", 9, "must be at most 5 (max)"),
        ("{name: x, validation: integer}", 1.5, "must be a whole number (integer)"),
        ("{name: x, type: boolean}", "yes", "must be true or false (type: boolean)"),
        ("{name: x, type: list}", "a", "must be a list (type: list)"),
        ("{name: x, type: list, validation: max 1 item}", [1, 2], "at most 1 entry (max_items)"),
        ("{name: x, type: object}", [1], "must be an object (type: object)"),
        ("{name: x, type: object}", {"a": object()}, "nothing but what JSON knows"),
        ("{name: x, type: image}", "ftp://example.com/a.png", "must be an image"),
    ],
)
def test_a_wrong_value_is_a_400_that_names_prompt_variable_and_rule(declared: str, value: object, told: str) -> None:
    made = prompt(f"user_prompt_template: 'Q {{x}}'\nvariables: [{declared}]")
    with pytest.raises(BadRequest) as caught:
        made.render({"x": value})
    assert caught.value.message.startswith("prompt support@1.0.0: variable x ")
    assert told in caught.value.message
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "invalid_variable",
        "prompt.variables.x",
    )


def test_every_wrong_variable_is_told_and_no_value_repeated() -> None:
    with pytest.raises(BadRequest) as caught:
        prompt("system_prompt: '{a} {b}'\nvariables: [a, {name: b, validation: max 3 chars}]").render({"b": "private"})
    assert "variable a is missing" in caught.value.message and "variable b is too long" in caught.value.message
    assert "private" not in caught.value.message


def test_defaults_and_optional_values_need_not_be_given() -> None:
    text = "system_prompt: '[{a}|{b}]'\nvariables: [{name: a, default: x}, {name: b, required: false}]"
    assert render(text) == [("system", "[x|]")]


def test_values_without_a_variable_are_reported_and_not_refused() -> None:
    assert prompt("system_prompt: Hi").render({"extra": 1}).unused == ("extra",)


def test_values_are_sanitized_before_they_are_measured() -> None:
    text = "system_prompt: '{a}'\nvariables: [{name: a, sanitization: 'strip_html, trim', validation: max 3 chars}]"
    assert render(text, a="  <b>abc</b> ") == [("system", "abc")]


def test_what_lists_and_objects_hold_is_sanitized_too() -> None:
    text = "system_prompt: '{a}'\nvariables: [{name: a, type: object, sanitization: [strip_html, prevent_injection]}]"
    made = render(text, a={"<i>k</i>": ["<b>v</b>"]})[0][1]
    assert "- K: v" in made and made.startswith("<untrusted_data") and "<b>" not in made


def test_a_prompt_without_values_is_the_same_message_each_time() -> None:
    made = prompt("system_prompt: Hi")
    assert made.render().messages[0] is made.render().messages[0]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("{name: x, type: image}", "https://" + "a" * 200_000 + " "),
        ("{name: x, type: image}", "data:image/png;base64," + " " * 200_000 + "!"),
        ("{name: x, validation: url}", "https://" + "a" * 200_000 + " "),
        ("{name: x, validation: email}", "a" * 200_000),
    ],
)
def test_no_value_takes_long_to_be_refused(declared: str, value: str) -> None:
    made = prompt(f"user_prompt_template: 'Q {{x}}'\nvariables: [{declared}]")
    begun_s = time.perf_counter()
    with pytest.raises(BadRequest):
        made.render({"x": value})
    assert time.perf_counter() - begun_s < 20
