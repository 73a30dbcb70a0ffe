"""Guards as a gate has them: policies from configuration, routes, prompts and keys, and what they are built with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from comporta.app.guard_tools import GuardTools, wrong_bases
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.embedding.minilm import MiniLM
from comporta.errors import BadRequest, ComportaError, ConfigError, GuardFailed, Unavailable
from comporta.guardrails.base import Searched, Side, Tools
from comporta.guardrails.call import BLOCKED, GUARDED, MASKS, UNSEEN, Judge, Told
from comporta.guardrails.known import known_kinds
from comporta.guardrails.masking import Style
from comporta.guardrails.policy import Kinds, Policy, joined, versioned
from comporta.guardrails.repairing import Repairs, Reword
from comporta.guardrails.running import Report, Runner
from comporta.guardrails.settings import PolicySection
from comporta.guardrails.stage import Guard, Redirect
from comporta.pipeline import Call, new_id
from comporta.prompts.values import Guard as PromptGuard
from comporta.prompts.values import Guardrails
from comporta.telemetry.capture import HASHED, Kept
from comporta.types import Score

#: In the call's facts: no guard looks at it, since a guard itself asks.
UNGUARDED = "unguarded"
#: In the call's facts: the guards that its prompt wants.
PROMPT_GUARDS = "prompt_guards"
#: In the call's facts: the route on behalf of which it is made; what holds there holds for it.
FOR_ROUTE = "for_route"
_NONE = Policy()
#: What is asked where nobody says which guards.
USUAL = ("pii_detection", "secrets", "prompt_injection", "toxicity_check")
#: Policies of prompts are remembered for so many prompts.
_REMEMBERED = 2_000


class Guarding:
    """The guards of one process. `take` reads a configuration; until then nothing is guarded."""

    def __init__(
        self, tools: Tools, told: Told, reword: Reword | None = None, judge: Judge | None = None,
        redirect: Redirect | None = None,
    ) -> None:  # fmt: skip
        self._tools = GuardTools(known_kinds(), tools)
        #: Those of the configuration in force.
        self.kinds = Kinds(self._tools.kinds, tools)
        #: Asks the judge model on behalf of a call; None where nobody can.
        self.judge = judge
        self.runner = Runner()
        self._general = _NONE
        self._named: dict[str, Policy] = {}
        self._routes: dict[str, tuple[Policy, ...]] = {}
        self._joined: dict[tuple[str, ...], Policy] = {}
        self._prompts: dict[bytes, Policy] = {}
        #: How masks look.
        self.style: Style = "label"
        self._keep_blocked = "masked"
        self._any = False
        self.stage = Guard(self.policy_of, self.runner, told, Repairs(reword), lambda: self.style,
                           lambda: self._keep_blocked == "masked", judge, redirect)  # fmt: skip

    def applies(self, call: Call) -> bool:
        """Whether any guard looks at a call; a look at one flag where none is configured anywhere."""
        wanted = self._any or call.caller.guardrails is not None or PROMPT_GUARDS in call.facts
        return wanted and self.stage.applies(call)

    def kept(self, call: Call) -> Kept | None:
        """What of a call may be recorded; None where guards have no say in it.

        Where a guard was to look at an input and could not (it failed, or the call was refused before), nobody knows
        what stands in it.
        """
        facts = call.facts
        if not self._any and call.caller.guardrails is None and PROMPT_GUARDS not in facts:
            return None
        if facts.get(UNGUARDED):
            return None if self._keep_blocked == "full" else HASHED
        if BLOCKED in facts:
            return self._kept_of_blocked(facts)
        if GUARDED not in facts:
            return HASHED if self._concerned(call) else None
        if UNSEEN in facts:
            return HASHED
        masks = facts.get(MASKS)
        # What was only watched went out as it was, and what led back too.
        return None if masks is None else Kept(reply=masks.again, values=masks.again)

    def _kept_of_blocked(self, facts: dict[str, Any]) -> Kept | None:
        if self._keep_blocked == "full":
            return None
        if self._keep_blocked == "off":
            return Kept("off")
        return Kept(values=facts[MASKS].again) if facts[BLOCKED] else HASHED

    def _concerned(self, call: Call) -> bool:
        if call.kind == "count":
            return False
        try:
            return bool(self.policy_of(call).input)
        except ComportaError:
            return True

    def read(self, loaded: Loaded[Settings]) -> _Read:
        """The policies of a configuration. Raises ConfigError, each mistake with its file and line."""
        return _Read(self._tools.under(loaded), loaded)

    def take(self, loaded: Loaded[Settings]) -> None:
        """Take over a configuration that `read` accepts."""
        read = self.read(loaded)
        if read.kinds is not self.kinds:
            self.kinds = read.kinds
            self._prompts.clear()
        self._general, self._named, self._routes = read.general, read.named, read.routes
        self.style = loaded.value.guardrails.mask_style
        self._keep_blocked = loaded.value.guardrails.keep_blocked
        self._joined.clear()
        self._any = bool(read.general) or any(any(ps) for ps in read.routes.values()) or any(read.named.values())

    def named(self, name: str) -> Policy:
        """A policy by its name; `default` is the configuration's own. Raises BadRequest."""
        found = self._general if name == "default" else self._named.get(name)
        if found is None:
            names = ", ".join(["default", *sorted(self._named)])
            raise BadRequest(f"There is no guard policy '{name}': there are {names}.", param="policy")
        return found

    def of(self, entries: Sequence[Any], side: Side) -> Policy:
        """A policy made of guards as people write them. Raises BadRequest."""
        try:
            uses = self.kinds.uses(entries, side)
        except ConfigError as error:
            raise BadRequest(error.message, param="guards") from None
        return versioned(Policy(input=uses) if side == "input" else Policy(output=uses))

    def policy_of(self, call: Call) -> Policy:
        """What holds for a call: everything that is said anywhere, the strictest word of each."""
        if call.facts.get(UNGUARDED):
            return _NONE
        policies = [self._general]
        # A call that was refused early has no target yet.
        policies += self._routes.get(call.model if call.target is None else call.target.route, ())
        if FOR_ROUTE in call.facts:
            policies += self._routes.get(call.facts[FOR_ROUTE], ())
        own = call.caller.guardrails
        if own is not None:
            policies.append(self._named.get(own) or self._missing(own))
        wanted = call.facts.get(PROMPT_GUARDS)
        if wanted is not None:
            policies.append(self._of_prompt(wanted))
        some = [policy for policy in policies if policy]
        if len(some) < 2:
            return some[0] if some else _NONE
        key = tuple(policy.version for policy in some)
        found = self._joined.get(key)
        if found is None:
            if len(self._joined) >= _REMEMBERED:
                self._joined.clear()
            found = self._joined[key] = joined(some)
        return found

    def _missing(self, name: str) -> Policy:
        raise GuardFailed(
            f"This key is under the guard policy '{name}', which the configuration does not have any more."
        )

    def _of_prompt(self, wanted: Guardrails) -> Policy:
        key = msgspec.json.encode(wanted)
        found = self._prompts.get(key)
        if found is None:
            if len(self._prompts) >= _REMEMBERED:
                self._prompts.clear()
            try:
                found = self._prompts[key] = prompt_policy(self.kinds, wanted)
            except ConfigError as error:
                raise GuardFailed(f"The guards of this prompt can't be had: {error.message}.") from None
        return found


