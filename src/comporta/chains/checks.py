"""What the parts of a chain must know of one another: names that are there when they are asked for, keys used once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from comporta.chains.expression import Expression
from comporta.chains.output import schema_mistake
from comporta.chains.values import INPUT, Chain, Parallel, Part, Router, Step, parts_of
from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Fields, Path
from comporta.errors import BadRequest
from comporta.prompts.prompt import Prompt
from comporta.prompts.reading import Reading
from comporta.prompts.values import Variable

Tell = Callable[[Path, str], None]


def checked(chain: Chain, reading: Reading) -> Chain:
    """The chain of a file, with a variable for every placeholder that nothing else gives; mistakes go to `reading`."""
    return _Checking(chain, reading.wrong, reading.warn, lambda path: reading.node(path)).chain()


def checked_in_python(chain: Chain) -> Chain:
    """The same for one that was made in Python. Raises BadRequest with all that is wrong."""
    wrong: list[str] = []
    whole = _Checking(chain, lambda path, text: wrong.append(text), lambda path, text: None, lambda path: None).chain()
    if wrong:
        raise BadRequest(f"chain '{chain.name}': " + "; ".join(wrong), code="invalid_chain", param="steps")
    return whole


class _Checking:
    """One chain on its way through the check."""

    def __init__(self, chain: Chain, wrong: Tell, warn: Tell, node: Callable[[Path], Any]) -> None:
        self._chain = chain
        self._wrong = wrong
        self._warn = warn
        self._node = node
        self._declared = {one.name for one in chain.variables}
        self._all_keys = {key for part in parts_of(chain.steps) if (key := _key(part))}
        #: Placeholders that nothing gives: required variables of the chain.
        self._implied: dict[str, None] = {}

    def chain(self) -> Chain:
        keys: set[str] = set()
        self._sequence(self._chain.steps, ("steps",), keys, set())
        for name in sorted(self._declared & (self._all_keys | {INPUT})):
            why = "is what the caller said last" if name == INPUT else "is also the output_key of a step"
            self._wrong(("variables",), f"declares {name}, which {why}")
        self._output()
        implied = tuple(Variable(name, implied=True) for name in self._implied)
        return structs.replace(self._chain, variables=(*self._chain.variables, *implied), output=self._chain.output)

    def _output(self) -> None:
        output = self._chain.output
        if isinstance(output, Prompt):
            self._placeholders(output, ("output",), self._all_keys, {})
        elif output is not None and output not in self._all_keys:
            guess = did_you_mean(output, self._all_keys)
            self._wrong(("output",), f"names {output}, which no step has for its output_key{guess}")

    def _sequence(self, parts: Sequence[Part], path: Path, keys: set[str], names: set[str]) -> None:
        """Steps one after another; `keys` are the outputs there are by then, and grow."""
        for at, part in enumerate(parts):
            self._part(part, (*path, at), keys, names)

    def _part(self, part: Part, path: Path, keys: set[str], names: set[str]) -> None:
        if part.name in names and not isinstance(part, Parallel):
            self._wrong(path, f"has the name of an earlier step, {part.name}; each needs its own")
        names.add(part.name)
        said = "when" if self._node((*path, "when")) is not None else "condition"
        self._asks(part.condition, (*path, said), keys)
        if isinstance(part, Parallel):
            self._parallel(part, (*path, "parallel"), keys, names)
            return
        if isinstance(part, Router):
            self._router(part, path, keys, names)
            return
        self._step(part, path, keys)
        self._take(part.output_key, path, keys)

    def _take(self, key: str, path: Path, keys: set[str]) -> None:
        if key in keys:
            self._wrong(path, f"has the output_key {key}, which an earlier step has; each needs its own")
        keys.add(key)

    def _step(self, step: Step, path: Path, keys: set[str]) -> None:
        for name, value in step.variables.items():
            self._asks(value, (*path, "variables", name), keys)
        if isinstance(step.prompt, Prompt):
            self._placeholders(step.prompt, (*path, "prompt"), keys, step.variables)
        if step.schema is not None and (why := schema_mistake(step.schema)):
            self._wrong((*path, "schema"), why)

    def _parallel(self, part: Parallel, path: Path, keys: set[str], names: set[str]) -> None:
        before = frozenset(keys)
        for at, one in enumerate(part.steps):
            # What runs at the same time can't wait for one another.
            own = set(before)
            self._part(one, (*path, at), own, names)
            for key in sorted((own - before) & keys):
                self._wrong((*path, at), f"has the output_key {key}, which another of the parallel steps has")
            keys |= own

    def _router(self, router: Router, path: Path, keys: set[str], names: set[str]) -> None:
        below: Path = (*path, "router")
        if router.step is not None:
            self._step(router.step, below, keys)
        self._asks(router.decide, (*below, "decide"), keys)
        self._take(router.output_key, path, keys)
        before, names_before = frozenset(keys), frozenset(names)
        for name, parts in router.routes.items():
            place: Path = (*below, "routes", name)
            if isinstance(self._node(place), Fields):
                place = (*place, "steps")
            # Of the routes one alone is taken, so they may use the same names.
            own, own_names = set(before), set(names_before)
            self._sequence(parts, place, own, own_names)
            keys |= own
            names |= own_names

    def _asks(self, condition: object, path: Path, keys: Iterable[str]) -> None:
        if not isinstance(condition, Expression):
            return
        there = {*keys, *self._declared, INPUT}
        for name in sorted(condition.names - there):
            self._wrong(path, f"asks for {name}, {self._missing(name, there)}")

    def _missing(self, name: str, there: Iterable[str]) -> str:
        if name in self._all_keys:
            return "which a later step gives, or one at the same time"
        return f"which no variable and no earlier step gives{did_you_mean(name, there)}"

    def _placeholders(self, prompt: Prompt, path: Path, keys: Iterable[str], given: Mapping[str, Any]) -> None:
        there = {*keys, *self._declared, *given, INPUT}
        for name in (one.name for one in prompt.variables if one.name not in there):
            if name in self._all_keys:
                self._wrong(path, f"{{{name}}} is the output of a later step, or of one at the same time")
                continue
            if name not in self._implied:
                guess = did_you_mean(name, there)
                self._warn(path, f"{{{name}}} is not declared under variables{guess} (taken as a required text)")
            self._implied[name] = None


def _key(part: Part) -> str | None:
    return None if isinstance(part, Parallel) else part.output_key
