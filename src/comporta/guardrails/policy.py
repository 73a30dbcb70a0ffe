"""Which guards look at what, and what becomes of what they find: read from configuration and prompt files, and joined.

Several policies may hold for a call (the configuration's, its route's, its prompt's, its key's): all their guards are
asked, and where two name the same guard, the strictest word of each holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from comporta.config.values import parse_duration
from comporta.errors import ConfigError
from comporta.guardrails.base import ACTIONS, Action, Guard, Kind, Place, Severity, Side, Tools
from comporta.guardrails.restricting import Restriction
from comporta.types import JSON

#: Keys of an entry that are the policy's own; the others are the guard's settings.
_OWN = ("type", "guard", "action", "threshold", "on", "on_failure", "timeout", "severity", "name", "restrict")
_PLACES: tuple[Place, ...] = ("system", "user", "assistant", "tool", "passage", "name", "alt")
_SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
#: Words that prompt files and others use for ours.
_ACTIONS: Mapping[str, Action] = {**{one: one for one in ACTIONS}, "redact": "mask", "flag": "warn", "allow": "log"}

#: So many guards are kept for policies that name the same one.
_MADE = 1_000
OnFailure = Literal["closed", "open"]


class Use(Struct, frozen=True):
    """One guard as a policy uses it."""

    #: As verdicts, scores and metrics name it: the policy's own name for it, else that of its kind.
    name: str
    kind: Kind
    guard: Guard
    action: Action
    threshold: float
    places: frozenset[Place]
    on_failure: OnFailure
    timeout_s: float
    severity: Severity
    #: Same guard, same settings: such uses join.
    key: str
    #: What a call keeps to where the action is `restrict`.
    restrict: Restriction = Restriction()


class Policy(Struct, frozen=True):
    """Guards on the way in and on the way out."""

    input: tuple[Use, ...] = ()
    output: tuple[Use, ...] = ()
    #: Streams are held back until what goes out was looked at, or only watched.
    stream: Literal["hold", "observe"] = "hold"
    #: Whether the client gets its own values back where masks stand for them.
    unmask: bool = False
    #: Answered in place of an error where something was blocked.
    refusal: str | None = None
    #: Which turns of a conversation are looked at.
    turns: Literal["all", "last"] = "all"
    #: The key by which the text of answers is marked; None for none.
    watermark: str | None = None
    #: Changes with everything that can change a verdict.
    version: str = ""

    def __bool__(self) -> bool:
        return bool(self.input or self.output or self.watermark)


class Kinds:
    """The kinds of guards there are, by their names and aliases, and the guards made from them so far."""

    def __init__(self, kinds: Iterable[Kind], tools: Tools) -> None:
        self.all = tuple(kinds)
        self._named = {name: kind for kind in self.all for name in (kind.name, *kind.aliases)}
        self._tools = tools
        self._made: dict[str, Guard] = {}

    def uses(self, entries: Sequence[Any], side: Side) -> tuple[Use, ...]:
        """The guards of a list as people write it: names, or mappings with `type`. Raises ConfigError, a sentence."""
        return tuple(self.use(entry, side) for entry in entries)

    def use(self, entry: Any, side: Side) -> Use:
        """One entry of such a list."""
        given: JSON = {"type": entry} if isinstance(entry, str) else dict(entry)
        name = given.get("type") or given.get("guard")
        kind = self._named.get(name) if isinstance(name, str) else None
        if kind is None:
            known = ", ".join(sorted(one.name for one in self.all))
            raise ConfigError(f"there is no guard '{name}': there are {known}")
        if side not in kind.sides:
            raise ConfigError(f"{kind.name} guards the {kind.sides[0]} only, not the {side}")
        settings = _settings(kind, {k: v for k, v in given.items() if k not in _OWN})
        action = _action(kind, given.get("action"))
        key = f"{kind.name} {msgspec.json.encode(settings, order='deterministic').decode()}"
        return Use(
            name=str(given.get("name") or kind.name),
            kind=kind,
            guard=self._guard(kind, settings, key),
            action=action,
            threshold=_share(kind, given.get("threshold")),
            places=frozenset(_places(kind, given.get("on"), side)),
            on_failure=_one_of(kind, "on_failure", given.get("on_failure", "closed"), ("closed", "open")),
            timeout_s=_timeout_s(kind, given.get("timeout")),
            severity=_one_of(kind, "severity", given.get("severity", kind.severity), _SEVERITIES),
            key=key,
            restrict=_restriction(kind, given.get("restrict"), action, side),
        )

    def _guard(self, kind: Kind, settings: Struct, key: str) -> Guard:
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= _MADE:
                # Whoever uses one has it; callers may name guards with settings of their own, without end.
                self._made.pop(next(iter(self._made)))
            made = self._made[key] = kind.build(settings, self._tools)
        return made


def _settings(kind: Kind, given: JSON) -> Struct:
    try:
        return msgspec.convert(given, kind.settings, strict=False)
    except msgspec.ValidationError as error:
        names = ", ".join(field.encode_name for field in structs.fields(kind.settings)) or "none"
        raise ConfigError(f"{kind.name}: {error} (settings of its own: {names})") from None


def _action(kind: Kind, given: Any) -> Action:
    if given is None:
        return kind.action
    found = _ACTIONS.get(given) if isinstance(given, str) else None
    if found is None:
        raise ConfigError(f"{kind.name}: action must be one of {', '.join(ACTIONS)}, not {given!r}")
    return found


def _restriction(kind: Kind, given: Any, action: Action, side: Side) -> Restriction:
    if action != "restrict":
        if given is not None:
            raise ConfigError(f"{kind.name}: `restrict` goes with `action: restrict`")
        return Restriction()
    if side == "output":
        raise ConfigError(f"{kind.name}: `action: restrict` is for the input: an answer is there already")
    try:
        found = msgspec.convert(given or {}, Restriction)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{kind.name}: restrict: {error}") from None
    if not found:
        raise ConfigError(f"{kind.name}: say under `restrict` what is left: temperature, max_tokens, tools, model")
    return found


def _share(kind: Kind, given: Any) -> float:
    if given is None:
        return kind.threshold
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise ConfigError(f"{kind.name}: threshold must be a number between 0 and 1, not {given!r}")
    return float(given)


def _places(kind: Kind, given: Any, side: Side) -> tuple[Place, ...]:
    if given is None:
        return kind.places if side == "input" else ("assistant",)
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not words or any(word not in _PLACES for word in words):
        raise ConfigError(f"{kind.name}: `on` must list some of {', '.join(_PLACES)}, not {given!r}")
    return tuple(words)


def _one_of(kind: Kind, name: str, given: Any, words: Sequence[str]) -> Any:
    if given not in words:
        raise ConfigError(f"{kind.name}: {name} must be one of {', '.join(words)}, not {given!r}")
    return given


def _timeout_s(kind: Kind, given: Any) -> float:
    if given is None:
        return kind.timeout_s
    try:
        return parse_duration(given)
    except ValueError as error:
        raise ConfigError(f"{kind.name}: timeout {error}") from None


# ---- joining --------------------------------------------------------------------------------------------------------


def joined(policies: Sequence[Policy]) -> Policy:
    """All guards of all policies; of the same guard the strictest. The refusal is the last one that any of them has.

    Holding a stream is stricter than watching it, and looking at all turns stricter than looking at the last.
    """
    some = [policy for policy in policies if policy]
    if len(some) < 2:
        return some[0] if some else Policy()
    refusals = [policy.refusal for policy in some if policy.refusal is not None]
    together = Policy(
        input=_strictest(use for policy in some for use in policy.input),
        output=_strictest(use for policy in some for use in policy.output),
        stream="hold" if any(policy.stream == "hold" for policy in some) else "observe",
        unmask=any(policy.unmask for policy in some),
        refusal=refusals[-1] if refusals else None,
        turns="all" if any(policy.turns == "all" for policy in some) else "last",
        watermark=next((policy.watermark for policy in reversed(some) if policy.watermark), None),
    )
    return versioned(together)


def versioned(policy: Policy) -> Policy:
    """The policy under a name of what it does, by which verdicts are remembered."""
    said = [
        (use.key, use.name, use.action, use.threshold, sorted(use.places), use.on_failure, use.severity, use.restrict)
        for use in (*policy.input, *policy.output)
    ]
    text = msgspec.json.encode((said, len(policy.input), policy.stream, policy.unmask, policy.turns, policy.watermark))
    return structs.replace(policy, version=hashlib.blake2b(text, digest_size=8).hexdigest())


def _strictest(uses: Iterable[Use]) -> tuple[Use, ...]:
    found: dict[str, Use] = {}
    for use in uses:
        other = found.get(use.key)
        found[use.key] = use if other is None else _stricter(other, use)
    return tuple(found.values())


def _stricter(one: Use, other: Use) -> Use:
    return structs.replace(
        one,
        action=min(one.action, other.action, key=ACTIONS.index),
        threshold=min(one.threshold, other.threshold),
        places=one.places | other.places,
        on_failure="closed" if "closed" in (one.on_failure, other.on_failure) else "open",
        timeout_s=min(one.timeout_s, other.timeout_s),
        severity=max(one.severity, other.severity, key=_SEVERITIES.index),
        restrict=one.restrict.also(other.restrict),
    )
