"""The keys of a prompt file, read into a Prompt: what each may be, and which there are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from comporta.config.tree import Fields, Path, Scalar
from comporta.config.values import parse_duration
from comporta.prompts.answers import read_response_format, read_tools
from comporta.prompts.declared import read_variables
from comporta.prompts.prompt import Prompt
from comporta.prompts.reading import Reading
from comporta.prompts.semver import is_version, meant, named
from comporta.prompts.values import Example, Guard, Guardrails, History, Persona, Turn
from comporta.types import Role

KEYS = (
    "id", "name", "version", "description", "owner", "language", "model", "temperature", "max_tokens", "top_p", "stop",
    "seed", "timeout", "params", "template", "system_prompt", "user_prompt_template", "messages", "examples",
    "examples_as", "reasoning", "persona", "response_format", "tools", "metadata", "variables", "guardrails",
)  # fmt: skip
ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)
_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "ai": "assistant",
}  # fmt: skip
_GUARD_ACTIONS = ("block", "mask", "redact", "rewrite", "restrict", "warn", "log", "flag")


#: Says what is wrong with a guard of one side, in a sentence; None where nothing is.
GuardCheck = Callable[[Literal["input", "output"], Guard], str | None]
#: True takes guards as they are written: whoever asks with the prompt finds out.
Guards = GuardCheck | Literal[True]


class Identity(Struct, frozen=True):
    """Which prompt a file is about."""

    id: str
    version: str


def read_prompt(reading: Reading, stem: str, guards: Guards = True) -> Prompt | None:
    """The prompt; None where not even its name holds. What is wrong stands in `reading`.

    `guards` says what is wrong with a guard; True takes them as they are written.
    """
    if not isinstance(reading.tree, Fields):
        reading.wrong((), "must be a mapping (lines of key: value)")
        return None
    reading.keys((), KEYS)
    identity = _identity(reading, stem)
    if identity is None:
        return None
    prompt = Prompt(
        id=identity.id,
        version=identity.version,
        name=reading.text(("name",)),
        description=reading.text(("description",)),
        owner=reading.text(("owner",)),
        language=reading.text(("language",)),
        template=reading.word(("template",), ("plain", "jinja"), "plain"),  # type: ignore[arg-type]  # one of them
        system_prompt=reading.text(("system_prompt",)),
        user_prompt_template=reading.text(("user_prompt_template",)),
        messages=_messages(reading),
        examples=_examples(reading),
        examples_as=reading.word(("examples_as",), ("turns", "text"), "turns"),  # type: ignore[arg-type]  # one of them
        reasoning=_reasoning(reading),
        persona=_persona(reading),
        response_format=read_response_format(reading, identity.id),
        tools=read_tools(reading),
        metadata=reading.mapping(("metadata",)),
        variables=read_variables(reading),
        guardrails=_guardrails(reading, guards),
        **_sampling(reading),
    )
    if not (prompt.system_prompt.strip() or prompt.user_prompt_template.strip() or prompt.messages or prompt.persona):
        reading.wrong((), "says nothing: it needs a system_prompt, a user_prompt_template, messages or a persona")
    return prompt


def _identity(reading: Reading, stem: str) -> Identity | None:
    written = reading.text(("id",)) if reading.node(("id",)) is not None else stem
    if not written:
        reading.wrong((), "needs an id")
        return None
    found = named(written)
    if not ID.fullmatch(found.id):
        reading.wrong(
            ("id",),
            "is no id: letters, digits, '.', '-' and '_', beginning and ending with a letter or digit, at most 100",
        )
        return None
    version = _version(reading, found.version)
    return None if version is None else Identity(found.id, version)


def _version(reading: Reading, beside_id: str | None) -> str | None:
    written = reading.text(("version",)) if reading.node(("version",)) is not None else beside_id
    if written is None:
        reading.wrong((), "needs a version, such as 1.0.0")
        return None
    if not is_version(written):
        guess = meant(written)
        told = f"; write {guess}" if guess else ", such as 1.4.0 or 2.0.0-beta.1"
        reading.wrong(("version",), f"is no version by semver: three numbers{told}")
        return None
    if beside_id is not None and beside_id != written:
        reading.wrong(("version",), f"says {written}, and the id says {beside_id}")
    return written


def _sampling(reading: Reading) -> dict[str, Any]:
    return {
        "model": reading.text(("model",)) or None,
        "temperature": reading.number(("temperature",), least=0, most=2),
        "max_tokens": reading.whole(("max_tokens",), least=1),
        "top_p": reading.number(("top_p",), least=0, most=1),
        "stop": reading.texts(("stop",)),
        "seed": reading.whole(("seed",), least=-(2**63)),
        "timeout_s": reading.read(("timeout",), parse_duration),
        "extra": _extra(reading),
    }


def _extra(reading: Reading) -> dict[str, Any]:
    found = reading.mapping(("params",))
    for name in found:
        if name in KEYS:
            reading.wrong(("params", name), f"has a key of its own in the file: write {name}: at the top")
    return {name: value for name, value in found.items() if name not in KEYS}


def _messages(reading: Reading) -> tuple[Turn | History, ...]:
    found = [_message(reading, path) for path in reading.items(("messages",))]
    if sum(isinstance(one, History) for one in found) > 1:
        reading.wrong(("messages",), "has more than one place for the history")
    return tuple(one for one in found if one is not None)


def _message(reading: Reading, path: Path) -> Turn | History | None:
    node = reading.node(path)
    if isinstance(node, Scalar) and node.text == "history":
        return History()
    if not isinstance(node, Fields):
        reading.wrong(path, "must be a mapping with role and content, or the word history")
        return None
    if list(node.values) == ["history"]:
        return History() if reading.truth((*path, "history")) is not False else None
    reading.keys(path, ("role", "content"))
    role = reading.word((*path, "role"), tuple(_ROLES), "user")
    if reading.node((*path, "content")) is None:
        reading.wrong(path, "needs content")
        return None
    return Turn(_ROLES[role], reading.text((*path, "content")))


def _examples(reading: Reading) -> tuple[Example, ...]:
    found: list[Example] = []
    for path in reading.items(("examples",)):
        if not reading.fields(path):
            continue
        reading.keys(path, ("input", "output", "user", "assistant"))
        asked = next(((*path, key) for key in ("input", "user") if reading.node((*path, key)) is not None), None)
        answer = next(((*path, key) for key in ("output", "assistant") if reading.node((*path, key)) is not None), None)
        if asked is None or answer is None:
            reading.wrong(path, "needs an input and an output")
            continue
        value = reading.plain(asked)
        found.append(Example(value if isinstance(value, dict) else reading.text(asked), _answer(reading, answer)))
    return tuple(found)


def _answer(reading: Reading, path: Path) -> str:
    """A text; a mapping or list is the JSON that it stands for."""
    value = reading.plain(path)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return reading.text(path).strip("\n")


def _reasoning(reading: Reading) -> tuple[str, ...]:
    """A list of steps, or a mapping with one."""
    path: Path = ("reasoning",)
    if isinstance(reading.node(path), Fields):
        reading.keys(path, ("steps",))
        path = ("reasoning", "steps")
    return tuple(one for one in reading.texts(path) if one.strip())


def _persona(reading: Reading) -> Persona | None:
    path: Path = ("persona",)
    node = reading.node(path)
    if node is None:
        return None
    if isinstance(node, Scalar):
        return Persona(role=reading.text(path))
    if not reading.fields(path):
        return None
    reading.keys(path, ("name", "role", "tone", "traits", "scope", "limits"))
    lists = {name: reading.texts((*path, name)) for name in ("tone", "traits", "scope", "limits")}
    return Persona(name=reading.text((*path, "name")), role=reading.text((*path, "role")), **lists)


def _guardrails(reading: Reading, guards: Guards) -> Guardrails:
    path: Path = ("guardrails",)
    if not reading.fields(path):
        return Guardrails()
    reading.keys(path, ("input", "output"))
    return Guardrails(_guards(reading, "input", guards), _guards(reading, "output", guards))


def _guards(reading: Reading, side: Literal["input", "output"], guards: Guards) -> tuple[Guard, ...]:
    path: Path = ("guardrails", side)
    found: list[Guard] = []
    for place in reading.items(path):
        if isinstance(reading.node(place), Scalar):
            found.append(Guard(reading.text(place)))
        elif reading.fields(place):
            if reading.node((*place, "type")) is None:
                reading.wrong(place, "needs a type, such as pii_detection")
                continue
            action = reading.word((*place, "action"), ("", *_GUARD_ACTIONS), "") or None
            options = {key: one for key, one in reading.mapping(place).items() if key not in ("type", "action")}
            found.append(Guard(reading.text((*place, "type")), action, options))
        else:
            continue
        if guards is not True and (why := guards(side, found[-1])) is not None:
            reading.wrong(place, why)
    return tuple(found)
