"""What a budget does as it fills: whom it tells, and what then becomes of calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct

from comporta.errors import BadRequest

Verb = Literal["block_requests", "switch_to_cheaper_model", "throttle", "allow_requests"]
VERBS: tuple[Verb, ...] = get_args(Verb)
#: What stands in for a limit that no call can reach; Redis counts exactly up to 2^53.
UNLIMITED_MICROUSD = 4 * 10**15
MOST_STEPS = 20
MOST_PERCENT = 1000
DEFAULT_PER_MINUTE = 10
_AT = re.compile(r"at_([1-9]\d{0,3})", re.ASCII)


class Step(Struct, frozen=True, omit_defaults=True):
    """From `at` percent of the limit on: people are told once in each period, and calls meet what it does."""

    at: int
    does: Verb | None = None
    #: Names of channels; None for the usual ones.
    tell: tuple[str, ...] | None = None


class Throttle(Struct, frozen=True, omit_defaults=True):
    """How much passes under `throttle`: so many requests a minute, or a share (0 to 1) of them."""

    requests_per_minute: int | None = None
    share: float | None = None


class Acts(Struct, frozen=True, omit_defaults=True):
    """The steps of a budget, by rising percent, with what `switch_to_cheaper_model` and `throttle` need."""

    steps: tuple[Step, ...] = ()
    cheaper_model: str | None = None
    throttle: Throttle | None = None

    @property
    def hard_percent(self) -> int | None:
        """From which percent on calls are refused; None where they never are.

        100, unless another step blocks, or the step at 100 says that something else is done there.
        """
        blocking = [step.at for step in self.steps if step.does == "block_requests"]
        if blocking:
            return min(blocking)
        return None if any(step.at == 100 and step.does is not None for step in self.steps) else 100

    @property
    def softly(self) -> bool:
        """Whether some step changes what becomes of calls that pass."""
        return any(step.does in ("switch_to_cheaper_model", "throttle") for step in self.steps)

    def now(self, percent: float) -> Step | None:
        """The step that holds for calls at so many percent spent: the last one that says what calls meet."""
        passed = [step for step in self.steps if step.does is not None and step.at <= percent]
        return passed[-1] if passed else None

    @property
    def thresholds(self) -> list[int]:
        """The percents at which something happens, as they are written in a budget."""
        return [step.at for step in self.steps]

    @property
    def written(self) -> dict[str, list[str]]:
        """`at_90: [notify_finance]`, as it is written in a budget."""
        said = {
            f"at_{step.at}": [*([step.does] if step.does is not None else []), *(step.tell or ())]
            for step in self.steps
        }
        return {at: words for at, words in said.items() if words}


def acts_of(
    thresholds: Iterable[object],
    actions: Mapping[str, str | Sequence[str]],
    cheaper_model: str | None = None,
    throttle: Throttle | None = None,
) -> Acts:
    """What thresholds and actions say together. Raises BadRequest, naming the field.

    A word that is none of VERBS is the name of a channel; a step without any tells the usual ones.
    """
    said: dict[int, list[str]] = {_percent(one, "alert_thresholds"): [] for one in thresholds}
    for at, words in actions.items():
        said.setdefault(percent_of(at), []).extend([words] if isinstance(words, str) else words)
    if len(said) > MOST_STEPS:
        raise BadRequest(f"A budget has up to {MOST_STEPS} thresholds.", param="alert_thresholds")
    steps = tuple(_step(at, words) for at, words in sorted(said.items()))
    return Acts(steps, cheaper_model, throttle)


def percent_of(at: str) -> int:
    """90 of `at_90`. Raises BadRequest."""
    match = _AT.fullmatch(at)
    if match is None:
        raise BadRequest(f"'{at[:50]}' is no threshold: write at_90 for 90 percent.", param="actions")
    return _percent(int(match[1]), "actions")


def _percent(value: object, param: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PERCENT:
        raise BadRequest(f"{param}: a threshold is a whole number of percent from 1 to {MOST_PERCENT}.", param=param)
    return value


def _step(at: int, words: Sequence[str]) -> Step:
    verbs = [word for word in words if word in VERBS]
    if len(verbs) > 1:
        raise BadRequest(f"at_{at} says {' and '.join(verbs)}: calls can meet one of them only.", param="actions")
    tell = tuple(dict.fromkeys(word for word in words if word not in VERBS))
    if any(not word or len(word) > 100 for word in tell):
        raise BadRequest(f"at_{at}: a channel's name has 1 to 100 characters.", param="actions")
    return Step(at, verbs[0] if verbs else None, tell or None)


def hard_microusd(limit_microusd: int, acts: Acts) -> int:
    """What may be spent in a period at all."""
    percent = acts.hard_percent
    return UNLIMITED_MICROUSD if percent is None else max(limit_microusd * percent // 100, 1)


def amount_at(limit_microusd: int, percent: int) -> int:
    """The least that is so many percent of the limit."""
    return -(-limit_microusd * percent // 100)
