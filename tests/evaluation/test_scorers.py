"""Language, tone, tools, cost, time, likeness, actions and functions of one's own are judged as their files say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from comporta.config.parsing import parse
from comporta.evaluation.assertions import read_assertions
from comporta.evaluation.base import Guarded, Tools, Verdict
from comporta.evaluation.scorers import calls
from comporta.prompts.reading import Reading
from support.judging import ScriptedJudge, answer, called, error, outcome, passes, tree

# ---- language -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "output", "passed"),
    [
        ("pt", "O reembolso leva cinco dias úteis.", True), ("pt-BR", "O seu pedido chega na quinta-feira.", True),
        ("pt-BR", "Pode aceder à sua conta no telemóvel.", False), ("pt-PT", "Você pode acessar pelo celular.", False),
        ("en", "El reembolso tarda cinco días.", False), (["en", "es"], "El reembolso tarda cinco días.", True),
        ("portuguese", "Obrigado!", True), ("de", "Ihre Bestellung ist noch nicht da.", True),
    ],
)  # fmt: skip
async def test_the_language_of_an_answer_is_judged(wanted: Any, output: str, passed: bool) -> None:
    assert await passes("language", wanted, output) is passed


async def test_a_language_that_is_given_wins_over_the_one_that_is_seen() -> None:
    spanish = answer("Está enviado, gracias.", input="Is it sent?", language="es")
    assert await passes("language", "same", spanish)
    assert not await passes("language", "same", answer("Está enviado, gracias.", input="Has it been sent?"))
    assert "given for the input" in await error("language", "same", answer("Sim.", language="what?"))


async def test_what_cannot_be_told_is_asked_of_a_judge_or_an_error() -> None:
    assert "no judge" in await error("language", "pt", "OK 123")
    judge = ScriptedJudge([{"reason": "So.", "label": "fi", "confidence": 0.9}])
    found = await outcome("language", ["fi", "sv"], "Kyllä", judge.tools())
    assert (found.passed, found.heuristic, found.asked) == (True, False, 1)


async def test_a_heuristic_says_that_it_is_one() -> None:
    for kind, value in (("language", "en"), ("tone", "neutral"), ("empathy_at_least", 0.2)):
        found = await outcome(kind, value, "Your order will arrive on Thursday.")
        assert found.heuristic and "heuristic" in found.reason


# ---- tone -----------------------------------------------------------------------------------------------------------


async def test_tone_empathy_and_defensiveness_are_told_without_a_judge() -> None:
    sorry, blaming = "I'm so sorry to hear that, let's fix it.", "As I already said, that's not our fault."
    assert await passes("tone", "empathetic", sorry) and await passes("tone", ["rude", "defensive"], blaming)
    assert await passes("empathy_at_least", 0.5, sorry) and not await passes("empathy_at_least", 0.5, blaming)
    assert await passes("defensiveness_at_most", 0.3, sorry) and not await passes("defensiveness_at_most", 0.3, blaming)


async def test_with_a_judge_the_judge_tells_the_tone_unless_the_heuristic_is_asked_for() -> None:
    judge = ScriptedJudge(lambda call: {"reason": "Warm.", "label": "friendly", "confidence": 1})
    found = await outcome("tone", "friendly", "Bien le bonjour.", judge.tools())
    assert (found.passed, found.heuristic, found.asked) == (True, False, 1)
    found = await outcome("tone", "friendly", "Hey, happy to!", judge.tools(), by="heuristic")
    assert (found.passed, found.heuristic, found.asked) == (True, True, 0)


async def test_a_judge_gives_marks_with_bounds_on_either_side() -> None:
    judge = ScriptedJudge(lambda call: {"reason": "Some.", "score": 4})
    found = await outcome("defensiveness_at_most", 0.4, "Well.", judge.tools(), repeats=2)
    assert (found.passed, found.value, found.passes) == (True, 0.4, (True, True))
    found = await outcome("empathy_at_least", 0.5, "Well.", judge.tools(), repeats=2)
    assert (found.passed, found.value, found.passes) == (False, 0.4, (False, False))


async def test_a_tone_in_another_language_needs_a_judge() -> None:
    text = "Ihre Bestellung ist noch nicht da und wir haben keine Nachricht."
    assert "en, pt, es" in await error("tone", "neutral", text)
    assert "no judge model is configured" in await error("tone", "neutral", text, by="judge")


# ---- tools, cost, time, guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "passed"),
    [
        ("refund", True), ("cancel", False), ({"name": "refund", "arguments": {"id": 7}}, True),
        ({"name": "refund", "arguments": {"id": 8}}, False),
        ({"name": "refund", "arguments": {"to": {"card": True}}}, True),
        ({"name": "refund", "arguments": {"items": ["a", "b"]}}, True),
        ({"name": "refund", "arguments": {"items": ["a"]}}, False),
        ({"name": "refund", "arguments": {"none": None}}, False),
        ({"name": "refund", "times": 1}, True), ({"name": "refund", "times": 2}, False),
    ],
)  # fmt: skip
async def test_a_called_tool_is_found_by_a_subset_of_its_arguments(wanted: Any, passed: bool) -> None:
    call = called("refund", id=7, items=["a", "b"], to={"card": True, "name": "Ana"})
    assert await passes("tool_called", wanted, answer(tool_calls=(call,))) is passed


async def test_arguments_that_are_no_json_fit_nothing_but_the_name() -> None:
    broken = answer(tool_calls=(type(called("a"))("1", "refund", '{"id": 7'),))
    assert await passes("tool_called", "refund", broken)
    assert not await passes("tool_called", {"name": "refund", "arguments": {"id": 7}}, broken)


@pytest.mark.parametrize(
    ("wanted", "passed"), [("cancel", True), ("refund", False), (True, False), (["cancel", "refund"], False)]
)
async def test_tools_that_must_not_be_called(wanted: Any, passed: bool) -> None:
    assert await passes("tool_not_called", wanted, answer(tool_calls=(called("refund"),))) is passed
    assert await passes("tool_not_called", wanted, answer())


async def test_cost_and_time_have_ceilings_and_unknown_is_neither_dear_nor_slow() -> None:
    assert await passes("cost_at_most", "$0.01", answer(cost_microusd=10_000))
    assert not await passes("cost_at_most", "$0.01", answer(cost_microusd=10_001))
    assert "no price" in await error("cost_at_most", "$0.01")
    assert await passes("latency_at_most", "2s", answer(latency_s=2.0))
    assert not await passes("latency_at_most", "500ms", answer(latency_s=0.501))
    assert "not known" in await error("latency_at_most", "2s")


async def test_guards_are_judged_once_calls_say_what_they_did() -> None:
    # Files may not say it yet (test_assertions.py); what it will mean is settled here.
    reading = Reading(tree("{guard_triggered: pii, guard_not_triggered: true}"))
    rows = {kind.word: kind for kind in calls.KINDS}
    triggered, quiet = (rows[word].read(reading, ()) for word in ("guard_triggered", "guard_not_triggered"))
    assert triggered is not None and quiet is not None
    blocked = answer(guards=(Guarded("pii", "block"),))
    assert (await triggered(blocked, Tools())).passed and not (await quiet(blocked, Tools())).passed
    assert (await quiet(answer(guards=()), Tools())).passed


# ---- likeness -------------------------------------------------------------------------------------------------------


class Letters:
    """Texts as how often each letter stands in them."""

    name = "letters"
    dimensions = 26

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        counts = [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        return [tuple(n / (sum(x * x for x in one) ** 0.5 or 1) for n in one) for one in counts]


async def test_likeness_is_the_best_over_the_texts_given() -> None:
    tools = Tools(embedder=Letters())
    found = await outcome("similar_to", ["zzz", "refunds"], "refunds", tools)
    assert (found.passed, found.value) == (True, 1.0)
    assert not (await outcome("similar_to", "zzz", "refunds", tools)).passed
    assert (await outcome("similar_to", "refund", "refunds", tools, at_least=0.99)).passed is False
    assert (await outcome("similar_to", "reference", answer("abc", reference="cab"), tools)).passed
    assert (await outcome("similar_to", "abc", "", tools)).passed is False


async def test_a_model_of_english_alone_refuses_other_languages_with_a_sentence() -> None:
    class English(Letters):
        name = "all-minilm-l6-v2"

    tools = Tools(embedder=English())
    told = await error("similar_to", "The refund takes five days.", "O reembolso leva cinco dias úteis.", tools)
    assert "knows English alone" in told and "is in pt" in told
    assert (await outcome("similar_to", "refunds", "refunds", tools)).passed
    assert "no embedding model" in await error("similar_to", "x", "y")
    assert "no reference" in await error("similar_to", "reference", "y", tools)


# ---- actions --------------------------------------------------------------------------------------------------------


async def test_action_and_confidence_say_where_they_come_from() -> None:
    said = answer('{"action": "escalate", "confidence": 0.4}')
    found = await outcome("action", "escalate", said)
    assert found.passed and found.reason == "the action is escalate (from its JSON)"
    assert await passes("action", ["refund", "escalate"], said) and not await passes("action", "refund", said)
    assert not await passes("confidence_at_least", 0.5, said) and await passes("confidence_at_least", "40%", said)
    tool = await outcome("action", "escalate", answer("One moment.", tool_calls=(called("escalate"),)))
    assert tool.passed and "from a tool call" in tool.reason
    assert not await passes("action", "escalate", "Hello.")
    assert "says no confidence" in await error("confidence_at_least", 0.5, "Hello.")


# ---- functions ------------------------------------------------------------------------------------------------------

CHECKS = """
import asyncio, time

