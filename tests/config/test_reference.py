"""The reference page: every key with its path, type, default and purpose."""

from __future__ import annotations

import subprocess
import sys

import pytest

from comporta.config.reference import render
from comporta.config.section import Section
from support.settings import Settings


@pytest.mark.parametrize(
    "row",
    [
        "| `version` | text | `1` |  |",
        "| `server.host` | text | `127.0.0.1` | The address. |",
        "| `server.port` | whole number (at least 1, at most 65535) | `8080` | The port \\| one number. |",
        "| `server.max_body` | size | `10MB` | How large a body may be, at most. |",
        "| `server.idle` | duration (more than 0s) | `20s` |  |",
        "| `server.debug` | true or false | `false` |  |",
        "| `routes` | mapping of name to part, see below | `{}` |  |",
        "| `routes.<name>.variants` | list of part, see below (at least 1) | required |  |",
        "| `routes.<name>.capture` | one of `full`, `preview`, `hashed`, `off` | `preview` |  |",
        "| `routes.<name>.variants[].model` | text | required |  |",
        "| `routes.<name>.variants[].params` | mapping of anything | `{}` |  |",
        "| `providers.<name>.region` | text | required |  |",
        "| `providers.<name>.type` | `plain` | required |  |",
        "| `admin` | secret or nothing | nothing |  |",
        "| `limit` | money or nothing | nothing |  |",
        "| `sample` | share | `5%` |  |",
        '| `regions` | list of text | `["br", "eu", "us"]` |  |',
        "## `server`",
        "## `routes.<name>`",
        "### `routes.<name>.variants[]`",
        "Where the gate listens.",
    ],
)
def test_every_key_has_its_row(row: str) -> None:
    assert row in render(Settings).splitlines()


def test_a_section_that_holds_itself_is_described_once() -> None:
    class Tree(Section):
        """Grows."""

        children: dict[str, Tree] = {}  # noqa: RUF012

    class Root(Section):
        tree: Tree = Tree()

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    page = render(Root)
    assert page.count("Grows.") == 1
    assert "| `tree.children` | mapping of name to part, see below | `{}` |  |" in page


def test_the_page_is_the_same_in_every_process() -> None:
    code = (
        "from support.settings import Settings; from comporta.config.reference import render;"
        "print(render(Settings), end='')"
    )
    pages = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": "tests:src", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert pages == {render(Settings)}
