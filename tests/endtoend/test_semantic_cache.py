"""The semantic cache through the gate, with the real embedding model: header, record, guards, command line."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import openai
import pytest

from comporta.embedding.minilm import MiniLM
from comporta.testing.minilm import builder_hash
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.serving import CONFIG, SECRETS, Fakes, Served
from support.talking import Answer, ask, chat, recorded, until

MORE = """
cache:
  enabled: true
  semantic: {enabled: true, shadow: 0%}
"""
ROUTES = """
  faq:
    model: openai/faq
  doors:
    model: openai/doors
  checked:
    model: openai/checked
    cache: {semantic: {shadow: 100%}}
  guarded:
    model: openai/guarded
    guardrails:
      output: [{type: regex, pattern: swordfish, action: block}]
"""
RESET, RESET_TOO = "How do I reset my password?", "How can I reset my password?"


def configured(fakes: Fakes, routes: str = ROUTES) -> str:
    config = CONFIG.format(
        openai=fakes.openai.url, anthropic=fakes.anthropic.url, gemini=fakes.gemini.url, ollama=fakes.ollama.url
    )
    return config.replace("\nroutes:", "\nroutes:" + routes.rstrip()) + MORE


@pytest.fixture(scope="module")
def gate(fakes: Fakes, pytestconfig: pytest.Config) -> Iterator[Served]:
    built: Path = pytestconfig.cache.mkdir(f"minilm-{builder_hash()}")
    model = MiniLM(built)
    asyncio.run(model.warm())
    model.close()
    with short_folder() as folder:
        served = Served(folder, configured(fakes), SECRETS)
        shutil.copytree(built, served.data / "cache")
        served.start()
        assert until(lambda: looked(served)), served.output
        yield served
        assert served.stop() == 0, served.output


def looked(gate: Served) -> bool:
    """Whether the model is loaded: a new question is then a plain miss. On a route whose entries nobody counts."""
    return chat(gate, "support", "What is the weather like today?", seed=1).headers["x-comporta-cache"] != (
        "miss; semantic=off; reason=embedder"
    )


def entries(gate: Served, route: str) -> int:
    return sum(one["entries"] for one in ask(gate, "/admin/cache").json["routes"] if one["route"] == route)


def kept(gate: Served, route: str, text: str) -> Answer:
    """A first answer, once it is stored: a moment after it was given."""
    before = entries(gate, route)
    answer = chat(gate, route, text)
    assert answer.headers["x-comporta-cache"].startswith("miss"), answer.headers
    assert until(lambda: entries(gate, route) > before)
    return answer


class Told(Protocol):
    """An answer, as far as its headers go."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What came before the body, by lower-case name."""


T = TypeVar("T", bound=Told)


def in_time(gate: Served, asked: Callable[[str], T]) -> T:
    """An answer, asked for until the look by meaning was made in time: this machine may be busy with other tests.

    `asked` is given blanks to put behind its text, and tags what is kept as `late`.
    """
    found: list[T] = []

    def looked() -> bool:
        # What a late look was answered with must not be found by the next one, in either cache: past the exact one by
        # a blank more, and cleared from the other.
        if found:
            ask(gate, "/admin/cache?tag=late", method="DELETE")
        found.append(asked(" " * len(found)))
        return not any(f"reason={why}" in found[-1].headers["x-comporta-cache"] for why in ("embedder", "store"))

    until(looked)
    return found[-1]


def alike(gate: Served, route: str, text: str) -> Answer:
    """An answer for which the look by meaning was made."""
    return in_time(gate, lambda blanks: chat(gate, route, text + blanks, x_comporta_cache_tags="late"))


def typed(gate: Served, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env=gate.environment, cwd=gate.folder, text=True,
        capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip


def test_a_question_that_means_the_same_is_answered_from_memory(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="By the link."), *[Step(text="Other.")] * 9, model="faq")
    assert kept(gate, "faq", RESET).text == "By the link."
    hit = alike(gate, "faq", RESET_TOO)
    assert hit.text == "By the link." and hit.headers["x-comporta-cost-usd"] == "0.000000"
    assert hit.headers["x-comporta-cache"].startswith("semantic; similarity=0.9")
    call = recorded(gate, hit.call)["call"]
    assert call["cache"] == "semantic" and call["notes"]["cache"]["kind"] == "semantic"
    pt = chat(gate, "faq", "Como é que eu mudo a minha senha?")
    assert pt.headers["x-comporta-cache"] == "miss; semantic=off; reason=language"


