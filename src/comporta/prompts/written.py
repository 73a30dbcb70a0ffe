"""A prompt written as a prompt file again: what `show` prints and what versions are compared by.

Reading the text gives a prompt of the same digest, whatever the file looked like that it came from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from msgspec import structs

from comporta.config.parsing import resolve
from comporta.config.values import show_duration
from comporta.prompts.answers import schema_name
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Example, Guard, History, Rules, Turn, Variable
from comporta.types import ResponseFormat, Tool

_WIDTH = 120
_RULES = {"minimum": "min", "maximum": "max"}


def text_of(prompt: Prompt) -> str:
    """The whole file, keys in their usual order."""
    said = {key: value for key, value in _said(prompt) if value not in (None, "", [], {})}
    text: str = yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def diff(before: Prompt | None, after: Prompt) -> str:
    """What changes from one version to the other, as a unified diff; the whole text where there was none."""
    old = [] if before is None else text_of(before).splitlines()
    lines = difflib.unified_diff(
        old, text_of(after).splitlines(), "nothing" if before is None else before.label, after.label, lineterm=""
    )
    return "\n".join(lines)


class _Dumper(yaml.SafeDumper):
    """Long texts as they are read, and what our reader would take for a number in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    style = None if resolve(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _said(prompt: Prompt) -> Iterator[tuple[str, Any]]:
    """What the file says, key by key; what is left out has its default."""
    for key in ("id", "name", "version", "description", "owner", "language", "model"):
        yield key, getattr(prompt, key)
    for key in ("temperature", "max_tokens", "top_p", "seed"):
        yield key, getattr(prompt, key)
    yield "stop", list(prompt.stop)
    yield "timeout", None if prompt.timeout_s is None else show_duration(prompt.timeout_s)
    yield "params", prompt.extra
    yield "template", None if prompt.template == "plain" else prompt.template
    yield "persona", _persona(prompt)
    yield "system_prompt", prompt.system_prompt
    yield "reasoning", list(prompt.reasoning)
    yield "messages", [_message(one) for one in prompt.messages]
    yield "user_prompt_template", prompt.user_prompt_template
    yield "variables", [_variable(one) for one in prompt.variables if not (one.implied or one.inherited)]
    yield "examples", [_example(one) for one in prompt.examples]
    yield "examples_as", None if prompt.examples_as == "turns" else prompt.examples_as
    yield "response_format", _response_format(prompt.response_format, prompt.id)
    yield "tools", [_tool(one) for one in prompt.tools]
    yield "guardrails", _guardrails(prompt)
    yield "metadata", prompt.metadata


def _persona(prompt: Prompt) -> dict[str, Any]:
    # Built in, so that tuples are lists.
    return {} if prompt.persona is None else dict(msgspec.to_builtins(prompt.persona))


def _message(one: Turn | History) -> Any:
    return "history" if isinstance(one, History) else {"role": one.role, "content": one.content}


def _example(one: Example) -> dict[str, Any]:
    return {"input": one.input, "output": one.output}


def _variable(one: Variable) -> dict[str, Any]:
    rules = {
        _RULES.get(name, name): list(value) if isinstance(value, tuple) else value
        for name, value in structs.asdict(one.rules).items()
        if value != getattr(Rules(), name)
    }
    said = {
        "name": one.name,
        "type": None if one.type == "string" else one.type,
        "required": None if one.required == (one.default is None) else one.required,
        "default": one.default,
        "description": one.description or None,
        "validation": rules or None,
        "sanitization": list(one.sanitization) or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _response_format(one: ResponseFormat | None, prompt_id: str) -> Any:
    if one is None or one.kind != "json_schema":
        return None if one is None else {"json_object": "json"}.get(one.kind, one.kind)
    if one.strict is None and one.description is None and one.name == schema_name(prompt_id):
        return one.schema
    said = {"name": one.name, "description": one.description, "strict": one.strict, "schema": one.schema}
    return {"type": "json_schema", "json_schema": {key: value for key, value in said.items() if value is not None}}


def _tool(one: Tool) -> dict[str, Any]:
    said = {"name": one.name, "description": one.description, "parameters": one.parameters, "strict": one.strict}
    return {key: value for key, value in said.items() if value is not None}


def _guardrails(prompt: Prompt) -> dict[str, Any]:
    sides = {"input": prompt.guardrails.input, "output": prompt.guardrails.output}
    return {side: [_guard(one) for one in guards] for side, guards in sides.items() if guards}


def _guard(one: Guard) -> dict[str, Any]:
    return {"type": one.type, **({} if one.action is None else {"action": one.action}), **one.options}
