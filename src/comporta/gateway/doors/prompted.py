"""Reading what a body says of a prompt: `"prompt": {"id", "version", "label", "variables"}`, in OpenAI's own shape."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.gateway.doors.reading import field, obj, option, word
from comporta.prompts.refs import ref_of
from comporta.types import JSON, PromptRef

FIELD = "prompt"
#: How the ids of prompts begin that OpenAI itself keeps: they are its own to resolve.
THEIRS = "pmpt_"
_KNOWN = frozenset({"id", "version", "label", "variables"})


class Said(Struct, frozen=True):
    """Which prompt a body names, if any, and its values: a route's variants may name the prompt instead."""

    ref: PromptRef | None
    variables: JSON


def is_ours(given: Any) -> bool:
    """Whether a body's `prompt` means one of this gate: an object, and none that OpenAI keeps."""
    if type(given) is not dict:
        return False
    id = given.get("id")
    return not (type(id) is str and id.startswith(THEIRS))


def said_of(given: JSON) -> Said:
    """What a body's `prompt` says. Raises BadRequest that names the field."""
    for name in given:
        if name not in _KNOWN:
            raise BadRequest(
                f"{FIELD}.{name[:60]} is not known; a prompt has {', '.join(sorted(_KNOWN))}",
                param=f"{FIELD}.{name[:60]}",
            )
    variables = option(given, "variables", FIELD, obj) or {}
    version, label = option(given, "version", FIELD, word), option(given, "label", FIELD, word)
    if given.get("id") is None:
        for name, value in (("version", version), ("label", label)):
            if value is not None:
                raise _confused(f"{FIELD}.{name} needs {FIELD}.id beside it", name)
        return Said(None, variables)
    return Said(meant(field(given, "id", FIELD, word), version, label), variables)


def meant(id: str, version: str | None, label: str | None, at: str = f"{FIELD}.") -> PromptRef:
    """The prompt of an id (also `support@2.3.1`) with version or label. Raises BadRequest where both are given."""
    try:
        ref = ref_of(id)
    except ValueError as why:
        raise _confused(f"{at}id: {why}", "id", at) from None
    named = ref.version or ref.label
    if (version is not None and label is not None) or (named is not None and (version or label) is not None):
        raise _confused(f"prompt {ref.id} is asked for by version and by label at once: give one of them", "label", at)
    return ref if named is not None else PromptRef(ref.id, version, label)


def model_of(raw: JSON) -> str:
    """The body's model; empty where it may be left out, since a prompt may name it."""
    if raw.get("model") is None:
        given = _given(raw)
        if given is not None and is_ours(given) and given.get("id") is not None:
            return ""
    model: str = field(raw, "model", "", word)
    return model


def speaks_for_itself(raw: JSON) -> bool:
    """Whether a prompt may say all there is to say, so that messages may be left out. Raises BadRequest."""
    given = _given(raw)
    if given is None:
        return False
    if is_ours(given):
        said_of(given)
    return True


def _given(raw: JSON) -> JSON | None:
    # A mere name would reach providers that overlook it, and the answer would look as if the prompt had been asked.
    given: JSON | None = option(raw, FIELD, "", obj)
    return given


def _confused(message: str, name: str, at: str = f"{FIELD}.") -> BadRequest:
    return BadRequest(message, code="prompt_reference", param=f"{at}{name}")
