"""What a call asks, split into the one text that is compared by meaning and all the rest, which must be the same.

The rest becomes one digest, the scope: the tenant, route, model, parameters, prompt version, instructions, tools,
earlier turns, embedder and language. Two calls of different scopes are never compared (WIRE 30).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct, structs

from comporta.cache.key import IGNORED, OWN_HEADERS, PROMPT_FACT, STATEFUL
from comporta.guardrails.call import MASKS
from comporta.pipeline import Call
from comporta.telemetry.record import PROMPTED, Prompted
from comporta.text.language import guess_language
from comporta.types import Input, Message, Text

#: Counts up when scopes change their form, so that old entries are not found any more.
_FORM = 1
SCOPE_BYTES = 16
#: Longer questions are left alone: a vector speaks of the first few hundred tokens only, and two long texts may differ
#: in one line at their end.
LONGEST_CHARACTERS = 1_000
#: A value of a prompt that is shorter is found in the text by chance.
_SHORTEST_VALUE = 4
#: Stands where a prompt's value was taken out of its text.
_BLANK = "\0"
#: In the call's facts: the threshold that a routing strategy wants for this call in place of the route's.
THRESHOLD_FACT = "cache_similarity_threshold"
#: Anybody's: seeded answers that name no team.
EVERYBODY = "*"

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class Asked(Struct, frozen=True):
    """The text that is compared, and the scopes in which it is looked for; the first one is the call's own."""

    text: str
    language: str
    scopes: tuple[bytes, ...]


class Embedded(Struct, frozen=True):
    """What vectors are made by, as scopes need it."""

    name: str
    multilingual: bool = False


def tenant_of(call: Call) -> str:
    """Whose answers these are: a team's, or one key's."""
    caller = call.caller
    return f"team/{caller.team}" if caller.team is not None else f"key/{caller.key_id}"


def asked_of(call: Call, embedded: Embedded, english: bool | None = None) -> Asked | str:
    """What the call asks; a word for why its question is not compared by meaning, where it is not.

    `english` says what is known of texts that the small words tell nothing of.
    """
    target, asked = call.target, call.input
    if call.kind != "chat" or target is None:
        return "kind"
    if call.depth:
        # What judges, guards and summaries ask differs in what it is about, amid words that are always the same.
        return "inner"
    if call.facts.get(MASKS):
        # Whose name stood under a mask can't be compared.
        return "masked"
    body = asked.raw if asked.raw is not None else asked.extra
    if any(body.get(name) for name in STATEFUL):
        return "stateful"
    text = _question(asked.messages)
    if text is None:
        return "turn"
    told: Prompted | None = call.facts.get(PROMPTED)
    value = None if told is None else _value_in(text, told)
    question = text if value is None else value
    if not question.strip() or len(question) > LONGEST_CHARACTERS:
        return "length"
    language = language_of(question, english)
    if language != "en" and not embedded.multilingual:
        return "language" if language else "language_unknown"
    blank = "" if value is None else text.replace(value, _BLANK, 1)
    try:
        scopes = _scopes(call, embedded, language, blank)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        # What has no canonical JSON has no scope.
        return "form"
    return Asked(question, language, scopes)


def language_of(text: str, english: bool | None = None) -> str:
    """`en`, `pt`, `es`, `other`; empty where nothing tells."""
    guess = guess_language(text)
    if guess.sure > 0.0:
        return guess.code
    return "en" if english else ""


def seed_scope(route: str, tenant: str, embedded: Embedded, language: str) -> bytes:
    """The scope of answers that were seeded for a route: they hold whatever the model and its parameters are."""
    return _digest(("seed", _FORM, tenant, route, embedded.name, language))


def _scopes(call: Call, embedded: Embedded, language: str, blank: str) -> tuple[bytes, ...]:
    target, asked = call.target, call.input
    assert target is not None, "`choose` comes before `recall`"
    tenant = tenant_of(call)
    headers = {name: value for name, value in call.headers.items() if name not in OWN_HEADERS}
    own = _digest(
        (
            _FORM, tenant, (target.route, target.provider, target.model, target.params), call.facts.get(PROMPT_FACT),
            headers, embedded.name, language, blank, _rest(asked), _odd(asked.raw),
        )
    )  # fmt: skip
    if not _plain(asked):
        return (own,)
    return (
        own, seed_scope(target.route, tenant, embedded, language),
        seed_scope(target.route, EVERYBODY, embedded, language),
    )  # fmt: skip


def _digest(value: Any) -> bytes:
    return blake2b(_encode(value), digest_size=SCOPE_BYTES).digest()


def _question(messages: tuple[Message, ...]) -> str | None:
    """The last turn's text; None where the last turn is not a user's, or holds more than text."""
    if not messages or messages[-1].role != "user":
        return None
    parts = messages[-1].parts
    if not parts or any(type(part) is not Text for part in parts):
        return None
    return messages[-1].text


def _value_in(text: str, told: Prompted) -> str | None:
    """The longest of the prompt's values that stands in the text: what the user said, amid the prompt's own words."""
    values = [value for value in told.variables.values() if isinstance(value, str) and len(value) >= _SHORTEST_VALUE]
    found = [value for value in values if value in text]
    return max(found, key=len, default=None)


def _rest(asked: Input) -> Input:
    """All of the input but the last turn, and what says who asks rather than what."""
    extra = {name: value for name, value in asked.extra.items() if name not in IGNORED}
    last = structs.replace(asked.messages[-1], parts=())
    return structs.replace(
        asked, messages=(*asked.messages[:-1], last), raw=None, wire="", user=None, metadata=None, extra=extra
    )


_KNOWN = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "type", "id"})


def _odd(raw: Mapping[str, Any] | None) -> list[Any]:
    """What stands in messages beside what every wire knows: nobody can say what a provider makes of it."""
    turns = () if raw is None else raw.get("messages") or raw.get("input")
    if not isinstance(turns, list):
        return []
    return [
        {name: value for name, value in turn.items() if name not in _KNOWN}
        for turn in turns
        if isinstance(turn, dict) and not turn.keys() <= _KNOWN
    ]


def _plain(asked: Input) -> bool:
    """Whether a text will do as the answer to the one question there is: no earlier turns, no tools, no schema."""
    form = asked.response_format
    first = sum(message.role != "system" for message in asked.messages) == 1
    return first and not asked.tools and (form is None or form.kind == "text") and asked.n == 1