def test_it_is_given_at_every_door_and_in_every_form(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="At nine in the morning."), Step(text="Other."), Step(text="Other."), model="doors")
    kept(gate, "doors", "When does the museum open?")
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        late = {"x-comporta-cache-tags": "late"}
        raw = in_time(gate, lambda blanks: client.chat.completions.with_raw_response.create(
            model="doors", messages=[{"role": "user", "content": "When will the museum open?" + blanks}], stream=True,
            extra_headers=late,
        ))  # fmt: skip
        assert raw.headers["x-comporta-cache"].startswith("semantic"), raw.headers
        pieces = [chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices]
        assert "".join(pieces) == "At nine in the morning."
        said = in_time(gate, lambda blanks: client.responses.with_raw_response.create(
            model="doors", input="When does the museum open?" + blanks, extra_headers=late
        ))  # fmt: skip
        assert said.headers["x-comporta-cache"].startswith("semantic"), said.headers
        assert said.parse().output_text == "At nine in the morning."


def test_cached_answers_pass_the_guards_of_today(fakes: Fakes, gate: Served) -> None:
    """A guard that blocks an answer keeps it out of the cache; one that comes later stops what was kept."""
    fakes.openai.script(Step(text="The word is swordfish."), *[Step(text="No word.")] * 20, model="guarded")
    assert chat(gate, "guarded", RESET).status == 400
    after = chat(gate, "guarded", RESET_TOO)
    assert after.status == 200 and after.text == "No word." and after.headers["x-comporta-cache"].startswith("miss")
    seeds = {"entries": [{"question": "What is the code word of today?", "answer": "swordfish", "route": "guarded"}]}
    assert ask(gate, "/admin/cache/seed", seeds).json["stored"] == 1
    blocked = alike(gate, "guarded", "What is today's code word?")
    assert blocked.status == 400 and blocked.json["error"]["code"] == "guardrail_blocked", blocked.body
    assert blocked.headers["x-comporta-cache"].startswith("semantic")


def test_hits_are_answered_afresh_and_a_wrong_one_raises_the_threshold(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(
        Step(text="Within 30 days."), *[Step(text="Within 14 days, by post.")] * 40, model="checked"
    )  # fmt: skip
    kept(gate, "checked", "How long do I have to return it?")
    hit = alike(gate, "checked", "How long do I have to return this?")
    assert hit.text == "Within 30 days.", hit.headers

    def moved() -> Any:
        routes = {one["route"]: one for one in ask(gate, "/admin/cache").json["routes"]}
        return routes["checked"] if routes["checked"]["threshold"] > 0.92 else None

    found = until(moved)
    assert found and found["threshold"] == pytest.approx(0.94) and found["promise"] == "no"
    trace = recorded(gate, hit.call)["call"]["trace_id"]
    calls = until(lambda: [c for c in ask(gate, f"/admin/calls?trace={trace}").json["data"] if c["parent_id"]])
    assert [(c["feature"], c["route"]) for c in calls] == [("cache:checked", "checked")]


def test_the_command_line_shows_seeds_and_clears(gate: Served, tmp_path: Path) -> None:
    file = tmp_path / "faq.jsonl"
    rows = [{"question": "Do you ship to Brazil?", "answer": "Yes,\u2028in ten days.", "tags": ["shipping"]}]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    assert typed(gate, "cache", "seed", str(file)).returncode == 1, "no line names a route"
    done = typed(gate, "cache", "seed", str(file), "--route", "faq", "--tag", "v1", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"stored": 1, "refused": []}, done.stderr
    assert alike(gate, "faq", "Do you ship to brazil").text == "Yes,\u2028in ten days."
    shown = typed(gate, "cache", "status")
    assert shown.returncode == 0 and "faq" in shown.stdout and "more checks are needed" in shown.stdout, shown.stderr
    cleared = typed(gate, "cache", "clear", "--tag", "shipping", "--json")
    assert json.loads(cleared.stdout) == {"removed": 1}, cleared.stderr
    assert chat(gate, "faq", "do you ship to Brazil").headers["x-comporta-cache"] == "miss"
    for words in (["clear"], ["seed", str(tmp_path / "none.jsonl")]):
        assert typed(gate, "cache", *words).returncode != 0
    file.write_text('{"question": "x"}\n')
    wrong = typed(gate, "cache", "seed", str(file), "--route", "faq")
    assert wrong.returncode == 1 and "line 1 needs answer" in wrong.stderr
    astray = [{"question": "Where?", "answer": "Here.", "route": route} for route in ("fqa", "support-off", "faq")]
    told = ask(gate, "/admin/cache/seed", {"entries": astray}).json
    assert told["stored"] == 1 and "there is no route or model 'fqa'" in str(told["refused"]), told
