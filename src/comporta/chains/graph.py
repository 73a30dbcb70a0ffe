"""Chains that ask one another: cycles, and nesting deeper than calls may be, found before any call is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from comporta.chains.values import PREFIX, Chain, Part, steps_within
from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Path
from comporta.pipeline import MAX_DEPTH

#: The chains that a model's name may lead to (a route's variants may be chains).
Leads = Callable[[str], Iterable[str]]


class Tangle(NamedTuple):
    """What is wrong between chains, and in which of them."""

    chain: Chain
    text: str
    #: Where in its file, as far as that is known.
    path: Path


def tangles(chains: Mapping[str, Chain], leads: Leads) -> list[Tangle]:
    """Chains that are asked for and not there, cycles, and chains more than MAX_DEPTH deep."""
    found: list[Tangle] = []
    below = {name: _below(chain, leads) for name, chain in chains.items()}
    for name, chain in chains.items():
        for other, path in below[name].items():
            if other not in chains:
                found.append(Tangle(chain, f"there is no chain '{other}'{did_you_mean(other, chains)}", path))
    known = {name: [one for one in others if one in chains] for name, others in below.items()}
    looped: set[str] = set()
    heights: dict[str, int] = {}
    for name, chain in chains.items():
        loop = _loop(name, known)
        if loop and not looped & set(loop):
            looped |= set(loop)
            text = f"asks itself without an end: {' → '.join(loop)}"
            found.append(Tangle(chain, text, below[name].get(loop[1], ())))
    if not looped:
        for name, chain in chains.items():
            if (deep := _height(name, known, heights)) > MAX_DEPTH:
                text = f"asks chains that ask chains, {deep} deep; at most {MAX_DEPTH} are allowed"
                found.append(Tangle(chain, text, ()))
    return found


def _below(chain: Chain, leads: Leads) -> dict[str, Path]:
    """The chains that a chain's steps may ask, and where it says so."""
    found: dict[str, Path] = {}
    for at, part in enumerate(chain.steps):
        for model in _models([part], chain.model):
            for name in leads(model):
                found.setdefault(name, ("steps", at))
    return found


def _models(parts: Sequence[Part], standard: str | None) -> Iterable[str]:
    for step in steps_within(parts):
        model = step.model or getattr(step.prompt, "model", None) or standard
        if model is not None:
            yield model


def _loop(start: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from a chain back to itself; empty where there is none."""
    came_from: dict[str, str] = {}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for other in known[here]:
            if other == start:
                way = [here]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return [*reversed(way), start]
            if other not in came_from:
                came_from[other] = here
                waiting.append(other)
    return []


def _height(name: str, known: Mapping[str, Sequence[str]], heights: dict[str, int]) -> int:
    """How many chains deep a chain goes, itself counted."""
    waiting = [name]
    while waiting:
        here = waiting[-1]
        missing = [other for other in known[here] if other not in heights]
        if missing:
            waiting += missing
        else:
            heights[here] = 1 + max((heights[other] for other in known[here]), default=0)
            waiting.pop()
    return heights[name]


def direct(model: str) -> Iterable[str]:
    """Where a name leads when only chains' own names are known."""
    return [model.removeprefix(PREFIX)] if model.startswith(PREFIX) else []
