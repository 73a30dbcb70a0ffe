"""Feedback and notices with real processes: two workers, a webhook that fails twice, kills, a database that is away."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import comporta
from comporta.notify.channels import Channel
from comporta.notify.notice import Notice
from comporta.notify.notifier import Notifier
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.notify.signing import NOTICE, SIGNATURE, TIMESTAMP, is_genuine
from comporta.store.database import Database
from comporta.testing.servers import redis_server, short_folder
from support.receiving import Receiver, receiving
from support.serving import Served
from support.talking import Answer, ask, chat, until

SECRET = "planted-webhook-secret-0000"
CONFIG = """
providers:
  scripted: {{}}
routes:
  echo: {{model: scripted/echo}}
redis: {{url: "{redis}"}}
server: {{workers: 2}}
notify:
  channels:
    ops: {{type: webhook, url: "{url}", secret: {secret}}}
    pager: {{type: slack, url: "{url}", at_least: critical}}
logging: {{format: json}}
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def served(hook: Receiver) -> Iterator[Served]:
    """One gate of two workers for the tests that don't kill it."""
    with redis_server() as redis, short_folder() as folder:
        gate = Served(folder, CONFIG.format(redis=redis, url=hook.url, secret=SECRET))
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output
        assert SECRET not in gate.output and "secret-path" not in gate.output


def new_key(gate: Served, name: str, team: str | None = None) -> str:
    made = ask(gate, "/admin/keys", {"name": name, "team": team})
    assert made.status == 201 or made.status == 200, made.body
    return str(made.json["secret"])


def judge(gate: Served, key: str | None = "admin", /, idempotency_key: str | None = None, **said: Any) -> Answer:
    headers = {"idempotency_key": idempotency_key} if idempotency_key else {}
    return ask(gate, "/v1/feedback", said, key=key, **headers)


def scores(gate: Served, query: str) -> list[Any]:
    found: list[Any] = ask(gate, f"/admin/scores?{query}").json["data"]
    return found


# ---- feedback -------------------------------------------------------------------------------------------------------


def test_what_a_user_thinks_of_an_answer_stands_beside_its_call(served: Served) -> None:
    key = new_key(served, "shop", "shop")
    answer = chat(served, "echo", "Where is my parcel?", key=key, user="u-7", x_comporta_session="s-7")
    given = judge(served, key, completion_id=answer.json["id"], thumbs="down", comment="No parcel here.", reason="late")
    assert given.status in (200, 202), given.body
    assert [one["name"] for one in given.json["scores"]] == ["thumbs", "comment"]
    assert until(lambda: len(scores(served, f"call={answer.call}")) == 2)
    by_name = {row["name"]: row for row in scores(served, f"call={answer.call}")}
    thumbs = by_name["thumbs"]
    assert (thumbs["value"], thumbs["source"], thumbs["who"], thumbs["reason"]) == (False, "user", "shop", "late")
    assert (thumbs["route"], thumbs["user"], thumbs["session"], thumbs["team"]) == ("echo", "u-7", "s-7", "shop")
    assert by_name["comment"]["value"] == "No parcel here."
    trace = thumbs["trace_id"]
    assert judge(served, key, trace_id=trace, rating=2).json["call_id"] == answer.call
    assert until(lambda: len(scores(served, f"trace={trace}")) == 3)
    figures = ask(served, "/admin/scores/figures?route=echo&group_by=team&name=thumbs").json["data"]
    assert [(one["group"], one["n"], one["mean"]) for one in figures if one["group"] == "shop"] == [("shop", 1, 0.0)]


def test_the_same_feedback_is_kept_once_and_a_changed_mind_counts(served: Served) -> None:
    answer = chat(served, "echo", "twice")
    assert until(lambda: ask(served, f"/admin/calls/{answer.call}").status == 200)
    for _ in range(3):
        assert judge(served, call_id=answer.call, idempotency_key="k-1", name="own", value=1).status == 200
    for thumbs in ("up", "down"):
        assert judge(served, call_id=answer.call, thumbs=thumbs).json["state"] == "joined"

    def settled() -> bool:
        rows = {(row["name"], row["value"]) for row in scores(served, f"call={answer.call}")}
        return rows == {("own", 1.0), ("thumbs", False)}

    assert until(settled), scores(served, f"call={answer.call}")


