"""Prompts for applications that ask models themselves: rendered, with an etag, and only for keys that may see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from comporta.errors import BadRequest, ComportaError, Forbidden, NotFound
from comporta.gateway.prompt_pages import PromptPages
from comporta.gateway.server import Asked, Page
from comporta.prompts.kept import Commit, Source
from comporta.prompts.registry import Registry
from comporta.store.database import Database
from comporta.types import Caller
from support.registry import database, module_dsn

__all__ = ["database", "module_dsn"]

FILE = """
id: support
version: {version}
model: openai/{model}
temperature: 0.1
system_prompt: You are version {version}.
user_prompt_template: "{{question}}"
variables:
  - {{name: question, validation: "string, max 40 chars"}}
  - {{name: count, type: number, required: false}}
"""


@pytest.fixture
async def registry(database: Database) -> Registry:
    made = Registry(database)
    await made.load()
    for version, model in (("1.0.0", "a"), ("2.0.0", "b")):
        file = Source("support.yaml", FILE.format(version=version, model=model))
        await made.push([file], "ana", commit=Commit("c0ffee1", "Ana", "More"))
    await made.deploy("support", "1.0.0", "production", "ana", "first")
    await made.deploy("support", "2.0.0", "staging", "ana", "next")
    return made


Show = Callable[..., Any]


@pytest.fixture
def show(registry: Registry) -> Show:
    """Ask a page as a caller; `body` makes it a POST."""

    async def shown(
        rest: str, *, caller: Caller | None = None, body: Any = None, etag: str | None = None, **query: str
    ) -> Page:
        pages = PromptPages(registry, lambda secret: caller or Caller("k"))
        headers = {"authorization": "Bearer x", **({"if-none-match": etag} if etag else {})}
        if body is None:
            return await pages.show(Asked(rest, query, headers))
        return await pages.render(Asked(rest, query, headers, msgspec.json.encode(body)))

    return shown


async def test_a_prompt_is_shown_rendered_in_the_words_of_chat_completions(show: Show) -> None:
    found = msgspec.json.decode((await show("support", question="Where?", count="3")).body)
    assert (found["id"], found["version"], found["label"], found["model"]) == (
        "support", "1.0.0", "production", "openai/a",
    )  # fmt: skip
    assert found["messages"] == [
        {"role": "system", "content": "You are version 1.0.0."}, {"role": "user", "content": "Where?"},
    ]  # fmt: skip
    assert found["parameters"] == {"temperature": 0.1} and found["deploy"]["author"] == "Ana"


@pytest.mark.parametrize(
    ("query", "caller", "version"),
    [
        ({"version": "2.0.0"}, None, "2.0.0"), ({"label": "staging"}, None, "2.0.0"),
        ({}, Caller("k", environment="staging"), "2.0.0"),
    ],
)  # fmt: skip
async def test_it_is_looked_up_as_in_a_call(
    show: Show, query: dict[str, str], caller: Caller | None, version: str
) -> None:
    found = msgspec.json.decode((await show("support", caller=caller, question="?", **query)).body)
    assert found["version"] == version
    posted = msgspec.json.decode(
        (await show("support/render", caller=caller, body={"variables": {"question": "?"}, **query})).body
    )
    assert posted == found


async def test_what_has_not_changed_is_a_304_until_the_label_moves(registry: Registry, show: Show) -> None:
    first = await show("support", question="?")
    etag = dict(first.headers)["etag"]
    for held in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await show("support", question="?", etag=held)
        assert (again.status, again.body, dict(again.headers)["etag"]) == (304, b"", etag)
    assert (await show("support", question="!", etag=etag)).status == 200
    await registry.deploy("support", "2.0.0", "production", "ana", "up")
    moved = await show("support", question="?", etag=etag)
    assert moved.status == 200 and dict(moved.headers)["etag"] != etag


@pytest.mark.parametrize(
    ("rest", "given", "code"),
    [
        ("nobody", {"question": "?"}, "prompt_not_found"), ("support", {}, "invalid_variable"),
        ("support", {"question": "?", "count": "many"}, "invalid_variable"),
        ("support", {"question": "?", "label": "x", "version": "1.0.0"}, "prompt_reference"),
        ("support", {"question": "?", "label": "nowhere"}, "prompt_not_found"), ("a/b", {}, "not_found"),
        ("", {}, "not_found"),
    ],
)  # fmt: skip
async def test_what_can_not_be_shown_says_why(show: Show, rest: str, given: dict[str, str], code: str) -> None:
    with pytest.raises(ComportaError) as refused:
        await show(rest, **given)
    assert refused.value.code == code and refused.value.status < 500


async def test_a_body_with_an_unknown_field_or_another_path_is_refused(show: Show) -> None:
    with pytest.raises(BadRequest, match="variabels is not known"):
        await show("support/render", body={"variabels": {}})
    with pytest.raises(NotFound):
        await show("support", body={})


async def test_a_key_with_a_list_of_names_sees_the_prompts_on_it(show: Show) -> None:
    with pytest.raises(Forbidden):
        await show("support", caller=Caller("k", allow=("openai/a",)), question="?")
    assert (await show("support", caller=Caller("k", allow=("prompt/support",)), question="?")).status == 200
