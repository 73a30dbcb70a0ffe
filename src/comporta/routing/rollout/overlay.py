"""Where the calls of running rollouts go: an overlay of shares over what configuration and registry say.

It is made anew, off the path of calls, whenever a rollout or the configuration changes. While nothing rolls out, a call
pays one look at `live`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct, structs

from comporta.pipeline import Call
from comporta.routing.choose import Known, Plan, Route, Variant, target_of
from comporta.routing.pinned import PINNED
from comporta.routing.rollout import sides
from comporta.routing.rollout.rows import Change, RolloutRow
from comporta.types import Input, PromptRef, Target

Side = Literal["a", "b", "shadow"]
#: Tags of a call that takes part. They are kept with its record, and its figures are made from them.
TAG, TAG_SIDE, TAG_STAGE, TAG_FAILED = "rollout", "rollout_side", "rollout_stage", "rollout_failed"
#: In the facts of a copy: the rollout whose side B it asks.
COPY = "shadow"
#: In the facts of a call that a fixed reply answered (set by the stage `choose`).
LAST_RESORT = "last_resort"
#: The environment of callers that have none.
PRODUCTION = "production"

#: Sends a copy of an ended call to side B. Never waits and never fails.
Mirror = Callable[[Call, Input, RolloutRow], None]


#: The variant's name, and whether it asks with the new version of a prompt.
Place = tuple[str, bool]


class Problem(Exception):
    """Why a rollout can't be applied as things stand; the text is for people."""


class Split(Struct, frozen=True):
    """One rollout, ready for calls."""

    row: RolloutRow
    #: Variant A's name; empty where the rollout is about a prompt's label.
    a: str
    #: What side B asks first; None where only the prompt changes, on whatever target it is.
    b: Target | None
    #: The version of the prompt on side B, where that changes.
    prompt: PromptRef | None

    def side_of(self, call: Call) -> Side:
        """Kept by session, else by user; drawn where there is neither."""
        return "b" if sides.on_b(self.row.id, call.session or call.user, self.row.share) else "a"

    def of_b(self, call: Call, plan: Plan) -> tuple[Target, ...]:
        """What side B asks, in order: all of the plan that this rollout changes, changed."""
        prompt = self.prompt
        if prompt is None:
            return (self.b,) if self.b is not None else ()
        changed = [structs.replace(t, prompt=prompt) for t in plan.targets if self._asks_with(t, call)]
        if self.b is None:
            return tuple(changed)
        return (self.b, *[target for target in changed if target.variant != self.a])

    def place(self, target: Target) -> Place:
        """What tells the targets of the sides apart."""
        new = target.prompt is not None and self.prompt is not None and target.prompt.version == self.prompt.version
        return target.variant, new

    def _asks_with(self, target: Target, call: Call) -> bool:
        """Whether a target asks with the prompt that changes: a fallback of side B then asks with the new version."""
        ref, prompt = target.prompt, self.prompt
        if ref is None or prompt is None or ref.id != prompt.id:
            return False
        return bool(self.a) or (ref.version is None and labelled(ref, call) == self.row.label)


class Overlay:
    """All splits that hold now. `mirror` sends copies of calls for rollouts in shadow mode."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._mirror = mirror
        self._routes: Mapping[str, Split] = {}
        self._labels: Mapping[tuple[str, str], Split] = {}
        #: Whether any call needs a look.
        self.live = False
        #: By rollout: why it can't be applied as things stand.
        self.problems: Mapping[str, str] = {}

    def take(self, known: Known, rows: Iterable[RolloutRow]) -> None:
        """Make everything anew from the rollouts that are live and the routes that there are."""
        routes: dict[str, Split] = {}
        labels: dict[tuple[str, str], Split] = {}
        problems: dict[str, str] = {}
        for row in rows:
            try:
                split = split_of(known, row)
            except Problem as problem:
                problems[row.id] = str(problem)
                continue
            if row.route is not None:
                routes[row.route] = split
            elif row.prompt is not None and row.label is not None:
                labels[row.prompt, row.label] = split
        self._routes, self._labels, self.problems = routes, labels, problems
        self.live = bool(routes or labels)

    def label(self, ref: PromptRef, call: Call) -> Split | None:
        """The rollout of the label by which a call means a prompt."""
        return self._labels.get((ref.id, labelled(ref, call))) if ref.version is None else None

    def plan(self, call: Call, plan: Plan) -> Plan:
        """The plan with the call's side first; the call is tagged with rollout and side."""
        first = plan.targets[0]
        split = self._routes.get(first.route)
        if split is None or split.a != first.variant:
            split = self.label(first.prompt, call) if first.prompt is not None and self._labels else None
            if split is None:
                return plan
        ours = split.of_b(call, plan)
        if COPY in call.facts:
            # A copy asks side B alone: answered by A it would say nothing, and cost as much.
            return self._taken(call, split, "shadow", structs.replace(plan, targets=ours), ours)
        if PINNED in call.facts:
            # It goes back to where its conversation is, whichever side that is, and says nothing of either.
            return structs.replace(plan, targets=(*plan.targets, *ours))
        if split.side_of(call) == "a":
            self._copied(call, split)
            return self._taken(call, split, "a", _without(plan, ours), plan.targets)
        return self._taken(call, split, "b", structs.replace(plan, targets=(*ours, *_others(plan, ours))), ours)

    def _taken(self, call: Call, split: Split, side: Side, plan: Plan, own: tuple[Target, ...]) -> Plan:
        row = split.row
        tags = {TAG: row.id, TAG_SIDE: side, TAG_STAGE: str(row.stage)}
        if side != "a":
            tags |= row.tags
        call.tags = {**call.tags, **tags}
        if call.spans:
            span = call.spans[-1]
            span.attributes = {**(span.attributes or {}), **tags}
        if plan.larger is not None:
            own = (*own, plan.larger)
        places = frozenset([split.place(target) for target in own])
        call.at_end(lambda call: _note_failure(call, split, places))
        return plan

    def _copied(self, call: Call, split: Split) -> None:
        """Have a copy sent once the call has ended, for the share of calls that is to be copied."""
        row, mirror = split.row, self._mirror
        if row.shadow is None or row.state != "shadow" or mirror is None or call.kind != "chat":
            return
        if random.random() < row.shadow.share:
            # As it was asked: what stages make of it (prompt, passages) they make anew for side B.
            asked = call.input
            call.at_end(lambda call: mirror(call, asked, row))


