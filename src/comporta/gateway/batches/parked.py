"""A batch's call that was stopped at its provider's edge: what is kept of it until the provider's batch answers.

It has passed every stage on its way in; with what is kept here it goes on where it was stopped, in any process.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from comporta.guardrails.call import GUARDED, LOOKED_IN, MASKS
from comporta.guardrails.masking import Masks
from comporta.pipeline import Call
from comporta.prompts.values import Guardrails
from comporta.telemetry.capture import KEEP
from comporta.telemetry.record import PROMPTED, Prompted
from comporta.types import JSON, Caller, Input, Kind, Target

#: In the call's facts, by `gateway.prompting`: the guards of the prompt that it asks with.
_PROMPT_GUARDS = "prompt_guards"
#: What the record says of it stands under this name.
_NOTE = "native"


class Alone(Exception):
    """This call can't go into a batch of its provider's: it is asked by itself."""


class Parked(Exception):
    """A call stopped at its provider's edge: the request that its wire wrote, and where it would have gone."""

    def __init__(self, request: bytes, part: str, target: Target, percent: int, most_microusd: int) -> None:
        super().__init__("parked")
        self.request = request
        self.part = part
        self.target = target
        self.percent = percent
        self.most_microusd = most_microusd


class ParkedCall(Struct, frozen=True, omit_defaults=True):
    """What is kept. `percent` is the share of the price that the provider's batch asks, `most_microusd` what it holds
    of budgets at that price; `masks` lead the answer's masks back to what they stand for."""

    id: str
    request_id: str
    trace_id: str
    kind: Kind
    model: str
    door: str
    caller: Caller
    input: Input
    target: Target
    percent: int
    most_microusd: int
    session: str | None = None
    user: str | None = None
    tags: dict[str, str] = {}
    headers: dict[str, str] = {}
    dropped: tuple[str, ...] = ()
    notes: dict[str, JSON] | None = None
    masks: JSON | None = None
    prompted: Prompted | None = None
    guards: Guardrails | None = None
    keep: str | None = None
    guarded: bool = False


def parked_of(call: Call, stopped: Parked) -> ParkedCall:
    """What is kept of a call. Raises what msgspec raises for an input that JSON can't hold."""
    facts = call.facts
    masks: Masks | None = facts.get(MASKS)
    return ParkedCall(
        id=call.id, request_id=call.request_id, trace_id=call.trace_id, kind=call.kind, model=call.model,
        door=call.door, caller=call.caller, input=call.input, target=stopped.target, percent=stopped.percent,
        most_microusd=stopped.most_microusd, session=call.session, user=call.user, tags=call.tags,
        headers=call.headers, dropped=call.dropped, notes=call.notes, masks=None if masks is None else masks.kept(),
        prompted=facts.get(PROMPTED), guards=facts.get(_PROMPT_GUARDS), keep=facts.get(KEEP),
        guarded=GUARDED in facts,
    )  # fmt: skip


def call_of(kept: ParkedCall, at_s: float, batch: str, waited_s: float) -> Call:
    """The call as it goes on. `at_s` is when its answer came, in seconds since 1970.

    Told again it is the same call, at the same time: whoever records it does so once.
    """
    call = Call(
        kind=kept.kind, input=kept.input, model=kept.model, caller=kept.caller, door=kept.door, id=kept.id,
        request_id=kept.request_id, trace_id=kept.trace_id, session=kept.session, user=kept.user,
        tags=dict(kept.tags), headers=dict(kept.headers), target=kept.target, dropped=kept.dropped, started_s=at_s,
        notes=kept.notes, facts=_facts(kept),
    )  # fmt: skip
    call.note(_NOTE, batch=batch, percent=kept.percent, waited_s=round(waited_s, 3))
    return call


def _facts(kept: ParkedCall) -> dict[str, Any]:
    found: dict[str, Any] = {
        PROMPTED: kept.prompted, _PROMPT_GUARDS: kept.guards, KEEP: kept.keep,
        MASKS: None if kept.masks is None else Masks.restored(kept.masks),
    }  # fmt: skip
    facts = {name: value for name, value in found.items() if value is not None}
    facts[LOOKED_IN] = True
    if kept.guarded:
        facts[GUARDED] = True
    return facts
