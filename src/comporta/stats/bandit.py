"""Shares that follow what is known of arms: Thompson sampling, with a floor so that every arm goes on being tried.

Thompson, «On the likelihood that one unknown probability exceeds another in view of the evidence of two samples»,
Biometrika 25, 1933; as shares of traffic: Scott, «A modern Bayesian look at the multi-armed bandit», Applied Stochastic
Models in Business and Industry 26(6), 2010.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from comporta.stats.sums import Sums

#: Enough that a chance is right within about 2 %.
DRAWS = 2_000


def chances_of_best(
    arms: Sequence[Sums], rng: random.Random, better: Literal["higher", "lower"] = "higher", draws: int = DRAWS
) -> tuple[float, ...]:
    """For each arm the chance that its mean is the best, from sums of values in [0, 1]; they add up to 1.

    Zeros and ones: from Beta distributions with a flat prior. Other values: from normal ones, with a prior of one value
    of 0.5. Drawn `draws` times with `rng`: the same seed gives the same chances.
    """
    sign = 1.0 if better == "higher" else -1.0
    wins = [0] * len(arms)
    for _ in range(draws):
        drawn = [sign * _mean_drawn(arm, rng) for arm in arms]
        wins[drawn.index(max(drawn))] += 1
    return tuple(won / draws for won in wins)


def _mean_drawn(arm: Sums, rng: random.Random) -> float:
    if arm.binary:
        return rng.betavariate(1 + arm.total, 1 + arm.n - arm.total)
    with_prior = arm.plus(Sums(1, 0.5, 0.5))
    return rng.gauss(with_prior.mean, math.sqrt(max(with_prior.variance, 1e-9) / with_prior.n))


def thompson(
    arms: Sequence[Sums], floor: float, rng: random.Random, better: Literal["higher", "lower"] = "higher"
) -> tuple[float, ...]:
    """A share for each arm: `floor` for everybody, the rest by the chance of being the best. They add up to 1.

    Raises ValueError where the floors of all arms leave nothing to share out.
    """
    rest = 1 - floor * len(arms)
    if not arms or floor < 0 or rest <= 0:
        raise ValueError(f"a floor of {floor:g} for each of {len(arms)} arms leaves nothing to share out")
    return tuple(floor + rest * chance for chance in chances_of_best(arms, rng, better))
