"""The new configuration as YAML text: what was left over on top, a word over each section."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from comporta.cli.importing.litellm import Imported, told

_WIDTH = 110
_WORDS = {
    "providers": "Where models are asked. Keys stand in the variables that `env` names.",
    "models": "Prices and sizes that the catalogue doesn't know, or that were said otherwise.",
    "routes": "The names that applications ask for.",
    "retry": "How often a variant is asked again.",
    "breaker": "When a provider's model is left alone after failures.",
    "cache": "Answers given again for identical calls of the same team.",
    "redis": "Shared by several workers.",
    "budgets": "In calendar periods (UTC): LiteLLM's begin with the key.",
    "spending": "Models without a price (your own ones) are asked under a budget too, and not counted.",
    "limits": "Towards models, as `rpm` and `tpm` were; and for every key.",
}


def text_of(found: Imported, source: str) -> str:
    """The whole file."""
    lines = [f"# Made from {source} by `comporta import litellm`."]
    lines += ["#", "# Not carried over, or in part:"] if found.left else []
    for one in found.left:
        text = told(one) if one.line else f"{one.path}: {one.why}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_long_words=False)
    for name, section in found.sections.items():
        lines += ["", *([f"# {_WORDS[name]}"] if name in _WORDS else []), _yaml({name: section}).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    made: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return made


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, and spells out what appears twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True
