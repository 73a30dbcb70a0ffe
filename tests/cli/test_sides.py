"""How sides, metrics and tags of rollouts and experiments are written on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from comporta.cli import rollout, sides


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("errors", {"kind": "errors"}),
        ("errors:1pp", {"kind": "errors", "margin": 0.01}),
        ("latency_p95:20%", {"kind": "latency", "quantile": 0.95, "margin": 0.2}),
        ("latency:0.1", {"kind": "latency", "margin": 0.1}),
        ("cost:10%", {"kind": "cost", "margin": 0.1}),
        ("score:helpful", {"kind": "score", "score": "helpful"}),
        ("score:rating:0.2:1-5", {"kind": "score", "score": "rating", "margin": 0.2, "low": 1.0, "high": 5.0}),
        ("score:toxic:0.01:lower", {"kind": "score", "score": "toxic", "margin": 0.01, "better": "lower"}),
    ],
)  # fmt: skip
def test_a_metric_is_written_with_its_margin(written: str, meant: dict[str, Any]) -> None:
    assert sides.metric_of(written, "--guard") == pytest.approx(meant)


@pytest.mark.parametrize("written", ["speed:1%", "errors:much", "score", "score::0.1", "latency_pX:1%", "score:a:1:b"])
def test_a_metric_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter):
        sides.metric_of(written, "--guard")


def about(**said: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "route": None, "prompt": None, "env": None, "variant": None, "to_variant": None, "to_model": None,
        "to_prompt": None, "param": [],
    }  # fmt: skip
    return sides.about(**given | said)


def test_a_route_or_the_environment_of_a_prompt_rolls_out_and_never_both() -> None:
    to = {"variant": None, "model": "openai/x", "prompt": None, "params": {"temperature": 0.2}}
    assert about(route="support", to_model="openai/x", param=["temperature=0.2"]) == {
        "route": "support", "variant": None, "to": to,
    }  # fmt: skip
    assert about(prompt="support@2.0.0", env="production") == {
        "prompt": "support", "label": "production", "to": {"prompt": "support@2.0.0"},
    }  # fmt: skip
    for wrong in (
        {}, {"route": "a", "prompt": "b@1.0.0"}, {"prompt": "b"}, {"prompt": "b@1.0.0"},
        {"prompt": "b@1.0.0", "env": "production", "to_model": "openai/x"},
    ):  # fmt: skip
        with pytest.raises(typer.BadParameter):
            about(**wrong)


def test_tags_are_those_of_git_here_unless_a_push_or_somebody_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    said = {"commit_sha": "abc", "author": "ana", "tier": "1"}
    assert sides.tags_of(["tier=1"], "abc", "ana", None, by_push=False) == said
    assert sides.tags_of([], None, None, "m", by_push=True) == {"model_version": "m"}
    assert sides.tags_of([], None, None, None, by_push=False) == {}, "there is no git here"


def test_stages_are_shares_with_what_each_waits_for() -> None:
    assert rollout._stages(None, None, None) is None
    assert rollout._stages("5%, 0.5,100%", 10, "2m") == [
        {"share": share, "min_calls": 10, "min_time_s": 120.0} for share in (0.05, 0.5, 1.0)
    ]
    found = rollout._stages(None, 10, None)
    assert found is not None and [stage["share"] for stage in found] == [0.01, 0.1, 0.5, 1.0]


def test_copies_want_a_limit_on_what_they_cost() -> None:
    assert rollout._shadow("5%", "$10") == {"share": 0.05, "daily_limit_microusd": 10_000_000}
    for share, limit in (("5%", None), (None, "$10")):
        with pytest.raises(typer.BadParameter):
            rollout._shadow(share, limit)


@pytest.mark.parametrize(
    ("state", "ended", "decision", "said"),
    [
        ("running", None, {"reason": "Few.", "more_calls": 7, "action": "wait"}, "Few.\nAbout 7 more calls of B would"),
        ("rolled_back", "2027-01-01", {"reason": "Harm.", "more_calls": 7, "action": "roll_back"}, "Harm.\n"),
        ("shadow", None, None, "Of copies nothing is decided: promote it, or abort it."),
        ("running", None, None, "Nobody has looked yet."),
    ],
)  # fmt: skip
def test_what_is_waited_for_is_told_of_what_is_live(
    capsys: pytest.CaptureFixture[str], state: str, ended: str | None, decision: dict[str, Any] | None, said: str
) -> None:
    sides.tell_decision({"state": state, "ended_at": ended, "decision": decision})
    told = capsys.readouterr().out
    assert said in told and (ended is None or "more calls" not in told)
