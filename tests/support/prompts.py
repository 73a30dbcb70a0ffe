"""Prompt files in a line: what tests of prompts write them with."""

from __future__ import annotations

from textwrap import dedent

import pytest

from comporta.errors import ConfigError
from comporta.prompts.file import Guards
from comporta.prompts.folder import load_bytes
from comporta.prompts.includes import Find
from comporta.prompts.prompt import Prompt

HEAD = "id: support\nversion: 1.0.0\n"


def prompt(text: str, *, find: Find | None = None, guards: Guards = True) -> Prompt:
    """The one prompt of a file that begins with id and version."""
    return load_bytes((HEAD + dedent(text)).encode(), "prompts/support.yaml", find, guards=guards).get("support")


def refused(text: str, *, head: str = HEAD, guards: Guards = True) -> str:
    """What is told about a file that doesn't hold."""
    with pytest.raises(ConfigError) as caught:
        load_bytes((head + dedent(text)).encode(), "prompts/support.yaml", guards=guards)
    return caught.value.message
