"""How people write which prompt they mean: `support`, `support@2.3.1`, `support@staging`."""

from __future__ import annotations

import functools

from comporta.prompts.file import ID
from comporta.prompts.semver import is_version, named
from comporta.types import PromptRef

#: Where neither a version nor a label is named, and the caller's key has no environment.
PRODUCTION = "production"


@functools.lru_cache(4096)
def ref_of(text: str) -> PromptRef:
    """What a text means: after `@` stands a version, else a label. Raises ValueError, in words, where it is neither."""
    id, version = named(text)
    label: str | None = None
    if version is None:
        id, at, label = text.partition("@")
        if not at:
            label = None
        elif not ID.fullmatch(label):
            raise ValueError(f"'{text[:100]}' ends in neither a version (support@2.3.1) nor a label (support@staging)")
    elif not is_version(version):
        raise ValueError(f"'{version[:64]}' in '{text[:100]}' is no version: three numbers, as in support@2.3.1")
    if not ID.fullmatch(id):
        raise ValueError(f"'{id[:100]}' is no id of a prompt: letters, digits, '.', '-' and '_'")
    return PromptRef(id, version, label)


def written(ref: PromptRef) -> str:
    """The same as people write it."""
    after = ref.version or ref.label
    return f"{ref.id}@{after}" if after else ref.id


def label_of(ref: PromptRef, environment: str | None) -> str | None:
    """The label that a reference leads over; None where it names a version."""
    return None if ref.version is not None else ref.label or environment or PRODUCTION
