"""`comporta reviews`, typed at a running gate, and the admin API that it asks."""

from __future__ import annotations

import json
from typing import Any

from cli.conftest import Type
from support.serving import Served
from support.talking import ask, chat, until


def put_up(served: Served, at_gate: Type, **more: Any) -> str:
    """A review of a call, listed."""
    body = {"kind": "guard", "reason": "The guard was not sure.", **more}
    answer = ask(served, "/admin/reviews", body)
    assert answer.status == 202, answer.body
    id: str = answer.json["id"]
    assert until(lambda: ask(served, f"/admin/reviews/{id}").status == 200)
    return id


def test_a_review_is_listed_claimed_and_decided_and_scores_its_call(at_gate: Type, served: Served) -> None:
    call = chat(served, "house", "What does Comporta mean?").call
    id = put_up(served, at_gate, call_id=call, route="house", payload={"similarity": 0.5})
    assert id in at_gate("reviews", "list").out and id in at_gate("reviews", "list", "--kind", "guard", "--newest").out
    assert "0.5" in at_gate("reviews", "show", id).out
    assert "claimed by" in at_gate("reviews", "claim", id).out
    assert at_gate("reviews", "release", id).out == f"{id}: open\n"
    done = at_gate("reviews", "decide", id, "correct", "--correction", "A sluice gate.", "--note", "too vague")
    assert done.code == 0 and "correct by" in done.out
    assert id not in at_gate("reviews", "list").out and id in at_gate("reviews", "list", "--state", "done").out
    again = at_gate("reviews", "decide", id, "accept")
    assert again.code == 1 and "was decided by" in again.err
    assert json.loads(at_gate("reviews", "counts", "--json").out)["guard"]["done"] >= 1

    def scored() -> bool:
        listed = json.loads(at_gate("feedback", "list", "--call", call, "--json").out)["data"]
        return {one["name"]: one["value"] for one in listed} == {"review": False, "correction": "A sluice gate."}

    assert until(scored)


def test_mistakes_are_told_in_a_sentence(at_gate: Type, served: Served) -> None:
    id = put_up(served, at_gate)
    for words, told in (
        (["show", "nothing-like-it"], "There is no review"),
        (["decide", id, "perhaps"], "verdict"),
        (["decide", id, "correct"], "what would have been right"),
        (["list", "--state", "lost"], "state"),
    ):
        found = at_gate("reviews", *words)
        assert found.code != 0 and told in found.err, (words, found.err)
    refused = ask(served, "/admin/reviews", {"kind": "guard", "reason": "x", "call_id": "no-id"})
    assert refused.status == 400 and refused.json["error"]["param"] == "call_id"
    assert ask(served, "/admin/reviews?after=nonsense").json["error"]["param"] == "after"
    assert ask(served, "/admin/reviews", key=None).status == 401
