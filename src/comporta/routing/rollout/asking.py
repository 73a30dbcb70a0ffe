"""What is asked for when a rollout or an experiment starts, checked against what there is, and made into its row."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct, structs

from comporta.errors import BadRequest
from comporta.routing.choose import Known, Route, Variant
from comporta.routing.rollout.experiment import Experiment
from comporta.routing.rollout.overlay import Problem, b_of
from comporta.routing.rollout.plan import Rollout
from comporta.routing.rollout.rows import DEPLOY_TAGS, Change, Kind, RolloutRow, Shadow
from comporta.store.fields import checked_name, checked_tags
from comporta.types import JSON, PromptRef, Target

_PROMPT = re.compile(r"[^@\s]+@[^@\s]+")
#: Smaller than this, nobody would ever be drawn.
_LEAST_SHARE = 1e-6


class Wanted(Struct, frozen=True):
    """What to start. Either `route` (and which of its `variant`s is side A; None: the only one, else the heaviest), or
    `prompt` and the `label` that is to move. `to` is side B; of a prompt's label it is a version alone.
    """

    to: Change
    plan: JSON
    share: float
    kind: Kind = "rollout"
    route: str | None = None
    variant: str | None = None
    prompt: str | None = None
    label: str | None = None
    shadow: Shadow | None = None
    tags: Mapping[str, str] = {}
    name: str = ""
    by: str = ""


def row_of(known: Known, wanted: Wanted) -> RolloutRow:
    """The row to start with, not yet written. Raises BadRequest that names the field."""
    if (wanted.route is None) == (wanted.prompt is None):
        raise BadRequest("Say what changes: a route, or a prompt with its environment.", param="route")
    variant, target = wanted.variant, None
    if wanted.route is not None:
        variant, b = _of_route(known, wanted, wanted.route)
        target = {"provider": b.provider, "model": b.model, "params": b.params, "prompt": msgspec.to_builtins(b.prompt)}
    else:
        _check_label(wanted)
    about = wanted.route or f"{wanted.prompt}@{wanted.label}"
    shadow = _checked_shadow(wanted.shadow)
    return RolloutRow(
        id="", kind=wanted.kind, name=checked_name(wanted.name or about, "name"), route=wanted.route, variant=variant,
        prompt=wanted.prompt, label=wanted.label, change=wanted.to, target=target, plan=wanted.plan, shadow=shadow,
        tags=deploy_tags(wanted.tags), state="running" if shadow is None else "shadow", paused_from=None,
        paused_at_s=None, stage=0,
        share=0.0 if shadow is not None else wanted.share, stage_at_s=0.0, started_at_s=0.0, started_by=wanted.by,
        ended_at_s=None, problem=None,
    )  # fmt: skip


def _of_route(known: Known, wanted: Wanted, name: str) -> tuple[str, Target]:
    route = known.route(name)
    if route is None:
        raise BadRequest(f"There is no route '{name[:100]}'; `GET /admin/routes` lists them.", param="route")
    a = _variant_a(route, wanted.variant)
    _check_change(wanted.to, a)
    try:
        b = b_of(known, route, a, wanted.to)
    except Problem as problem:
        raise BadRequest(f"Side B can't be asked: {problem}.", param="to") from None
    same = structs.replace(b, variant=a.name)
    if (same.provider, same.model, same.params, same.prompt) == (a.provider, a.model, a.params, a.prompt):
        raise BadRequest(f"Side B is the same as variant '{a.name}': there is nothing to roll out.", param="to")
    return a.name, b


def _variant_a(route: Route, name: str | None) -> Variant:
    if name is None:
        return max(route.variants, key=lambda variant: variant.weight)
    found = next((variant for variant in route.variants if variant.name == name), None)
    if found is None:
        names = ", ".join(variant.name for variant in route.variants)
        raise BadRequest(f"The route '{route.name}' has no variant '{name[:100]}'; it has {names}.", param="variant")
    return found


def _check_change(change: Change, a: Variant) -> None:
    if change == Change():
        raise BadRequest("Say what side B asks: another variant, model, prompt or params.", param="to")
    if change.variant is not None and change.model is not None:
        raise BadRequest("Side B is another variant or another model, not both.", param="to")
    if change.prompt is None:
        return
    _check_version(change.prompt)
    id = change.prompt.partition("@")[0]
    if a.prompt is not None and a.prompt.id != id and change.variant is None:
        # Another prompt is another task: the sides could not be compared by what their callers send.
        raise BadRequest(
            f"Variant '{a.name}' asks with the prompt {a.prompt.id}; side B can have another version of it, not "
            f"{id}. Make a variant of its own for another prompt.",
            param="to.prompt",
        )


def _check_version(prompt: str) -> None:
    if not _PROMPT.fullmatch(prompt):
        raise BadRequest("A prompt is named with its version: support@2.4.0.", param="to.prompt")


def _check_label(wanted: Wanted) -> None:
    if wanted.label is None:
        raise BadRequest("Say which environment of the prompt moves: production, staging …", param="label")
    checked_name(wanted.label, "label")
    change = wanted.to
    if change.prompt is None or Change(prompt=change.prompt) != change:
        raise BadRequest("Where a prompt's label moves, side B is another version of the prompt alone.", param="to")
    _check_version(change.prompt)
    if change.prompt.partition("@")[0] != wanted.prompt:
        raise BadRequest(f"{change.prompt} is no version of {wanted.prompt}.", param="to.prompt")


def _checked_shadow(shadow: Shadow | None) -> Shadow | None:
    if shadow is None:
        return None
    if not _LEAST_SHARE <= shadow.share <= 1:
        raise BadRequest("shadow.share lies above 0 and at most at 1 (5% is 0.05).", param="shadow.share")
    if shadow.daily_limit_microusd <= 0:
        raise BadRequest("shadow.daily_limit_microusd is an amount above 0.", param="shadow.daily_limit_microusd")
    return shadow


def deploy_tags(given: Mapping[str, str]) -> dict[str, str]:
    """The tags of a deploy. Raises BadRequest that names the missing ones."""
    tags = checked_tags(given)
    missing = [name for name in DEPLOY_TAGS if not tags.get(name)]
    if missing:
        raise BadRequest(
            f"A rollout carries the tags {', '.join(DEPLOY_TAGS)}; {', '.join(missing)} could not be found out: give "
            f"{'it' if len(missing) == 1 else 'them'} as tags.",
            code="deploy_tags", param="tags",
        )  # fmt: skip
    return tags


def agrees(known: Known, row: RolloutRow) -> bool:
    """Whether a route leads where the rollout leads, by itself and for all calls."""
    target = row.target
    route = None if row.route is None else known.route(row.route)
    if route is None or target is None:
        return False
    prompt = None if target["prompt"] is None else msgspec.convert(target["prompt"], PromptRef)
    wanted = (target["provider"], target["model"], target["params"], prompt)
    return all((v.provider, v.model, v.params, v.prompt) == wanted for v in route.variants if v.weight > 0)


def plan_json(plan: Rollout | Experiment) -> JSON:
    """A plan as it is kept."""
    kept: JSON = msgspec.to_builtins(plan)
    return kept
