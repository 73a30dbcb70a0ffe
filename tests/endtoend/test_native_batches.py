"""Batches that a provider's own batch API answers: what passes, what it costs, and what is asked by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from openai import OpenAI

from comporta.testing.upstream import Step
from support.native import HALF, PLAIN, House, begin, costs, echo, ended, native_house, read, row, spoken
from support.talking import ask, until


@pytest.fixture(scope="module")
def shared() -> Iterator[House]:
    with native_house() as made:
        yield made


@pytest.fixture
def house(shared: House) -> House:
    return shared.fresh()


@pytest.mark.parametrize(
    ("route", "model", "api", "batches"),
    [
        ("mini", "gpt-4o-mini", "openai", "/v1/batches"),
        ("haiku", "claude-haiku-4-5", "anthropic", "/v1/messages/batches"),
    ],
)
def test_a_batch_goes_to_its_provider_as_one_and_costs_half_to_the_micro_dollar(
    house: House, route: str, model: str, api: str, batches: str
) -> None:
    fake = getattr(house.fakes, api)
    client = house.client(f"night-{api}")
    batch = begin(client, [row(n, route) for n in range(12)])
    found = ended(client, batch)
    assert (found.status, found.request_counts.completed) == ("completed", 12), house.gate.output[-3000:]
    answers = read(client, found.output_file_id)
    assert {one["response"]["body"]["choices"][0]["message"]["content"] for one in answers.values()} == {"Indeed."}
    assert len(answers) == 12 and answers["r-7"]["response"]["status_code"] == 200
    # Nothing was asked by itself.
    assert [seen.path for seen in fake.seen if seen.method == "POST" and "files" not in seen.path] == [batches]
    cost, saved = HALF[model], PLAIN[model] - HALF[model]
    assert found.comporta == {
        "native": True, "handed_over": 12, "cost_usd": 12 * cost / 1e6, "saved_usd": 12 * saved / 1e6,
    }  # fmt: skip
    calls = house.calls(f"night-{api}", 12)
    assert len(calls) == 12
    assert {call["cost_microusd"] for call in calls} == {cost}
    assert {(call["usage"]["input"], call["usage"]["output"]) for call in calls} == {(1001, 333)}
    assert {call["notes"]["native"]["saved_microusd"] for call in calls} == {saved}
    assert {call["notes"]["batch"]["id"] for call in calls} == {batch}


def test_masks_are_on_before_rows_leave_and_guards_look_at_what_comes_back(house: House) -> None:
    fake = house.fakes.openai
    fake.default = echo
    client = house.client("private")
    texts = ["Write to ana@example.com", "Say FORBIDDEN", "Hello"]
    found = ended(client, begin(client, [row(n, "masked", text) for n, text in enumerate(texts)]))
    assert (found.request_counts.completed, found.request_counts.failed) == (2, 1), house.gate.output[-3000:]
    (uploaded,) = [seen.body.decode() for seen in fake.seen if seen.path == "/v1/files" and seen.method == "POST"]
    assert "ana@example.com" not in uploaded and "[EMAIL_1]" in uploaded
    answers = read(client, found.output_file_id)
    said = answers["r-0"]["response"]["body"]["choices"][0]["message"]["content"]
    assert said == "You said: Write to ana@example.com 0?"
    (blocked,) = read(client, found.error_file_id).values()
    assert blocked["custom_id"] == "r-1" and blocked["response"]["body"]["error"]["code"] == "guardrail_blocked"
    calls = house.calls("private", 3)
    # What was blocked was paid for, and no record holds what was masked.
    assert costs(calls) == [175, 175, 175]
    assert sorted(call["outcome"] for call in calls) == ["guardrail_blocked", "ok", "ok"]
    assert "ana@example.com" not in json.dumps([ask(house.gate, f"/admin/calls/{one['id']}").json for one in calls])


def test_rows_that_the_provider_left_are_asked_by_themselves_at_the_usual_price(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.answers = 4
    fake.script(Step(status=400, message="No such voice."), Step(status=429), model="gpt-4o-mini")
    client = house.client("partial")
    found = ended(client, begin(client, [row(n) for n in range(6)]))
    assert (found.status, found.request_counts.completed, found.request_counts.failed) == ("completed", 5, 1)
    (failed,) = read(client, found.error_file_id).values()
    assert failed["response"]["status_code"] == 400 and "No such voice" in json.dumps(failed)
    # Two of the batch, one that was told «later» and two that expired by themselves, one for nothing.
    assert costs(house.calls("partial", 6)) == [175, 175, 350, 350, 350]
    assert spoken(fake, "/v1/chat/completions") == 3
    assert found.comporta["cost_usd"] == pytest.approx((2 * 175 + 3 * 350) / 1e6, abs=1e-12)


def test_what_a_provider_will_not_take_is_asked_row_by_row(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.refusal = "No batches today."
    client = house.client("refused")
    batch = begin(client, [*(row(n) for n in range(3)), row(3, "dear")])
    found = ended(client, batch)
    assert found.request_counts.completed == 4
    assert house.handovers(batch)[0][1] == "the provider refused it: No batches today."
    assert spoken(fake, "/v1/chat/completions") == 4 and spoken(fake, "/v1/batches") == 1
    # No price but the usual one leads nobody to the provider's API.
    fake.seen.clear()
    again = begin(client, [row(0, "dear", "Another")])
    assert ended(client, again).comporta["handed_over"] == 0
    assert [seen.path for seen in fake.seen] == ["/v1/chat/completions"] and not house.handovers(again)


def test_a_batch_that_says_no_is_asked_row_by_row(house: House) -> None:
    client = house.client("plain")
    found = ended(client, begin(client, [row(1)], native=False))
    assert found.comporta == {"native": False, "handed_over": 0, "cost_usd": 350 / 1e6, "saved_usd": 0.0}
    assert [seen.path for seen in house.fakes.openai.seen] == ["/v1/chat/completions"]


def test_a_budget_holds_what_rows_may_cost_and_a_small_one_lets_as_many_through_as_it_has(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold = True
    client = house.client("thrifty")
    body = {"name": "thrifty", "scope": "team", "value": "thrifty", "period": "month", "limit_microusd": 5_000_000}
    made = ask(house.gate, "/admin/budgets", body)
    assert made.status == 201, made.body
    rows = [row(n, text="Thrifty", max_tokens=1000) for n in range(4)]
    batch = begin(client, rows)
    assert until(lambda: fake.batches.all)
    # While the provider has them, the money is held: four times 1000 tokens of answer at half of $0.60 a million.
    path = f"/admin/budgets/{made.json['id']}"
    assert ask(house.gate, path, {"limit_microusd": 1200}, method="PATCH").status == 200
    refused = ask(house.gate, "/v1/chat/completions", rows[0]["body"], key=client.api_key)
    assert refused.status == 402, refused.body
    fake.batches.hold = False
    assert ended(client, batch).request_counts.completed == 4
    assert costs(house.calls("thrifty", 4)) == [175] * 4
    assert until(lambda: {state for state, _ in house.handovers(batch)} == {"closed"})
    # 700 are spent; one more such row has room by itself, two together have not.
    second = ended(client, begin(client, [row(n, text="More", max_tokens=500) for n in range(4)]))
    assert second.request_counts.completed >= 1 and second.request_counts.failed >= 1
    assert second.comporta["handed_over"] == 0


def test_a_key_that_is_revoked_meanwhile_gets_and_pays_what_was_asked_for_it(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold = True
    made = ask(house.gate, "/admin/keys", {"name": "soon-gone", "team": "gone"}).json
    client = OpenAI(base_url=f"{house.gate.url}/v1", api_key=made["secret"], max_retries=0)
    batch = begin(client, [row(n, text="Gone") for n in range(2)])
    assert until(lambda: fake.batches.all)
    assert ask(house.gate, f"/admin/keys/{made['id']}/revoke", {}).status == 200
    fake.batches.hold = False
    assert ended(house.client("gone"), batch).request_counts.completed == 2
    assert costs(house.calls("gone", 2)) == [175, 175]


def test_no_key_but_the_gates_own_may_take_steps(house: House) -> None:
    secret = house.client("curious").api_key
    for path in ("/native/step/x", "/native/arrive/b/1", "/native/park/b/1/v1/chat/completions"):
        assert ask(house.gate, path, {}, key=secret).status == 403
        assert ask(house.gate, path, {}, key=None).status == 401
    assert ask(house.gate, "/native/arrive/b/1", {}).status == 404
    assert ask(house.gate, "/native/arrive/b/x", {}).status == 400
    assert ask(house.gate, "/native/other/b/1", {}).status == 404
