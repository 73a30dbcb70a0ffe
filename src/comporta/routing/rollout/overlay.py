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
#: In the facts of a call: the rollout that it takes part in.
_PART = "rollout"
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
    #: What side B of a route asks first.
    b: Target | None
    #: The version of the prompt on side B, where that changes.
    prompt: PromptRef | None

    def side_of(self, call: Call) -> Side:
        """Kept by session, else by user; drawn where there is neither. A copy asks side B alone."""
        if COPY in call.facts:
            return "shadow"
        return "b" if sides.on_b(self.row.id, call.session or call.user, self.row.share) else "a"

    def of_b(self, plan: Plan) -> tuple[Target, ...]:
        """What side B of a route asks, in order: the fallbacks too that ask with the prompt that changes."""
        assert self.b is not None, "a route's side B has a target"
        prompt = self.prompt
        if prompt is None:
            return (self.b,)
        others = [t for t in plan.targets if t.variant != self.a and t.prompt is not None and t.prompt.id == prompt.id]
        return (
            self.b,
            *[structs.replace(target, prompt=prompt) for target in others if target.variant != self.b.variant],
        )

    def place(self, target: Target) -> Place:
        """What tells the targets of the sides apart."""
        new = target.prompt is not None and self.prompt is not None and target.prompt.version == self.prompt.version
        return target.variant, new


class Overlay:
    """All splits that hold now. `mirror` sends copies of calls for rollouts in shadow mode."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._mirror = mirror
        self._routes: Mapping[str, Split] = {}
        self._labels: Mapping[tuple[str, str], Split] = {}
        #: Whether any call on a route, or one that asks with a prompt, needs a look.
        self.live = False
        self.moves_labels = False
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
        self.live, self.moves_labels = bool(routes), bool(labels)

    def plan(self, call: Call, plan: Plan) -> Plan:
        """The plan of a route with the call's side first; the call is tagged with rollout and side."""
        first = plan.targets[0]
        split = self._routes.get(first.route)
        if split is None or split.a != first.variant:
            return plan
        ours = split.of_b(plan)
        if PINNED in call.facts:
            # It goes back to where its conversation is, whichever side that is, and says nothing of either.
            return structs.replace(plan, targets=(*plan.targets, *ours))
        side = split.side_of(call)
        if side == "a":
            own, plan = plan.targets, _without(plan, ours)
        else:
            # Answered by A a copy would say nothing, and cost as much.
            others = () if side == "shadow" else tuple([target for target in plan.targets if target not in ours])
            own, plan = ours, structs.replace(plan, targets=(*ours, *others))
        self._take_part(call, split, side)
        places = frozenset([split.place(target) for target in (own if plan.larger is None else (*own, plan.larger))])
        call.at_end(lambda call: _note_failure(call, split, places))
        return plan

    def ref(self, call: Call, ref: PromptRef) -> PromptRef:
        """Which prompt a call means by a label that is rolling out; asked once for each reference of a call.

        A call takes part in one rollout: that of its route goes before that of a label.
        """
        label = None if ref.version is not None else labelled(ref, call)
        split = None if label is None else self._labels.get((ref.id, label))
        if split is None or split.prompt is None or call.facts.get(_PART, split.row.id) != split.row.id:
            return ref
        side = split.side_of(call)
        self._take_part(call, split, side)
        call.at_end(lambda call: _note_failure(call, None, frozenset()))
        return ref if side == "a" else split.prompt

    def _take_part(self, call: Call, split: Split, side: Side) -> None:
        row = split.row
        call.facts[_PART] = row.id
        tags = {TAG: row.id, TAG_SIDE: side, TAG_STAGE: str(row.stage)}
        if side == "a":
            self._copied(call, row)
        else:
            tags |= row.tags
        call.tags = {**call.tags, **tags}
        if call.spans:
            span = call.spans[-1]
            span.attributes = {**(span.attributes or {}), **tags}

    def _copied(self, call: Call, row: RolloutRow) -> None:
        """Have a copy sent once the call has ended, for the share of calls that is to be copied."""
        mirror = self._mirror
        if row.shadow is None or row.state != "shadow" or mirror is None or call.kind != "chat":
            return
        if random.random() < row.shadow.share:
            # As it was asked: what stages make of it (prompt, passages) they make anew for side B.
            asked = call.input
            call.at_end(lambda call: mirror(call, asked, row))


def _note_failure(call: Call, split: Split | None, own: frozenset[Place]) -> None:
    """A call that its side could not answer is a failure of that side, also where somebody else then answered it."""
    target = call.target
    if call.error is not None or target is None:
        return
    if LAST_RESORT in call.facts or (split is not None and split.place(target) not in own):
        call.tags[TAG_FAILED] = "fallback"


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
