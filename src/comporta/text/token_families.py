"""Which family of tokenizers a model's name belongs to."""

from __future__ import annotations

import re

#: Names by how they begin, most telling first; what is of none is taken for the newest public table.
_FAMILIES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("o200k", re.compile(r"gpt-(?:4o|4\.1|4\.5|[5-9]|oss)|chatgpt|o[1-9](?:-|$)|codex")),
    ("cl100k", re.compile(r"gpt-(?:4|3\.5)|gpt-35|text-embedding-|davinci-002|babbage-002")),
    ("claude", re.compile(r"claude")),
    ("gemini", re.compile(r"gemini|gemma|learnlm")),
    ("llama", re.compile(r"(?:meta-|code)?llama|hermes|nemotron")),
    ("mistral", re.compile(r"mistral|mixtral|codestral|ministral|magistral|devstral|pixtral|voxtral|open-mi")),
    ("deepseek", re.compile(r"deepseek")),
    ("qwen", re.compile(r"qwen|qwq|qvq")),
)
DEFAULT = "o200k"
NAMES: tuple[str, ...] = tuple(name for name, _ in _FAMILIES)


def family_of(model: str | None) -> str:
    """`claude` for `anthropic/claude-sonnet-4-5`, `o200k` for `gpt-4o` and for names that say nothing."""
    if not model:
        return DEFAULT
    name = model.lower().removeprefix("ft:")
    for part in reversed(name.split("/")):
        for family, known in _FAMILIES:
            if known.match(part) or (family not in ("o200k", "cl100k") and known.search(part)):
                return family
    return DEFAULT
