"""A plan as people say it (a mapping that leaves most of it out) made whole with defaults. Raises BadRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comporta.routing.rollout.experiment import Adaptive, Experiment
from comporta.routing.rollout.plan import GuardMetric, Rollout, Stage


def plan_from(said: Mapping[str, Any]) -> Rollout:
    """`stages`, `guards` and `alpha`; what is left out or None is as by default.

    Raises BadRequest that says what does not hold together.
    """
    given: dict[str, Any] = {}
    if said.get("stages"):
        given["stages"] = tuple(Stage(**_given(stage)) for stage in said["stages"])
    if said.get("guards"):
        given["guards"] = guards_from(said["guards"])
    if said.get("alpha") is not None:
        given["alpha"] = said["alpha"]
    return Rollout(**given)


def experiment_from(said: Mapping[str, Any]) -> Experiment:
    """`metric`, `guards`, `share`, `alpha`, `min_calls`, `min_time_s` and `adaptive`. Raises BadRequest."""
    given: dict[str, Any] = {"metric": _guard(said["metric"])}
    if said.get("guards"):
        given["guards"] = guards_from(said["guards"])
    if said.get("adaptive") is not None:
        given["adaptive"] = Adaptive(**_given(said["adaptive"]))
    for name in ("share", "alpha", "min_calls", "min_time_s"):
        if said.get(name) is not None:
            given[name] = said[name]
    return Experiment(**given)


def guards_from(said: list[Mapping[str, Any]]) -> tuple[GuardMetric, ...]:
    """Metrics with their default margins; errors always guard."""
    guards = [_guard(one) for one in said]
    if not any(guard.kind == "errors" for guard in guards):
        guards.insert(0, GuardMetric("errors"))
    return tuple(guards)


def _guard(said: Mapping[str, Any]) -> GuardMetric:
    return GuardMetric(**_given(said))


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}
