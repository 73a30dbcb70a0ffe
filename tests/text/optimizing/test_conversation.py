"""A shortened conversation says the same in fewer tokens: what must stay stays to the byte."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from comporta.text.optimizing.conversation import frozen_of, question_of, shorten
from comporta.text.optimizing.settings import OptimizeSection, Policy, RouteOptimizeSection, policy_of
from comporta.text.tokens import estimate_tokens
from comporta.types import Image, Message, Part, Role, Text, ToolCall, ToolResult

ALL = Policy(history=2, context_tokens=60)
TIDY = Policy()
NOTHING = Policy(blank_space=False, duplicates=False)


def said(role: Role, *texts: str, **more: str) -> Message:
    return Message(role, tuple(map(Text, texts)), **more)


def texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


def run(messages: Sequence[Message], policy: Policy) -> list[str]:
    return texts(shorten(tuple(messages), policy, estimate_tokens).messages)


def test_blank_space_goes_outside_code_quotes_and_tables() -> None:
    code = "```python\nx  =  1\n\n\n\ny  =  2\n```\n"
    table = "| name  | price |\n|-------|-------|\n| lamp  |   3.5 |\n"
    aligned = "name    price\nlamp    3.50\nshelf   12.00\n"
    data = "server:\n  host:   local\n  port:   80\n"
    text = (
        f'Look   at\tthis, and say  "two  blanks" or `a  b`:  \n\n\n\n{code}\n\n'
        f"{table}\n{aligned}\n{data}\nThank   you."
    )
    (done,) = run([said("user", text)], TIDY)
    assert done == f'Look at this, and say "two  blanks" or `a  b`:\n\n{code}\n{table}\n{aligned}\n{data}\nThank you.'


def test_json_and_indented_code_stay() -> None:
    text = 'Sum  these:\n\n{\n  "a":   1,\n  "b":   [1,  2]\n}\n\n    def  f():\n        return  1\n'
    (done,) = run([said("user", text)], TIDY)
    assert done == text.replace("Sum  these", "Sum these")


def test_a_quotation_whose_begin_is_unknown_stays() -> None:
    text = 'He said "wait   and then   left the   room.'
    assert run([said("user", text)], TIDY) == [text]


def test_what_a_system_text_says_again_goes() -> None:
    system = (
        "You answer questions about parcels. Always answer in the customer's language.\n\n"
        "Never promise a date that the carrier has not given.\n\n"
        "Be brief. Always answer in the customer's language.\n"
        "Never promise a date that the carrier has not given.\n\n"
        "Q: Where is it?\nA: I don't know that yet.\n\nQ: When?\nA: I don't know that yet."
    )
    done, _ = run([said("system", system), said("user", "Where?")], TIDY)
    assert done.count("Always answer in the customer's language.") == 1
    assert done.count("Never promise a date") == 1
    assert done.count("A: I don't know that yet.") == 2, "examples may say the same"
    assert "Be brief." in done


def test_a_document_that_comes_twice_stays_once_and_a_question_asked_again_stays() -> None:
    document = "<document>\nThe lamp costs twelve euros and ships from Porto within two days.\n</document>\n"
    question = "How long does it take until the lamp that I ordered arrives at my home in Braga?"
    done = run(
        [said("user", question), said("assistant", "Two days."), said("user", f"{document}{document}{question}")], TIDY
    )
    assert done == [question, "Two days.", f"{document}{question}"]


def test_history_keeps_system_first_and_last_turns_and_tears_no_tool_call() -> None:
    call, result = ToolCall("c1", "look", "{}"), ToolResult("c1", (Text("found"),))
    messages = (
        said("system", "Be kind."),
        said("user", "one"), said("assistant", "1"),
        said("user", "two"), Message("assistant", (call,)), Message("tool", (result,)), said("assistant", "2"),
        said("user", "three"), Message("assistant", (call,)), Message("user", (result,)), said("assistant", "3"),
        said("user", "four"),
    )  # fmt: skip
    done = shorten(messages, Policy(history=2), estimate_tokens).messages
    assert done == (*messages[:3], *messages[7:])
    assert shorten(messages, Policy(history=9), estimate_tokens).messages == messages


def test_history_beyond_a_number_of_tokens_loses_its_oldest_turns_but_the_first() -> None:
    turns = [said("user", f"turn {n}: " + "word " * 50) for n in range(6)]
    messages = [message for turn in turns for message in (turn, said("assistant", "Yes."))]
    done = shorten(tuple(messages), Policy(history_tokens=260, duplicates=False), estimate_tokens)
    kept = [text[:6] for text in texts(done.messages) if text.startswith("turn")]
    assert kept == ["turn 0", "turn 3", "turn 4", "turn 5"]
    assert done.steps["history"] > 90


@pytest.mark.parametrize(
    "form",
    [
        "<document id='{n}'>\n{text}\n</document>\n",
        "[{n}] {text}\n",
        "Document {n}:\n{text}\n",
        "{text}\n\n",
    ],
)
def test_context_is_pruned_to_what_the_question_is_about_in_its_order(form: str) -> None:
    about = [
        "The warranty of all lamps lasts three years from the day of purchase, bulbs excepted.",
        "Our office in Lisbon is open from nine to five, with a break for lunch at half past twelve.",
        "To claim the warranty, send a photo of the lamp together with the invoice by e-mail.",
        "Employees get a discount of ten percent on all furniture except for garden chairs.",
    ]
    listed = "".join(form.format(n=n + 1, text=text) for n, text in enumerate(about))
    text = f"Answer from these passages alone.\n\n{listed}\nHow do I claim the warranty of a broken lamp?"
    room = sum(estimate_tokens(form.format(n=n, text=about[n - 1])) for n in (1, 3)) + 2
    (done,) = run([said("user", text)], Policy(context_tokens=room))
    assert about[0] in done and about[2] in done
    assert done.index(about[0]) < done.index(about[2])
    assert about[1] not in done and about[3] not in done
    assert done.startswith("Answer from these") and done.endswith("How do I claim the warranty of a broken lamp?")


def test_passages_that_were_retrieved_are_pruned_as_messages() -> None:
    messages = (
        said("user", "Cats sleep sixteen hours a day, mostly at noon.", name="passage"),
        said("user", "Trains to Faro leave from platform four at ten.", name="passage"),
        said("user", "When does the train to Faro leave?"),
    )
    done = shorten(messages, Policy(context_tokens=15), estimate_tokens, passage_name="passage")
    assert done.messages == messages[1:]


def test_a_system_texts_paragraphs_are_no_context() -> None:
    system = "\n\n".join(f"Rule number {n} says that answers have to mention the letter {n} twice." for n in range(9))
    assert run([said("system", system), said("user", "Hello?")], Policy(context_tokens=10))[0] == system


def test_what_is_marked_for_a_providers_cache_stays_to_the_byte() -> None:
    marked = Message("user", (Text("a   long   document", {"type": "ephemeral"}),))
    messages = (said("system", "Be   kind."), marked, said("assistant", "Yes."), said("user", "And   now?"))
    done = shorten(messages, ALL, estimate_tokens).messages
    assert done[:2] == messages[:2] and done[-1].text == "And now?"
    assert frozen_of(messages) == 2


def test_what_is_no_text_and_what_others_said_stays() -> None:
    image = Image(url="https://example.com/a.png")
    messages = (
        Message("user", (Text("Look   here"), image)),
        said("assistant", "I   see   it."),
        Message("tool", (ToolResult("t", (Text("a   b"),)),)),
        said("user", "Good"),
    )
    done = shorten(messages, TIDY, estimate_tokens).messages
    assert done == (Message("user", (Text("Look here"), image)), *messages[1:])


def test_a_route_says_its_own_and_leaves_the_rest() -> None:
    general = OptimizeSection(history=4)
    assert policy_of(general) is None, "off until turned on"
    assert policy_of(general, RouteOptimizeSection(enabled=False)) is None
    own = policy_of(general, RouteOptimizeSection(context_tokens=900, blank_space=False))
    assert own is not None
    assert (own.history, own.context_tokens, own.blank_space, own.duplicates) == (4, 900, False, True)


def test_the_question_is_what_is_asked_beside_the_documents() -> None:
    assert question_of(said("user", "<doc>long text of many words</doc>\nWhy?")) == "Why?"
    assert question_of(said("user", "Do this first.\n\n" + "word " * 200 + "\n\nWhy?")) == "Do this first.\n\nWhy?"


CODE = st.text(alphabet="ab =\n\t(){}:", max_size=40).map(lambda body: f"```\n{body}\n```")
LINE = st.one_of(
    st.sampled_from(
        ["Be kind   to all.", "Always answer in the language of the customer, please.", "| a  | b |", "key:   value",
         "- item  one", "1. first", "---", '"a  b"', "> quoted  line", "", "", "<document>", "</document>",
         "The lamp costs twelve euros and ships from Porto.", "    indented  code", "`x  y`", "A: yes  it is"]
    ),
    st.text(alphabet="ab \t\"`<>|{}:.\n", max_size=20),
)  # fmt: skip
PROMPT = st.lists(st.one_of(LINE, CODE), min_size=1, max_size=12).map("\n".join)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = [said("system", draw(PROMPT))] if draw(st.booleans()) else []
    for n in range(draw(st.integers(0, 4))):
        messages.append(said("user", draw(PROMPT)))
        if draw(st.booleans()):
            messages.append(Message("assistant", (ToolCall(f"c{n}", "look", "{}"),)))
            messages.append(Message("tool", (ToolResult(f"c{n}", (Text(draw(PROMPT)),)),)))
        messages.append(said("assistant", draw(PROMPT)))
    return (*messages, said("user", draw(PROMPT)))


def policies() -> st.SearchStrategy[Policy]:
    limit = st.one_of(st.none(), st.integers(1, 60))
    return st.builds(
        Policy, blank_space=st.booleans(), duplicates=st.booleans(), history=st.one_of(st.none(), st.integers(1, 4)),
        history_tokens=limit, context_tokens=limit,
    )  # fmt: skip


def is_part(rest: str, whole: str) -> bool:
    """Whether the words of `rest` stand in `whole` in the same order."""
    left = iter(whole.split())
    return all(any(word == other for other in left) for word in rest.split())


@given(conversations(), policies())
@settings(max_examples=150, deadline=None)
def test_nothing_is_reordered_torn_or_made_longer_and_a_second_time_changes_nothing(
    messages: tuple[Message, ...], policy: Policy
) -> None:
    done = shorten(messages, policy, estimate_tokens).messages
    assert shorten(done, policy, estimate_tokens).messages == done
    assert done[-1].role == "user" and len(done) <= len(messages)
    left = iter(messages)
    for new in done:
        # Each message left is one of before, in the order of before, with some of its words.
        assert any(
            old.role == new.role and is_part(new.text, old.text) and len(new.text) <= len(old.text) for old in left
        )
    calls = {p.id for m in done for p in m.parts if isinstance(p, ToolCall)}
    assert calls == {p.id for m in done for p in m.parts if isinstance(p, ToolResult)}
    assert [p for m in done for p in m.parts if isinstance(p, ToolResult)] == [
        p for m in messages for p in m.parts if isinstance(p, ToolResult) and p.id in calls
    ]


@given(
    st.lists(st.one_of(LINE.filter(lambda line: "`" not in line and '"' not in line), CODE), max_size=10), policies()
)
@settings(max_examples=150, deadline=None)
def test_code_in_the_last_turn_stays_to_the_byte(lines: list[str], policy: Policy) -> None:
    messages = (said("user", "\n".join(lines) or "x"),)
    blocks = re.findall(r"(?m)^```\n(?:.*\n)*?```$", messages[0].text)
    done = shorten(messages, policy, estimate_tokens).messages[0].text
    at = 0
    for block in blocks:
        at = done.index(block, at) + len(block)


def test_steps_that_are_off_leave_the_very_same_messages() -> None:
    part: Part = Text("a   b\n\n\n\na   b")
    messages = (Message("user", (part,)),)
    done = shorten(messages, NOTHING, estimate_tokens)
    assert done.messages is messages and done.steps == {}
    assert structs.replace(messages[0]) == done.messages[0]