def polite(answer): return "please" in answer.output
def share(answer): return 0.6
def pair(answer): return False, "not good"
async def waits(answer, tools, least): return (await asyncio.sleep(0)) is None and len(answer.output) >= least
def asserts(answer): assert answer.output == "x", "wanted x"
def breaks(answer): return 1 / 0
def nothing(answer): pass
def slow(answer): time.sleep(3); return True
class Deep:
    @staticmethod
    def inner(answer): return True
value = 3
"""


@pytest.fixture
def checks(tmp_path: Path) -> Tools:
    (tmp_path / "checks.py").write_text(CHECKS)
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    return Tools(folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "passed", "reason"),
    [
        ("checks.py:polite", {}, True, "says yes"), ("checks.py:share", {}, True, "gives 0.6"),
        ("checks.py:share", {"pass_at": 0.7}, False, "0.7 asked"), ("checks.py:pair", {}, False, "not good"),
        ("checks.py:waits", {"with": {"least": 3}}, True, ""), ("checks.py:waits", {"with": {"least": 99}}, False, ""),
        ("checks.py:asserts", {}, False, "wanted x"), ("checks:Deep.inner", {}, True, "says yes"),
    ],
)  # fmt: skip
async def test_a_function_of_ones_own_judges(
    checks: Tools, name: str, options: dict[str, Any], passed: bool, reason: str
) -> None:
    found = await outcome("python", name, "please", checks, **options)
    assert found.error is None
    assert found.passed is passed and reason in found.reason


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("checks.py:breaks", "ZeroDivisionError: division by zero (checks.py:"),
        ("checks.py:nothing", "returned NoneType"),
        ("checks.py:missing", "has no missing"), ("gone.py:f", "is not there"), ("checks.py:value", "is no function"),
        ("nowhere_at_all.x:f", "can't be loaded"), ("broken.py:f", "nowhere_to_be_found"),
        ("an-entry-point", "no entry point an-entry-point"), ("checks.py:waits", "least"),
    ],
)  # fmt: skip
async def test_a_function_that_fails_is_an_error_and_no_failure(checks: Tools, name: str, told: str) -> None:
    assert told in await error("python", name, "please", checks)


async def test_a_slow_function_is_left_behind_and_holds_nobody_up(checks: Tools) -> None:
    tools = Tools(folder=checks.folder, function_timeout_s=0.1)
    began = time.monotonic()
    assert "longer than 0.1 s" in await error("python", "checks.py:slow", "please", tools)
    assert time.monotonic() - began < 2.9
    found = asyncio.create_task(outcome("python", "checks.py:slow", "please", checks))
    await asyncio.sleep(0.05)
    assert not found.done()
    assert (await found).passed


async def test_a_function_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def yes(answer): return True")
    text = "assert: [{python: 'own.py:yes'}]"
    node, _ = parse(text, str(tmp_path / "support.yaml"))
    assert node is not None
    [found] = read_assertions(Reading(node), ("assert",))
    assert (await found(answer(), Tools())).passed


async def test_functions_of_assertions_from_elsewhere_are_not_run(checks: Tools) -> None:
    told = await error("python", "checks.py:polite", "please", Tools(folder=checks.folder, functions=False))
    assert "came from elsewhere" in told


async def test_an_installed_entry_point_is_a_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("short", "comporta.text.tokens:estimate_tokens", "comporta.scorers")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points.select(group=group))
    told = await error("python", "short", "please")
    assert told.startswith("short failed: ")


async def test_a_function_may_give_a_whole_verdict(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from comporta.evaluation.base import Verdict\ndef f(answer): return Verdict(True, 0.9, 'good')"
    )
    found = await outcome("python", "own.py:f", "x", Tools(folder=tmp_path))
    assert Verdict(found.passed, found.value, found.reason) == Verdict(True, 0.9, "good")
