"""A call that goes on from an earlier answer, and how its plan leads back to where that answer came from (WIRE 27)."""

from __future__ import annotations

from msgspec import Struct, structs

from comporta.errors import BadRequest
from comporta.routing.choose import Plan
from comporta.types import Target

#: Where a call's `Pinned` stands among its facts.
PINNED = "pinned"


class Pinned(Struct, frozen=True):
    """Where an earlier answer came from, and how binding that is."""

    #: What the client refers to, for messages.
    what: str
    #: The name that was asked for then.
    asked: str
    target: Target
    #: Whether the provider alone can go on: it keeps the conversation, or sealed the thinking for itself.
    held: bool
    #: Whether the call makes no sense anywhere else.
    must: bool


def led_back(plan: Plan, pinned: Pinned, name: str) -> Plan:
    """The plan of a call that follows up on an answer.

    What its provider holds goes to the same variant and credential and nowhere else, also where the route has let go of
    that variant since. What any provider can go on from tries them first. A client that asks for another name than
    before means it: then only the provider and its credential are kept, and where that name leads to other providers,
    what can't go on there is refused. Raises BadRequest.
    """
    target = _same_variant(plan, pinned)
    if target is None and pinned.held and name == pinned.asked:
        target = pinned.target
    target = target or _same_provider(plan, pinned)
    if target is None:
        if pinned.must:
            raise BadRequest(_elsewhere(pinned, name), code="response_held_elsewhere", param="previous_response_id")
        return plan
    credential = pinned.target.credential
    if pinned.held:
        return Plan((structs.replace(target, credential=credential),), None, plan.last_resort, plan.on_cut)
    others = tuple(one for one in plan.targets if one is not target and (one.provider or one.variant != target.variant))
    first = () if credential is None else (structs.replace(target, credential=credential),)
    return structs.replace(plan, targets=(*first, target, *others))


def _same_variant(plan: Plan, pinned: Pinned) -> Target | None:
    wanted = (pinned.target.variant, pinned.target.provider, pinned.target.model)
    everyone: tuple[Target, ...] = plan.targets if plan.larger is None else (*plan.targets, plan.larger)
    for target in everyone:
        if (target.variant, target.provider, target.model) == wanted:
            return target
        if not target.provider and target.variant == pinned.target.variant:
            # Its prompt named the model, and the answer came from there.
            return structs.replace(target, provider=pinned.target.provider, model=pinned.target.model)
    return None


def _same_provider(plan: Plan, pinned: Pinned) -> Target | None:
    """A target of the same provider, of the same model where there is one."""
    near = [target for target in plan.targets if target.provider == pinned.target.provider]
    return next((target for target in near if target.model == pinned.target.model), near[0] if near else None)


def _elsewhere(pinned: Pinned, name: str) -> str:
    return (
        f"{pinned.what} is kept by the provider '{pinned.target.provider}', and '{name}' does not lead there: "
        f"ask for '{pinned.asked}' again, or send the whole conversation as `input`."
    )