def test_a_key_judges_only_what_its_team_called(served: Served) -> None:
    mine, colleague = new_key(served, "a-1", "team-a"), new_key(served, "a-2", "team-a")
    stranger, alone, another = new_key(served, "b-1", "team-b"), new_key(served, "lone-1"), new_key(served, "lone-2")
    of_team, of_alone = chat(served, "echo", key=mine), chat(served, "echo", key=alone)
    for call in (of_team.call, of_alone.call):
        assert until(lambda call=call: ask(served, f"/admin/calls/{call}").status == 200)  # type: ignore[misc]
    assert judge(served, colleague, call_id=of_team.call, rating=5).status == 200
    assert judge(served, alone, call_id=of_alone.call, rating=4).status == 200
    for key, call in ((stranger, of_team.call), (alone, of_team.call), (another, of_alone.call), (mine, of_alone.call)):
        refused = judge(served, key, call_id=call, rating=1)
        assert (refused.status, refused.json["error"]["code"]) == (403, "not_your_call")
    assert judge(served, call_id=of_alone.call, name="reviewed", value=True, source="human").status == 200
    assert until(lambda: len(scores(served, f"call={of_alone.call}")) == 2)
    assert until(lambda: [row["value"] for row in scores(served, f"call={of_team.call}")] == [5.0])


def test_feedback_on_an_answer_nobody_knows_waits_and_counts_nowhere(served: Served) -> None:
    given = judge(served, completion_id="chatcmpl-never-made", name="lonely", value=1)
    assert (given.status, given.json["state"], given.json["call_id"]) == (202, "waiting", None)
    assert until(lambda: scores(served, "name=lonely"))
    assert [row["joined"] for row in scores(served, "name=lonely")] == [False]
    assert ask(served, "/admin/scores/figures?name=lonely").json["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[" * 100_000, 400, None),
        (b'"text"', 400, None),
        (b'{"rating": 3}', 400, "trace_id"),
        (b'{"trace_id": "t", "rating": 9}', 400, "rating"),
        (b'{"trace_id": "t", "name": "a b", "value": 1}', 400, "name"),
        (b'{"call_id": "\' or 1=1", "rating": 3}', 400, "call_id"),
        (b'{"trace_id": "t", "comment": "' + b"x" * 300_000 + b'"}', 413, None),
    ],
)
def test_bad_feedback_is_refused_with_its_field(served: Served, body: bytes, status: int, param: str | None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=90)
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/feedback", body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, told["param"]) == (status, param) and told["message"]


def test_feedback_wants_a_key_and_a_post(served: Served) -> None:
    assert judge(served, None, trace_id="t", rating=3).status == 401
    assert judge(served, "cmp-" + "x" * 43, trace_id="t", rating=3).status == 401
    wrong = ask(served, "/v1/feedback", method="GET")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


def test_scores_are_counted_for_prometheus(served: Served) -> None:
    for value in (0.25, 0.5):
        assert judge(served, trace_id="t-m", name="measured", value=value, source="code").status == 202

    def told() -> bool:
        text = ask(served, "/metrics").body.decode()
        counted = 'comporta_scores_total{name="measured",source="code"} 2.0' in text
        return counted and 'comporta_score_values{name="measured",source="code"} 0.75' in text

    assert until(told)


def test_a_users_feedback_goes_with_the_user(served: Served) -> None:
    answer = chat(served, "echo", "mine", user="leaving@example.com")
    judge(served, call_id=answer.call, rating=1, comment="I am Ana")
    assert until(lambda: sum(row["joined"] for row in scores(served, f"call={answer.call}")) == 2)
    erased: dict[str, int] = {}
    after = None
    while True:
        page = ask(served, "/admin/users/erase", {"user": "leaving@example.com", "after": after}).json
        erased |= page["removed"]
        after = page["next"]
        if after is None:
            break
    assert erased["scores"] == 2
    [left] = scores(served, f"call={answer.call}")
    assert (left["name"], left["value"], left["user"]) == ("rating", 1.0, None)


# ---- notices --------------------------------------------------------------------------------------------------------


def send(served: Served, *notices: Notice) -> None:
    """As a worker does, from here."""
    dsn = json.loads((served.data / "run.json").read_text())["dsn"]
    channels = {"ops": {"type": "webhook", "url": "http://x"}, "pager": {"type": "slack", "url": "http://x",
                "at_least": "critical"}}  # fmt: skip
    settings = NotifySection.model_validate({"channels": channels})

    def nobody(section: ChannelSection) -> Channel:
        raise AssertionError(f"nothing is delivered from here ({section.type})")

    async def go() -> None:
        async with Database(dsn) as database:
            notifier = Notifier(database, lambda: settings, nobody)
            await asyncio.gather(*(notifier.send(notice) for notice in notices for _ in range(3)))

    asyncio.run(go())


