"""`python bench/rollout.py [--runs N] [--seed N] [--out FILE]`: what becomes of harmful and harmless canaries.

Each run is a rollout on its own: calls of many callers are shared out by the code that shares them out live (`overlay`,
`sides`), counted by the code that counts (`figures`), decided on after each second of simulated time by the code that
decides (`evidence`, `decide`), and moved on by the code that moves (`moves`). Only the models are scripted: they fail,
take time, cost and are scored as a scenario says, from a base of 2 % errors and scores of mean .8 and SD .2 (a Beta
distribution). Between them and the sides there is no HTTP, no database and no clock.

Printed as a table and written to `bench/out/rollout.json`. Each key holds an object with `value`, `runs` and what is
asked of the value (`wanted`), besides medians:

- `harm_errors_back_within_200`: runs in which a canary with 12 % errors was rolled back within 200 canary calls
- `harm_score_back_within_400`: runs in which one whose score's mean is .72 was, within 400 scored canary calls
- `small_harm_errors_back`: runs in which one with 3 % errors was at all, with the number of canary calls it took
- `aa_wrong_rollbacks`: runs of 20,000 calls in which a canary like A was rolled back
- `aa_wrong_rollbacks_at_half`: the same, with both sides at 50 % from the first to the last call
- `harmless_promoted`: runs in which a canary like A reached 100 %
- `backward_moves`: callers that were seen on A after they had been on B, in any run while it lasted
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs
from rich.console import Console
from rich.table import Table

from comporta.pipeline import Call
from comporta.routing.choose import Route, Variant
from comporta.routing.rollout import moves
from comporta.routing.rollout.decide import Action, Cause, Standing, decide
from comporta.routing.rollout.evidence import begin, fold
from comporta.routing.rollout.figures import Tally, Window
from comporta.routing.rollout.overlay import Split, split_of
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage
from comporta.routing.rollout.rows import Change, RolloutRow
from comporta.types import Caller, Input

OUT = Path(__file__).parent / "out" / "rollout.json"
#: Calls in a second of simulated time, after each of which is decided, as live.
RATE = 100
CALLERS = 5_000
#: Of so many calls nobody is known: each is drawn for itself.
UNKNOWN = 0.05

GUARDS = (
    GuardMetric("errors", margin=0.01),
    GuardMetric("latency", margin=0.2),
    GuardMetric("cost", margin=0.1),
    GuardMetric("score", score="helpful", margin=0.05),
)
STAGES = tuple(Stage(share, min_calls=100, min_time_s=30) for share in (0.01, 0.1, 0.5, 1.0))
#: Nothing moves within a run: half of the callers on each side.
AT_HALF = (Stage(0.5, min_calls=10**9), Stage(1.0))


class Model(Struct, frozen=True):
    """A scripted model: how it fails, how long it takes, what it costs, how it is scored."""

    errors: float = 0.02
    score_mean: float = 0.8
    score_sd: float = 0.2
    latency_ms: float = 800.0
    latency_spread: float = 0.5
    cost_microusd: float = 2_000.0
    cost_spread: float = 0.8

    def answers(self, rng: np.random.Generator, n: int) -> Answers:
        """What it does with its next `n` calls."""
        spread = self.score_mean * (1 - self.score_mean) / self.score_sd**2 - 1
        return Answers(
            (rng.random(n) < self.errors).tolist(),
            rng.lognormal(np.log(self.latency_ms), self.latency_spread, n).tolist(),
            rng.lognormal(np.log(self.cost_microusd), self.cost_spread, n).astype(int).tolist(),
            rng.beta(self.score_mean * spread, (1 - self.score_mean) * spread, n).tolist(),
        )


class Answers(Struct):
    failed: list[bool]
    latency_ms: list[float]
    cost_microusd: list[int]
    score: list[float]


BASE = Model()


class Ended(Struct, frozen=True):
    """How one run ended: what was done last and why, after how many calls of B and of all."""

    action: Action
    cause: Cause
    calls_b: int
    scored_b: int
    calls: int
    stage: int
    backward: int


class Scenario(Struct, frozen=True):
    """What side B is, and how long a run lasts at most."""

    b: Model
    most_calls: int
    stages: tuple[Stage, ...] = STAGES


class _Side:
    """A model that answers and a tally of what it did."""

    def __init__(self, model: Model, rng: np.random.Generator) -> None:
        self._model, self._rng, self._next, self._size = model, rng, 0, 0
        self.tally = Tally(GUARDS)

    def call(self) -> None:
        if self._next >= self._size:
            self._size = min(max(64, self._size * 2), 4096)
            self._answers, self._next = self._model.answers(self._rng, self._size), 0
        at, self._next, answers = self._next, self._next + 1, self._answers
        failed = answers.failed[at]
        self.tally.call(failed=failed, latency_ms=answers.latency_ms[at], cost_microusd=answers.cost_microusd[at])
        if not failed:
            self.tally.score("helpful", answers.score[at])


class _Names:
    """The one route there is, with a variant for each side."""

    route_of_all = Route("support", (Variant("old", "scripted", "old"), Variant("new", "scripted", "new", weight=0)))

    def route(self, name: str) -> Route | None:
        return self.route_of_all if name == "support" else None

    def provider(self, name: str) -> bool:
        return name == "scripted"

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> Iterable[str]:
        return ("support",)


def _started(plan: Rollout, id: str) -> RolloutRow:
    """A rollout that has just begun."""
    row: dict[str, Any] = dict.fromkeys(RolloutRow.__struct_fields__)
    row |= {"id": id, "kind": "rollout", "name": id, "state": "running", "tags": {}, "started_by": "bench"}
    row |= {"route": "support", "variant": "old", "change": Change(variant="new")}
    row |= {"target": {"provider": "scripted", "model": "new", "params": {}, "prompt": None}}
    row |= {"plan": msgspec.to_builtins(plan), "stage": 0, "share": plan.stages[0].share}
    return RolloutRow(**row | {"stage_at_s": 0.0, "started_at_s": 0.0})


def _caller(session: str | None) -> Call:
    return Call(kind="chat", input=Input(), model="support", caller=Caller("key", "bench"), session=session)


class Run:
    """One rollout from its first call to its end."""

    def __init__(self, scenario: Scenario, seed: int, names: _Names, callers: Sequence[Call], nobody: Call) -> None:
        self._scenario, self._names = scenario, names
        self._callers, self._nobody = callers, nobody
        self._plan = Rollout(stages=scenario.stages, guards=GUARDS)
        self._row = _started(self._plan, f"run-{seed}")
        # Calls of nobody are drawn live from this source too.
        random.seed(seed)
        rng = np.random.default_rng(seed)
        self._a, self._b = _Side(BASE, rng), _Side(scenario.b, rng)
        self._on_b: set[str] = set()
        self._backward = 0

    def whole(self) -> Ended:
        """Decide each second until the plan is over, B comes back, or the calls are used up."""
        evidence, now_s, calls = begin(self._plan), 0.0, 0
        while calls < self._scenario.most_calls:
            split = split_of(self._names, self._row)
            for _ in range(RATE):
                self._one(split)
            now_s, calls = now_s + 1, calls + RATE
            window = Window(self._row.stage, now_s, self._a.tally.take(), self._b.tally.take())
            evidence = fold(self._plan, evidence, window)
            made = decide(self._plan, evidence, Standing(self._row.stage, self._row.stage_at_s, now_s))
            if made.action == "advance":
                self._row = moves.at_stage(self._row, self._row.stage + 1, now_s)
            if made.action in ("roll_back", "finish"):
                break
        scored = evidence.b.score("score:helpful").n
        return Ended(made.action, made.cause, evidence.b.calls, scored, calls, self._row.stage, self._backward)

    def _one(self, split: Split) -> None:
        """One call of somebody, to the side where this caller is."""
        known = random.random() >= UNKNOWN
        call = self._callers[int(random.random() * CALLERS)] if known else self._nobody
        on_b = split.side_of(call) == "b"
        if call.session is not None:
            if on_b:
                self._on_b.add(call.session)
            elif call.session in self._on_b:
                self._backward += 1
        (self._b if on_b else self._a).call()


SCENARIOS: dict[str, Scenario] = {
    "harm_errors": Scenario(structs.replace(BASE, errors=0.12), 100_000),
    "harm_score": Scenario(structs.replace(BASE, score_mean=0.72), 100_000),
    "small_harm": Scenario(structs.replace(BASE, errors=0.03), 400_000),
    "aa": Scenario(BASE, 20_000),
    "aa_half": Scenario(BASE, 20_000, AT_HALF),
    "harmless": Scenario(BASE, 400_000),
}


def simulated(name: str, runs: int, seed: int) -> list[Ended]:
    """The ends of so many runs; the same for the same seed."""
    names, nobody, callers = _Names(), _caller(None), [_caller(f"session-{n}") for n in range(CALLERS)]
    return [Run(SCENARIOS[name], seed * 1_000_003 + run, names, callers, nobody).whole() for run in range(runs)]


def results(ends: dict[str, list[Ended]]) -> dict[str, dict[str, Any]]:
    """What is written and printed."""
    back = {name: [end for end in some if end.action == "roll_back"] for name, some in ends.items()}
    runs = {name: len(some) for name, some in ends.items()}
    promoted = [end for end in ends["harmless"] if end.action == "finish"]
    every = [end for some in ends.values() for end in some]
    return {
        "harm_errors_back_within_200": {
            "value": sum(end.calls_b <= 200 for end in back["harm_errors"]),
            "runs": runs["harm_errors"],
            "wanted": ">= 95 %",
            "canary_calls": _spread([end.calls_b for end in back["harm_errors"]]),
        },
        "harm_score_back_within_400": {
            "value": sum(end.scored_b <= 400 for end in back["harm_score"]),
            "runs": runs["harm_score"],
            "wanted": ">= 95 %",
            "scored_canary_calls": _spread([end.scored_b for end in back["harm_score"]]),
        },
        "small_harm_errors_back": {
            "value": len(back["small_harm"]),
            "runs": runs["small_harm"],
            "wanted": ">= 95 %",
            "canary_calls": _spread([end.calls_b for end in back["small_harm"]]),
            "calls": _spread([end.calls for end in back["small_harm"]]),
        },
        "aa_wrong_rollbacks": {
            "value": len(back["aa"]),
            "runs": runs["aa"],
            "wanted": "<= 5 %",
            "canary_calls": _spread([end.calls_b for end in ends["aa"]]),
        },
        "aa_wrong_rollbacks_at_half": {"value": len(back["aa_half"]), "runs": runs["aa_half"], "wanted": "<= 5 %"},
        "harmless_promoted": {
            "value": len(promoted),
            "runs": runs["harmless"],
            "wanted": ">= 95 %",
            "calls": _spread([end.calls for end in promoted]),
        },
        "backward_moves": {"value": sum(end.backward for end in every), "runs": len(every), "wanted": "0"},
    }


def _spread(values: Sequence[int]) -> dict[str, int]:
    """The median, and how far it goes."""
    if not values:
        return {}
    ranked = sorted(values)
    return {
        "median": round(statistics.median(ranked)),
        "p95": ranked[int(0.95 * (len(ranked) - 1))],
        "most": ranked[-1],
    }


def held(key: str, result: dict[str, Any]) -> bool:
    """Whether a result is what is asked for."""
    share, wanted = float(result["value"] / result["runs"]), result["wanted"]
    return share >= 0.95 if wanted == ">= 95 %" else share <= (0.05 if wanted == "<= 5 %" else 0)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 where a result is not what is asked for."""
    options = _options(argv)
    console = Console(width=None if sys.stdout.isatty() else 120)
    ends, began = {}, time.monotonic()
    for name in SCENARIOS:
        ends[name] = simulated(name, options.runs, options.seed)
        console.print(f"{name}: {options.runs} runs, {time.monotonic() - began:.0f} s", style="dim", highlight=False)
    found = results(ends)
    console.print(_table(found))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps({**found, "seed": options.seed}, indent=2) + "\n")
    console.print(f"Written: {options.out}", highlight=False)
    return 0 if all(held(key, result) for key, result in found.items()) else 1


def _table(found: dict[str, dict[str, Any]]) -> Table:
    table = Table("", "runs", "asked for", "found", "calls (median, p95, most)")
    for key, result in found.items():
        rest = [f"{name}: {spread}" for name, spread in _spreads(result)]
        mark = "✓" if held(key, result) else "✗"
        table.add_row(key, str(result["runs"]), result["wanted"], f"{result['value']} {mark}", "\n".join(rest))
    return table


def _spreads(result: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, spread in result.items():
        if isinstance(spread, dict) and spread:
            yield name.replace("_", " "), ", ".join(f"{value:,}" for value in spread.values())


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/rollout.py")
    parser.add_argument("--runs", type=int, default=100, help="runs of each scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
