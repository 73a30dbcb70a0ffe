"""Budgets that act, on real processes: two workers with one Redis, a webhook that fails at first, and a restart."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from comporta.testing.servers import redis_server, short_folder
from support.receiving import Got, Receiver, receiving
from support.serving import Served
from support.talking import Answer, ask, chat, recorded, until

CONFIG = """
server: {{workers: 2}}
redis: {{url: '{redis}'}}
providers:
  scripted: {{}}
models:
  scripted/echo: {{price: {{input: $1000, output: $1000}}}}
  scripted/small: {{price: {{input: $1, output: $1}}}}
routes:
  support:
    variants:
      - {{model: scripted/echo}}
      - {{model: scripted/small, weight: 0}}
notify:
  channels:
    team: {{type: webhook, url: '{url}', secret: s3cret}}
budget_management:
  budgets:
    - name: red
      team: red
      monthly_limit: $1
      alert_thresholds: [50]
      actions: {{at_50: notify_team, at_80: switch_to_cheaper_model}}
    - name: green
      team: green
      daily_limit: $0.02
      actions: {{at_100: throttle}}
      throttle: {{requests_per_minute: 2}}
    - {{name: each, team: blue, per: user, daily_limit: $0.05}}
  cost_allocation:
    tags:
      - feature: [search, chat]
      - {{team: [red, green, blue], required: true}}
    showback: {{enabled: true, dashboard_url: https://costs.example.com}}
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def gate(receiver: Receiver) -> Iterator[Served]:
    with short_folder() as folder, redis_server() as redis:
        served = Served(folder, CONFIG.format(redis=redis, url=receiver.url))
        served.start()
        yield served
        served.stop()


def key_of(gate: Served, name: str, **facts: str) -> str:
    secret: str = ask(gate, "/admin/keys", {"name": name, **facts}).json["secret"]
    # Every worker hears of it within a second.
    assert until(lambda: all(ask(gate, "/v1/models", key=secret).status == 200 for _ in range(6)))
    return secret


def call(gate: Served, key: str, **more: Any) -> Answer:
    return chat(gate, "support", "hello", key=key, max_tokens=4, **more)


def budget(gate: Served, name: str) -> Any:
    (found,) = [one for one in ask(gate, "/admin/budgets").json["data"] if one["name"] == name]
    return found


def spend_until(gate: Served, key: str, name: str, percent: int) -> None:
    """Ask until the ledger says so."""
    for _ in range(200):
        if budget(gate, name)["spent_microusd"] * 100 >= budget(gate, name)["limit_microusd"] * percent:
            return
        for _ in range(3):
            assert call(gate, key).status == 200
        time.sleep(0.1)
    raise AssertionError(f"{name} never came to {percent} %")


def comporta(gate: Served, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env=gate.environment, cwd=gate.folder, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(receiver: Receiver, budget: str) -> list[Got]:
    return [one for one in receiver.got if one.json["facts"]["budget"] == budget]


def thresholds(receiver: Receiver, budget: str) -> list[int]:
    """What was told of it, each event once however often it was tried."""
    taken = {one.json["id"]: one.json["facts"]["threshold"] for one in told(receiver, budget)}
    return sorted(taken.values())


def delivered(gate: Served, budget: str, threshold: int) -> bool:
    notices = ask(gate, "/admin/notices?kind=budget.threshold").json["data"]
    return any(
        (one["facts"]["budget"], one["facts"]["threshold"]) == (budget, threshold)
        and all(delivery["state"] == "delivered" for delivery in one["deliveries"])
        for one in notices
    )


def test_a_budget_tells_once_then_leads_to_a_cheaper_model_and_a_restart_changes_neither(
    gate: Served, receiver: Receiver
) -> None:
    red = key_of(gate, "red", team="red")
    receiver.answers += [500, 503]
    spend_until(gate, red, "red", 50)
    assert until(lambda: delivered(gate, "red", 50))
    assert not receiver.answers, "what failed was tried again"
    notice = told(receiver, "red")[0].json
    assert (notice["kind"], notice["severity"], notice["link"]) == (
        "budget.threshold", "info", "https://costs.example.com",
    )  # fmt: skip
    assert "x-comporta-signature" in told(receiver, "red")[0].headers
    spend_until(gate, red, "red", 80)

    def switched() -> Answer | None:
        answer = call(gate, red)
        return answer if "x-comporta-budget" in answer.headers else None

    answer = until(switched)
    assert answer is not None
    assert answer.headers["x-comporta-budget"] == "switched; at=80; budget=red; model=scripted/small"
    assert (answer.status, answer.headers["x-comporta-model"]) == (200, "small")
    notes = recorded(gate, answer.call)["call"]["notes"]["budget"]
    assert (notes["instead_of"], notes["model"], notes["switched"]) == ("scripted/echo", "scripted/small", True)

    assert until(lambda: delivered(gate, "red", 80))
    heard = len(told(receiver, "red"))
    gate.stop()
    gate.start()
    # The first call of a new process meets the step already.
    assert call(gate, red).headers["x-comporta-model"] == "small"
    shown = budget(gate, "red")
    assert (shown["now"], [one["threshold"] for one in shown["passed"]]) == ("switch_to_cheaper_model", [50, 80])
    for _ in range(5):
        assert call(gate, red).status == 200
    assert thresholds(receiver, "red") == [50, 80]
    assert len(told(receiver, "red")) == heard


def test_throttled_calls_hear_when_to_come_again(gate: Served) -> None:
    green = key_of(gate, "green", team="green")
    answer = until(lambda: found if (found := call(gate, green)).status == 429 else None)
    assert answer is not None
    error = answer.json["error"]
    assert (error["code"], error["type"]) == ("budget_throttled", "rate_limit")
    assert 1 <= int(answer.headers["retry-after"]) <= 61


def test_each_user_has_a_budget_of_its_own(gate: Served) -> None:
    blue = key_of(gate, "blue", team="blue")
    answer = until(lambda: found if (found := call(gate, blue, user="ana")).status == 402 else None)
    assert answer is not None
    assert answer.json["error"]["code"] == "budget_exceeded"
    assert call(gate, blue, user="rui").status == 200
    assert call(gate, blue).status == 200


def test_tags_are_closed_sets_and_costs_are_told_apart_by_them(gate: Served) -> None:
    key = key_of(gate, "open")
    refused = call(gate, key)
    assert (refused.status, refused.json["error"]["code"]) == (400, "tag_required")
    refused = call(gate, key, x_comporta_tags="team=blue, feature=games")
    assert (refused.status, refused.json["error"]["code"]) == (400, "tag_not_allowed")
    assert "chat, search" in refused.json["error"]["message"]
    said = call(gate, key, x_comporta_tags="team=blue, feature=search, centre=4711")
    assert said.status == 200
    chosen = call(gate, key, metadata={"team": "blue", "feature": "chat"})
    record = recorded(gate, said.call)["call"]
    assert (record["team"], record["feature"], record["tags"]) == ("blue", "search", {"centre": "4711"})
    assert recorded(gate, chosen.call)["call"]["feature"] == "chat"

    found = json.loads(comporta(gate, "costs", "--by", "team,feature", "--json"))
    assert sum(row["cost_microusd"] for row in found["data"]) == found["total"]["cost_microusd"] > 0
    assert {"team": "blue", "feature": "search"} in [row["by"] for row in found["data"]]
    by_tag = list(csv.DictReader(io.StringIO(comporta(gate, "costs", "--by", "tag:centre", "--csv"))))
    assert sum(int(row["cost_microusd"]) for row in by_tag) == found["total"]["cost_microusd"]
    assert [row["calls"] for row in by_tag if row["tag:centre"] == "4711"] == ["1"]
    assert "total" in comporta(gate, "costs", "--by", "key,model")
    assert ask(gate, "/admin/costs?by=planet").status == 400


def test_people_see_how_budgets_stand(gate: Served) -> None:
    shown = comporta(gate, "budget", "show", "red")
    assert "at_80: switch_to_cheaper_model" in shown
    assert "none yet" in shown
    assert "red" in comporta(gate, "budget", "list")
    wanted = (
        'comporta_budget_limit_usd{budget="red",period="month"} 1.0',
        'comporta_budget_spent_usd{budget="green",period="day"}',
    )
    assert until(lambda: all(line in ask(gate, "/metrics").body.decode() for line in wanted))


def test_a_budget_made_while_running_takes_thresholds_and_refuses_what_is_not_there(gate: Served) -> None:
    body = {
        "name": "made", "scope": "team", "value": "red", "also": {"environment": "prod"}, "period": "week",
        "limit_microusd": 1_000_000, "alert_thresholds": [50], "actions": {"at_90": "team"},
    }  # fmt: skip
    made = ask(gate, "/admin/budgets", body)
    assert (made.status, made.json["actions"], made.json["alert_thresholds"]) == (201, {"at_90": ["team"]}, [50, 90])
    path = f"/admin/budgets/{made.json['id']}"
    changed = ask(gate, path, {"actions": {"at_100": "throttle"}, "throttle": {"share": 0.5}}, method="PATCH").json
    assert (changed["enforced"], changed["throttle"], changed["also"]) == (
        False,
        {"share": 0.5},
        {"environment": "prod"},
    )
    for wrong in ({"actions": {"at_90": "nobody"}}, {"cheaper_model": "nothing"}, {"also": {"planet": "x"}}):
        assert ask(gate, path, wrong, method="PATCH").status == 400, wrong
    assert ask(gate, path, method="DELETE").status == 200
