"""`comporta findings`, typed at a running gate, and the admin API that it asks."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Type
from comporta.evaluation.reading_suite import load_suite_bytes
from comporta.feedback.findings import tables
from comporta.feedback.findings.acting import Acting
from comporta.feedback.findings.commenting import Commenting
from comporta.store.database import Connection, Database
from support.judged import Said, put_calls, put_scores
from support.serving import Served
from support.talking import ask, until

NOW = datetime.datetime.now(datetime.UTC)
COLD = (
    "The soup was cold again",
    "My soup arrived cold",
    "Cold soup, terrible",
    "The soup came cold, awful",
    "cold soup",
)


def put(served: Served, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """Something done in the gate's own database."""

    async def done() -> Any:
        dsn = json.loads((served.data / "run.json").read_text())["dsn"]
        async with Database(dsn) as database:
            return await work(database)

    return asyncio.run(done())


async def nobody(*_: Any) -> Any:
    raise AssertionError("nobody is asked")


@pytest.fixture(scope="module")
def found(served: Served) -> str:
    """A finding with two calls that show it, gathered into a dataset."""

    async def work(database: Database) -> str:
        calls = await put_calls(database, [Said("Where is my order?"), Said("Refund <b>me</b>")], NOW)
        new = tables.New(
            id="answer_drift-0123456789abcdef", kind="answer_drift", measure="refusals", title="Refusals rose",
            route="support", prompt_id="help", prompt_version="1.0.0", since=NOW, size=0.4, before=0.1, after=0.5,
            low=0.3, high=0.5, facts={"unit": "share"}, examples=tuple(calls),
        )  # fmt: skip
        async with database.connection() as connection:
            await tables.put(connection, new, ["add_to_dataset"])
        await Acting(database, nobody, nobody, lambda: None).round()
        return new.id

    id: str = put(served, work)
    # The gate's own worker may have been the one who did it.
    assert until(lambda: ask(served, f"/admin/findings/{id}").json["acts"][0]["state"] == "done")
    return id


def test_a_finding_is_listed_shown_and_becomes_tests(at_gate: Type, found: str, tmp_path: Path) -> None:
    listed = at_gate("findings", "list", "--kind", "answer_drift", "--route", "support")
    assert "Refusals rose" in listed.out and found in listed.out
    assert found not in at_gate("findings", "list", "--route", "elsewhere").out
    shown = at_gate("findings", "show", found).out
    assert "refusals" in shown and "unit" in shown and "share" in shown and "Where is my order?" in shown
    assert "add_to_dataset" in shown and "2 examples in dataset help." in shown
    whole = json.loads(at_gate("findings", "show", found, "--json").out)
    assert (whole["size"], whole["facts"]["unit"], len(whole["examples"])) == (0.4, "share", 2)
    written = at_gate("findings", "tests", found).out
    suite = load_suite_bytes(written.encode(), "help.yaml")
    assert suite.prompt == "help" and {one.case.input for one in suite.cases} == {
        "Where is my order?",
        "Refund <b>me</b>",
    }


def test_a_finding_is_acknowledged_closed_with_a_note_and_opened_again(at_gate: Type, found: str) -> None:
    assert at_gate("findings", "close", found, "--acknowledge").out == f"{found}: acknowledged\n"
    assert at_gate("findings", "close", found, "--note", "the campaign").out == f"{found}: closed\n"
    assert found not in at_gate("findings", "list").out
    closed = json.loads(at_gate("findings", "list", "--state", "closed", "--json").out)["data"]
    assert [(one["note"], one["state"]) for one in closed if one["id"] == found] == [("the campaign", "closed")]
    assert closed[0]["by"] and closed[0]["state_at"]
    assert at_gate("findings", "close", found, "--reopen").out == f"{found}: open\n"
    assert found in at_gate("findings", "list", "--state", "all").out


def test_findings_come_page_by_page_and_none_twice(served: Served, found: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            for n in range(5):
                await _more(connection, n)

    put(served, work)
    seen: list[str] = []
    after = ""
    while True:
        page = ask(served, f"/admin/findings?kind=cost_drift&limit=2{after}").json
        seen += [one["id"] for one in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == [f"cost_drift-{n:016x}" for n in range(5)]


async def _more(connection: Connection, n: int) -> None:
    new = tables.New(
        id=f"cost_drift-{n:016x}", kind="cost_drift", measure="cost", title="Dearer", route="pages", prompt_id=None,
        prompt_version=None, since=NOW, size=1.0,
    )  # fmt: skip
    await tables.put(connection, new, [])


def test_complaints_that_are_alike_and_trends_are_told(at_gate: Type, served: Served) -> None:
    async def work(database: Database) -> None:
        at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        await put_scores(database, "comment", COLD * 2, at)
        for week in range(4):
            good = [n >= 2 * week for n in range(20)]
            await put_scores(database, "thumbs", good, at - datetime.timedelta(weeks=3 - week))
        await Commenting(database, ["sentiment_analysis", "clustering"], lambda kind: []).round()

    put(served, work)
    told = at_gate("findings", "complaints", "--route", "support").out
    assert "soup" in told and "%" in told
    (one,) = json.loads(at_gate("findings", "complaints", "--json").out)
    assert one["complaints"] >= 6 and len(one["examples"]) == 3 and one["routes"] == ["support"]
    (trend,) = json.loads(at_gate("findings", "trends", "--name", "thumbs", "--json").out)
    assert trend["direction"] == "falling" and len(trend["weeks"]) == 4 and trend["high"] < 0
    shown = at_gate("findings", "trends", "--name", "mood").out
    assert "mood" in shown and "unknown" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "nothing-like-it"], "There is no finding"),
        (["close", "nothing-like-it"], "There is no finding"),
        (["tests", "nothing-like-it"], "No examples were gathered"),
        (["list", "--kind", "weather"], "kind"),
        (["list", "--state", "lost"], "state"),
        (["close", "some", "--acknowledge", "--reopen"], "one of --acknowledge and --reopen"),
        (["trends", "--weeks", "54"], "--weeks"),
    ],
)
def test_mistakes_are_told_in_a_sentence(at_gate: Type, words: list[str], told: str) -> None:
    found = at_gate("findings", *words)
    assert found.code != 0 and told in " ".join(found.err.split()), found.err


def test_the_pages_are_for_administrators_and_say_what_is_wrong(served: Served) -> None:
    key = ask(served, "/admin/keys", {"name": "shop"}).json["secret"]
    for path in ("", "/complaints", "/trends", "/x", "/x/tests"):
        assert ask(served, f"/admin/findings{path}", key=None).status == 401
        assert ask(served, f"/admin/findings{path}", key=key).status == 403
    assert ask(served, "/admin/findings/x/state", {"state": "closed"}, key=key).status == 403
    for query, param in (
        ("after=nonsense", "after"),
        ("limit=0", "limit"),
        ("since=soon", "since"),
        ("colour=red", "colour"),
    ):
        refused = ask(served, f"/admin/findings?{query}")
        assert refused.status == 400 and refused.json["error"]["param"] == param
    assert ask(served, "/admin/findings/x/state", {"state": "lost"}).json["error"]["param"] == "state"
