"""The last question and the answer of a call as texts, from its record: in full or as previews; hashes say nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Vectors and lexicons speak of no more than this.
MOST_CHARACTERS = 4_000
#: A value of one word may stand in any message by chance.
_SPACE = re.compile(r"\s")


def question_of(prompt: Any, variables: Any = None) -> str | None:
    """What the user asked last. None where it was not kept."""
    asked = [text for role, text in _said(prompt) if role == "user"]
    return asked_of(asked[-1] if asked else None, variables)


def asked_of(message: str | None, variables: Any = None) -> str | None:
    """The user's part of a message that a prompt was made into: the values that stand in it, else all of it.

    A version that says the same in other words must not look like users who ask something else. Of a prompt with
    nothing but values, those. None where there is nothing.
    """
    values = [_value(value) for value in variables.values()] if isinstance(variables, Mapping) else []
    if message is not None:
        values = [value for value in values if _SPACE.search(value.strip()) and value.strip() in message]
    joined = "\n".join(value for value in values if value)
    return (joined or message or "")[:MOST_CHARACTERS] or None


def answer_of(reply: Any) -> str | None:
    """The first choice's text, or its refusal. None where it was not kept."""
    if not isinstance(reply, list) or not reply or not isinstance(reply[0], Mapping):
        return None
    first = reply[0]
    if "sha256" in first:
        return None
    return str(first.get("text") or first.get("refusal") or "")[:MOST_CHARACTERS]


def refused(reply: Any) -> bool:
    """Whether the model itself marked its answer as a refusal."""
    return isinstance(reply, list) and bool(reply) and isinstance(reply[0], Mapping) and bool(reply[0].get("refusal"))


def _said(prompt: Any) -> list[tuple[str, str]]:
    """Role and text of each message that has text."""
    if isinstance(prompt, Mapping):
        messages = [(str(one.get("role")), _text(one)) for one in _list(prompt.get("messages"))]
        texts = prompt.get("texts")
        messages += [("user", one) for one in (texts if isinstance(texts, list) else ()) if isinstance(one, str)]
    else:
        messages = [(str(one.get("role") or "user"), str(one.get("text") or "")) for one in _list(prompt)]
    return [(role, text) for role, text in messages if text.strip()]


def _text(message: Mapping[str, Any]) -> str:
    return "".join(str(part.get("text", "")) for part in _list(message.get("parts")) if part.get("type") == "text")


def _value(value: Any) -> str:
    """A variable's value; a preview stands as an object with its beginning."""
    if isinstance(value, Mapping):
        return str(value.get("text") or "")
    return "" if value is None else str(value)


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