def _note_failure(call: Call, split: Split, own: frozenset[Place]) -> None:
    """A call that its side could not answer is a failure of that side, also where somebody else then answered it."""
    target = call.target
    if call.error is None and target is not None and (LAST_RESORT in call.facts or split.place(target) not in own):
        call.tags[TAG_FAILED] = "fallback"


def _others(plan: Plan, ours: tuple[Target, ...]) -> list[Target]:
    return [target for target in plan.targets if target not in ours]


def _without(plan: Plan, ours: tuple[Target, ...]) -> Plan:
    """Side A, with side B behind everybody else: it takes over last."""
    behind = [target for target in plan.targets[1:] if target in ours]
    if not behind:
        return plan
    return structs.replace(plan, targets=(*[t for t in plan.targets if t not in behind], *behind))


def labelled(ref: PromptRef, call: Call) -> str:
    """The label that a reference without a version means."""
    return ref.label or call.caller.environment or PRODUCTION


def split_of(known: Known, row: RolloutRow) -> Split:
    """A rollout over the routes that there are. Raises Problem."""
    if row.route is None:
        return Split(row, "", None, _prompt_ref(row.change.prompt))
    route = known.route(row.route)
    if route is None:
        raise Problem(f"there is no route '{row.route}' any more")
    a = next((variant for variant in route.variants if variant.name == row.variant), None)
    if a is None:
        names = ", ".join(variant.name for variant in route.variants)
        raise Problem(f"the route '{row.route}' has no variant '{row.variant}' any more, only {names}")
    return Split(row, a.name, b_of(known, route, a, row.change), _prompt_ref(row.change.prompt))


def b_of(known: Known, route: Route, a: Variant, change: Change) -> Target:
    """What side B asks first. Raises Problem."""
    target = target_of(route, a)
    if change.variant is not None:
        other = next((variant for variant in route.variants if variant.name == change.variant), None)
        if other is None:
            raise Problem(f"the route '{route.name}' has no variant '{change.variant}'")
        target = target_of(route, other)
    if change.model is not None:
        target = _with_model(known, target, change.model)
    prompt = _prompt_ref(change.prompt)
    if prompt is not None:
        target = structs.replace(target, prompt=prompt)
    if change.params:
        target = structs.replace(target, params={**target.params, **change.params})
    return structs.replace(target, variant=_name(a.name, change))


def _with_model(known: Known, target: Target, model: str) -> Target:
    """The target with another model. What that is registered with stands below the variant's own parameters."""
    named = known.route(model)
    if named is not None:
        if len(named.variants) != 1:
            raise Problem(f"'{model}' is a route with several variants; name one model")
        base = named.variants[0]
        return structs.replace(
            target, provider=base.provider, model=base.model, params={**base.params, **target.params}
        )
    provider, slash, name = model.partition("/")
    if not slash or not name or not known.provider(provider):
        raise Problem(f"'{model}' is neither `provider/model` of a configured provider nor a registered model")
    return structs.replace(target, provider=provider, model=name)


def _prompt_ref(prompt: str | None) -> PromptRef | None:
    if prompt is None:
        return None
    id, _, version = prompt.partition("@")
    return PromptRef(id, version or None)


def _name(a: str, change: Change) -> str:
    """The name of side B in records and headers; never that of side A."""
    if change.variant is not None and change.variant != a:
        return change.variant
    name = change.model or change.prompt or f"{a}+{','.join(sorted(change.params))}"
    return name if name != a else f"{name}+b"