def prompt_policy(kinds: Kinds, wanted: Guardrails) -> Policy:
    """The policy that a prompt file's guards make. Raises ConfigError."""
    return versioned(
        Policy(
            input=tuple(kinds.use(_entry(one), "input") for one in wanted.input),
            output=tuple(kinds.use(_entry(one), "output") for one in wanted.output),
        )
    )


def _entry(guard: PromptGuard) -> dict[str, Any]:
    return {"type": guard.type, "action": guard.action, **guard.options}


def mistake_in(kinds: Kinds, side: Side, guard: PromptGuard) -> str | None:
    """What is wrong with a guard of a prompt file, in a sentence; None where nothing is."""
    try:
        kinds.use(_entry(guard), side)
    except ConfigError as error:
        return error.message
    return None


def kinds_at_hand(cache: Path, functions: Iterable[str] = ()) -> Kinds:
    """The kinds of guards, to read policies with where no gate runs: see `tools_at_hand`."""
    return Kinds(known_kinds(), tools_at_hand(cache, functions))


def tools_at_hand(cache: Path, functions: Iterable[str] = ()) -> Tools:
    """What guards are built with where no gate runs; what only a gate has is taken to be there.

    A guard that asks a model or a knowledge base can be made so, and fails when it is asked.
    """
    return Tools(
        embedder=MiniLM(cache), judge="judge", knowledge=_nothing_known, functions=frozenset(functions),
        post=_nobody_called,
    )  # fmt: skip


