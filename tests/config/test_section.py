"""Sections: frozen, closed, and described by their own source."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from comporta.config.section import descriptions, purpose
from support.settings import Server, Settings


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Server().__setattr__("port", 9)


def test_a_section_refuses_keys_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Server.model_validate({"prot": 9})


def test_keys_are_described_by_docstring_comment_or_field() -> None:
    found = descriptions(Server)
    assert found["host"] == "The address."
    assert found["port"] == "The port | one number."
    assert found["max_body"] == "How large a body may be, at most."
    assert "debug" not in found


def test_a_subclass_keeps_the_descriptions_of_its_base() -> None:
    class Other(Server):
        extra: int = 1
        """More."""

    assert descriptions(Other)["extra"] == "More."
    assert descriptions(Other)["host"] == "The address."


def test_the_purpose_is_the_sections_own_docstring() -> None:
    class Silent(Server):
        pass

    assert purpose(Server) == "Where the gate listens."
    assert purpose(Silent) == ""


def test_the_schema_shows_defaults_as_they_are_written() -> None:
    properties = Settings.model_json_schema()["$defs"]["Server"]["properties"]
    assert properties["max_body"]["default"] == "10MB"
    assert properties["idle"]["default"] == "20s"
    assert properties["host"]["description"] == "The address."