def test_a_webhook_that_fails_twice_gets_the_event_once_and_signed(served: Served, hook: Receiver) -> None:
    hook.got.clear()
    hook.answers = [500, 503]
    send(served, Notice("roll-1", "rollout.rolled_back", "echo went back", severity="warning", facts={"errors": 0.06}))

    def delivered() -> Any:
        row = ask(served, "/admin/notices/roll-1").json
        return row["deliveries"] if row["deliveries"][0]["state"] == "delivered" else None

    [delivery] = until(delivered)
    assert (delivery["channel"], delivery["attempts"], delivery["told"]) == ("ops", 3, "answered 200")
    assert len(hook.got) == 3 and len({one.body for one in hook.got}) == 1
    for one in hook.got:
        assert one.headers[NOTICE] == "roll-1" and one.json["facts"] == {"errors": 0.06}
        assert is_genuine(SECRET, one.headers[TIMESTAMP], one.body, one.headers[SIGNATURE], time.time())


def test_a_channel_can_be_tried(served: Served, hook: Receiver) -> None:
    hook.answers = []
    assert ask(served, "/admin/channels/ops/test", {}).json["state"] == "delivered"
    hook.answers = [404]
    failed = ask(served, "/admin/channels/pager/test", {}).json
    assert (failed["state"], failed["told"]) == ("failed", "answered 404")
    assert ask(served, "/admin/channels/nobody/test", {}).status == 404
    shown = ask(served, "/admin/channels")
    assert {one["name"]: one["place"] for one in shown.json["data"]} == {"ops": "127.0.0.1", "pager": "127.0.0.1"}
    assert b"secret-path" not in shown.body


def test_a_channel_that_is_configured_while_running_is_used(served: Served, hook: Receiver) -> None:
    hook.answers = []
    text = served.config.read_text()
    served.config.write_text(
        text.replace("    ops: {", f'    later: {{type: webhook, url: "{hook.url}-2"}}\n    ops: {{')
    )
    try:
        assert until(lambda: len(ask(served, "/admin/channels").json["data"]) == 3)
        # Each of the two workers reads by itself: until both have, a test may find none.
        assert until(lambda: ask(served, "/admin/channels/later/test", {}).status == 200)
        assert until(lambda: any(one.path.endswith("-2") for one in hook.got))
    finally:
        served.config.write_text(text)
        assert until(lambda: len(ask(served, "/admin/channels").json["data"]) == 2)


# ---- what dies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone() -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, "providers: {scripted: {}}\nroutes:\n  echo: {model: scripted/echo}\n")
        gate.start()
        yield gate
        if gate.process is not None and gate.process.poll() is None:
            gate.stop()
        for pid in gate.processes():
            os.kill(pid, signal.SIGKILL)


def postgres_of(gate: Served) -> list[int]:
    """The server and all its children, whose command lines tell of no folder."""
    servers = [pid for pid, command in gate.processes().items() if "postgres -D" in command]
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return servers + [pid for pid, parent in parents.items() if parent in servers]


def test_feedback_that_was_taken_outlives_a_kill_and_a_database_that_is_away(alone: Served) -> None:
    answer = chat(alone, "echo", "before")
    assert until(lambda: ask(alone, f"/admin/calls/{answer.call}").status == 200)
    postgres = postgres_of(alone)
    assert postgres
    for pid in postgres:
        os.kill(pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        given = judge(alone, call_id=answer.call, rating=4)
        assert (given.status, given.json["state"]) == (202, "waiting") and time.monotonic() - began_s < 40
    finally:
        for pid in postgres:
            os.kill(pid, signal.SIGCONT)
    assert until(lambda: [row["value"] for row in scores(alone, f"call={answer.call}") if row["joined"]] == [4.0])
    judge(alone, call_id=answer.call, name="last", value=True)
    # Worker and supervisor at once; what they leave ends by itself.
    for pid in [pid for pid, command in alone.processes().items() if "postgres" not in command]:
        os.kill(pid, signal.SIGKILL)
    assert alone.process is not None
    alone.process.wait(60)
    assert until(lambda: not alone.processes())
    alone.start()
    assert until(lambda: {row["name"] for row in scores(alone, f"call={answer.call}")} == {"rating", "last"})


async def test_a_program_judges_the_answer_it_got() -> None:
    with short_folder() as folder:
        (folder / "comporta.yaml").write_text("providers: {scripted: {}}\nroutes:\n  echo: {model: scripted/echo}\n")
        async with comporta.open(folder / "comporta.yaml", data=folder / "data") as gate:
            reply = await gate.chat("Hello", model="echo")
            taken = await gate.feedback(completion_id=reply.id, thumbs="up", comment="Just right")
            assert taken.names == ("thumbs", "comment")