def _nothing_known(name: str) -> Searched:
    return _Unsearched()


async def _nobody_called(
    url: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int
) -> tuple[int, bytes]:
    raise Unavailable("Hooks are called by a running gate only.")


class _Unsearched:
    async def search(self, text: str, limit: int) -> Sequence[str]:
        raise Unavailable("Knowledge bases are searched by a running gate only.")


class _Read:
    """The policies of one configuration."""

    def __init__(self, kinds: Kinds, loaded: Loaded[Settings]) -> None:
        self.kinds = kinds
        self._loaded = loaded
        self._wrong: list[str] = wrong_bases(loaded)
        section = loaded.value.guardrails
        self.general = self._policy(section, ("guardrails",))
        self.named = {
            name: self._policy(one, ("guardrails", "policies", name)) for name, one in section.policies.items()
        }
        self.routes = {
            name: self._of_route(route.guardrails, ("routes", name, "guardrails"))
            for name, route in loaded.value.routes.items()
            if route.guardrails is not None
        }
        if self._wrong:
            raise ConfigError("\n".join(self._wrong))

    def _of_route(self, said: str | list[str] | PolicySection, path: tuple[str, ...]) -> tuple[Policy, ...]:
        if isinstance(said, PolicySection):
            return (self._policy(said, path),)
        names = [said] if isinstance(said, str) else said
        for name in names:
            if name not in self.named:
                known = ", ".join(sorted(self.named)) or "none"
                self._wrong.append(self._loaded.mistake(path, f"names no policy of guardrails.policies: {known}"))
        return tuple(self.named[name] for name in names if name in self.named)

    def _policy(self, section: PolicySection, path: tuple[str, ...]) -> Policy:
        return versioned(
            Policy(
                input=self._uses(section.input, "input", path), output=self._uses(section.output, "output", path),
                stream=section.stream, unmask=section.unmask, refusal=section.refusal, turns=section.turns,
                watermark=section.watermark,
            )
        )  # fmt: skip

    def _uses(self, entries: Sequence[Any], side: Side, path: tuple[str, ...]) -> Any:
        uses = []
        for at, entry in enumerate(entries):
            try:
                uses.append(self.kinds.use(entry, side))
            except ConfigError as error:
                self._wrong.append(self._loaded.mistake((*path, side, at), error.message))
        return tuple(uses)


def scores_of(call: Call, side: Side, report: Report) -> Iterator[Score]:
    """Each finding as a score of the call: `guard.NAME` with what became of it. What was matched stands in none."""
    for one in report.found:
        yield Score(
            id=new_id(), trace_id=call.trace_id, call_id=call.id, name=f"guard.{one.use.name}", value=one.outcome,
            source="guard", reason=f"{side}: {one.verdict.reason}"[:500], at_s=time.time(), who=one.use.kind.name,
        )  # fmt: skip
