"""What is done about findings: each act once, tried again where somebody is away, with the failing cases as tests."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from comporta.errors import NotFound, Unavailable
from comporta.evaluation.reading_suite import load_suite_bytes
from comporta.feedback.findings import tables
from comporta.feedback.findings.acting import Acting
from comporta.feedback.findings.people import FindingsOf
from comporta.feedback.findings.reads import get_finding
from comporta.feedback.findings.shapes import ACTIONS, Action
from comporta.feedback.findings.suites import suite_of
from comporta.notify.notice import Notice
from comporta.store.database import Database
from comporta.store.people import person_of
from support.judged import Said, put_calls, put_scores

NOW = datetime.datetime.now(datetime.UTC)
PROMPT = "id: help\nversion: 1.0.0\nmodel: m\nsystem_prompt: Help.\nuser_prompt_template: '{question}'\n"


class Gate:
    """What the gate hears."""

    def __init__(self) -> None:
        self.away = False
        self.heard: list[tuple[str, str, Any]] = []
        self.notices: list[Notice] = []

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        if self.away:
            raise Unavailable("The gate does not run.", code="gate_away")
        self.heard.append((method, path, body))
        if path == "/admin/prompts/help":
            known = ("1.2.0", "1.10.0-rc.1", "1.2.1-finding.0000000000000000")
            return {"versions": [{"version": one} for one in known]}
        return {"text": PROMPT}

    async def send(self, notice: Notice, channels: list[str] | None) -> bool:
        self.notices.append(notice)
        return True


async def put(database: Database, actions: list[Action], version: str | None = "1.0.0") -> str:
    at = NOW - datetime.timedelta(minutes=10)
    said = [Said("Where is my order?", "I can't help with that."), Said("Refund me.", "No.")]
    ids = await put_calls(database, said, at)
    await put_scores(database, "correction", ["On the page of orders."], at, calls=ids[:1])
    new = tables.New(
        id=tables.id_of("answer_drift", "x"), kind="answer_drift", measure="refusals", title="Refusals rose",
        route="support", prompt_id=version and "help", prompt_version=version, since=at, size=0.4,
        examples=tuple(ids),
    )  # fmt: skip
    async with database.connection() as connection:
        assert await tables.put(connection, new, actions)
        assert not await tables.put(connection, new, actions)
    return new.id


async def test_every_action_is_done_once_and_says_what_came_of_it(database: Database) -> None:
    gate = Gate()
    id = await put(database, list(ACTIONS))
    acting = Acting(database, gate.send, gate.ask, lambda: None)
    assert await acting.round() == 5 and await acting.round() == 0
    acts = {act.action: act for act in (await get_finding(database, id)).acts}
    assert {act.state for act in acts.values()} == {"done"}
    assert [notice.kind for notice in gate.notices] == ["finding.answer_drift", "tuning.wanted"]
    pushed = next(body for _, path, body in gate.heard if path.endswith("/push"))
    # No draft stands in the way of the release that mends the prompt, nor do drafts climb on each other.
    assert f"version: 1.2.1-finding.{id.rpartition('-')[2]}" in pushed["files"][0]["text"]
    review = next(body for _, path, body in gate.heard if path == "/admin/reviews")
    assert review["id"] == f"finding/{id}" and len(review["payload"]["calls"]) == 2


async def test_the_failing_cases_are_a_file_of_tests_that_can_be_read(database: Database) -> None:
    gate = Gate()
    id = await put(database, ["update_prompt"])
    with pytest.raises(NotFound):
        await suite_of(database, id)
    await Acting(database, gate.send, gate.ask, lambda: None).round()
    suite = load_suite_bytes((await suite_of(database, id)).encode(), "help.yaml")
    assert suite.prompt == "help" and len(suite.cases) == 2
    assert {one.case.input for one in suite.cases} == {"Where is my order?", "Refund me."}
    assert sorted(one.case.reference or "" for one in suite.cases) == ["", "On the page of orders."]


async def test_a_gate_that_is_away_is_asked_again_later(database: Database) -> None:
    gate = Gate()
    gate.away = True
    id = await put(database, ["open_review"])
    acting = Acting(database, gate.send, gate.ask, lambda: None)
    assert await acting.round() == 0
    (act,) = (await get_finding(database, id)).acts
    assert (act.state, act.attempts, act.told) == ("waiting", 1, "The gate does not run.") and act.at > NOW
    gate.away = False
    async with database.connection() as connection:
        await connection.execute("update finding_act set at = now()")
    assert await acting.round() == 1


async def test_what_can_not_be_done_says_why_and_is_left(database: Database) -> None:
    gate = Gate()
    id = await put(database, ["update_prompt"], version=None)
    assert await Acting(database, gate.send, gate.ask, lambda: None).round() == 0
    (act,) = (await get_finding(database, id)).acts
    assert act.state == "failed" and "No prompt" in act.told


async def test_a_person_is_exported_and_erased_from_examples_windows_and_datasets(database: Database) -> None:
    gate = Gate()
    id = await put(database, ["add_to_dataset"])
    await Acting(database, gate.send, gate.ask, lambda: None).round()
    holding, ana = FindingsOf(database), person_of("ana")
    told = await holding.page(ana, None, 3)
    rest = await holding.page(ana, told.next, 3)
    assert [one["what"] for one in told.rows + rest.rows].count("dataset") == 2 and len(told.rows + rest.rows) == 4
    assert (await holding.erase(ana, None)).count == 4 and (await holding.page(ana, None, 3)).rows == []
    assert (await get_finding(database, id)).examples == ()


async def test_an_act_that_breaks_inside_is_told_and_holds_up_no_other(database: Database) -> None:
    id = await put(database, ["open_review", "alert_team"])
    gate = Gate()

    async def broken(method: str, path: str, body: Any = None) -> Any:
        raise KeyError("text")

    acting = Acting(database, gate.send, broken, lambda: None)
    assert await acting.round() == 1 and await acting.round() == 0
    acts = {act.action: act for act in (await get_finding(database, id)).acts}
    assert (acts["alert_team"].state, acts["open_review"].state) == ("done", "failed")
    assert "KeyError" in acts["open_review"].told and "log" in acts["open_review"].told
