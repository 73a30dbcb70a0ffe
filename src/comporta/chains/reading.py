"""The keys of a chain file, read into a Chain: what each may be, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from comporta.chains.text import prompt_of
from comporta.chains.values import PREFIX, Chain, Parallel, Part, Retry, Router, Step
from comporta.config.tree import Fields, Items, Path, Scalar
from comporta.config.values import parse_duration
from comporta.errors import BadRequest
from comporta.prompts.answers import check_schema
from comporta.prompts.declared import read_variables
from comporta.prompts.file import ID
from comporta.prompts.plain import Untemplatable
from comporta.prompts.prompt import Prompt
from comporta.prompts.reading import Reading
from comporta.prompts.semver import is_version, whole
from comporta.types import PromptRef

T = TypeVar("T")

KEYS = ("id", "name", "description", "model", "output", "timeout", "variables", "steps")
#: Parameters of a model that a step may name without `params`.
_SAMPLING = ("temperature", "max_tokens", "top_p", "seed", "stop")
_ASKING = ("model", "retry", "timeout", "variables", "params", *_SAMPLING)
_CONDITIONS = ("condition", "when")
STEP_KEYS = (
    "name", "prompt", "chain", "output_key", *_CONDITIONS, "output", "schema", "send_schema", "history", "attach",
    *_ASKING,
)  # fmt: skip
ROUTER_KEYS = ("decision_prompt", "prompt", "decide", "routes", "default", *_ASKING)
_PROMPT_KEYS = ("id", "version", "label", "system", "user")


def read_chain(reading: Reading, stem: str) -> Chain | None:
    """The chain; None where it can't be one. What is wrong stands in `reading`, each with its place."""
    if not isinstance(reading.tree, Fields):
        reading.wrong((), "must be a mapping (lines of key: value)")
        return None
    reading.keys((), KEYS)
    name = reading.text(("id",), stem)
    if not ID.fullmatch(name):
        reading.wrong(("id",), "must be letters, digits, dots, - and _, at most 100")
        name = "unnamed"
    if reading.node(("steps",)) is None:
        reading.wrong((), "needs steps: a list")
        return None
    steps = _parts(reading, ("steps",))
    fields: dict[str, Any] = {
        "description": reading.text(("description",)) or reading.text(("name",)),
        "model": reading.text(("model",)) or None,
        "output": reading.text(("output",)) or None,
        "timeout_s": reading.read(("timeout",), parse_duration),
        "variables": read_variables(reading, guards=False),
        "file": reading.tree.place.file,
    }
    if steps is None:
        return None
    return _built(reading, (), lambda: Chain(name, steps, **fields))


def _built(reading: Reading, path: Path, make: Callable[[], T]) -> T | None:
    """What `make` makes; what it says against it is a mistake at the place of the key that it names."""
    try:
        return make()
    except BadRequest as error:
        key = error.param
        if key == "condition" and reading.node((*path, "when")) is not None:
            key = "when"
        reading.wrong((*path, key) if key else path, error.message)
        return None


def _parts(reading: Reading, path: Path) -> tuple[Part, ...] | None:
    """The steps of a list; None where one of them is wrong."""
    found = [_part(reading, place) for place in reading.items(path)]
    if not found and isinstance(reading.node(path), Items):
        reading.wrong(path, "has no steps")
    return None if not found or None in found else tuple(one for one in found if one is not None)


def _part(reading: Reading, path: Path) -> Part | None:
    if not isinstance(reading.node(path), Fields):
        reading.wrong(path, "must be a step: a mapping with a prompt, a router, parallel steps or another chain")
        return None
    if reading.node((*path, "parallel")) is not None:
        return _parallel(reading, path)
    if reading.node((*path, "router")) is not None:
        return _router(reading, path)
    return _step(reading, path)


def _parallel(reading: Reading, path: Path) -> Parallel | None:
    reading.keys(path, ("parallel", "name", *_CONDITIONS))
    steps = _parts(reading, (*path, "parallel"))
    name, condition = reading.text((*path, "name"), "parallel"), _condition(reading, path)
    if steps is None:
        return None
    return _built(reading, path, lambda: Parallel(steps, name, condition))  # type: ignore[arg-type]  # checked there


def _condition(reading: Reading, path: Path) -> str | None:
    given = [key for key in _CONDITIONS if reading.node((*path, key)) is not None]
    if len(given) > 1:
        reading.wrong((*path, given[1]), f"says the same as {given[0]}: one of them is enough")
    return _expression(reading, (*path, given[0])) if given else None


def _expression(reading: Reading, path: Path) -> str | None:
    """An expression as it is written; YAML's own true and false are expressions too."""
    node = reading.node(path)
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return "true" if node.value else "false"
    return reading.text(path) or None


def _name(reading: Reading, path: Path) -> str:
    """A step's name, else its key, else its number, below those of the routers it stands in."""
    number = ".".join(str(step + 1) for step in path if isinstance(step, int))
    return reading.text((*path, "name")) or reading.text((*path, "output_key")) or f"step {number}"


def _asking(reading: Reading, path: Path) -> dict[str, Any]:
    """What steps and routers have in common: how a model is asked."""
    params = reading.mapping((*path, "params"))
    direct = {key: reading.plain((*path, key)) for key in _SAMPLING if reading.node((*path, key)) is not None}
    return {
        "model": reading.text((*path, "model")) or None,
        "retry": _retry(reading, (*path, "retry")),
        "timeout_s": reading.read((*path, "timeout"), parse_duration),
        "variables": _values(reading, (*path, "variables")),
        "params": {**params, **direct},
    }


def _values(reading: Reading, path: Path) -> Mapping[str, str]:
    node = reading.node(path)
    if node is None or not reading.fields(path) or not isinstance(node, Fields):
        return {}
    return {name: _expression(reading, (*path, name)) or "" for name in node.values}


def _retry(reading: Reading, path: Path) -> Retry | None:
    node = reading.node(path)
    if node is None:
        return None
    if not isinstance(node, Fields):
        attempts = reading.whole(path, least=1)
        return None if attempts is None else Retry(attempts)
    reading.keys(path, ("attempts", "wait"))
    wait_s = reading.read((*path, "wait"), parse_duration)
    attempts = reading.whole((*path, "attempts"), least=1)
    return Retry(attempts or 1, Retry().wait_s if wait_s is None else wait_s)


def _step(reading: Reading, path: Path) -> Step | None:
    reading.keys(path, STEP_KEYS)
    before = len(reading.mistakes)
    name, asking = _name(reading, path), _asking(reading, path)
    if chain := reading.text((*path, "chain")):
        if asking["model"] is not None:
            reading.wrong((*path, "chain"), "is asked in place of a model: leave model out")
        asking["model"] = PREFIX + chain.removeprefix(PREFIX)
    fields = {
        "prompt": _prompt(reading, (*path, "prompt"), name),
        "output_key": reading.text((*path, "output_key")),
        "condition": _condition(reading, path),
        "output": reading.word((*path, "output"), ("text", "json"), "text"),
        "schema": _schema(reading, (*path, "schema")),
        "send_schema": reading.truth((*path, "send_schema")) or False,
        "history": reading.truth((*path, "history")) or False,
        "attach": reading.truth((*path, "attach")) or False,
        **asking,
    }
    if len(reading.mistakes) > before:
        return None
    return _built(reading, path, lambda: Step(name, **fields))


def _schema(reading: Reading, path: Path) -> dict[str, Any] | None:
    if reading.node(path) is None:
        return None
    check_schema(reading, path)
    return reading.mapping(path)


def _prompt(reading: Reading, path: Path, name: str) -> str | PromptRef | Prompt | None:
    """A text, the name of a prompt, or a mapping: of its id with version or label, or of system and user text."""
    node = reading.node(path)
    if node is None:
        return None
    if not isinstance(node, Fields):
        return reading.text(path) or None
    reading.keys(path, _PROMPT_KEYS)
    if reading.node((*path, "id")) is not None:
        return _reference(reading, path)
    try:
        return prompt_of(name, system=reading.text((*path, "system")), user=reading.text((*path, "user")))
    except Untemplatable as why:
        reading.wrong(path, str(why))
        return None


def _reference(reading: Reading, path: Path) -> PromptRef | None:
    id, version, label = (reading.text((*path, key)) or None for key in ("id", "version", "label"))
    if version is not None and label is not None:
        reading.wrong((*path, "label"), "stands beside a version: a prompt is meant by one of them")
    if version is not None and not is_version(whole(version)):
        reading.wrong((*path, "version"), "is no version: three numbers, such as 2.3.1")
    return PromptRef(id or "", None if version is None else whole(version), label)


def _router(reading: Reading, path: Path) -> Router | None:
    reading.keys(path, ("name", "router", "output_key", *_CONDITIONS))
    below = (*path, "router")
    if not reading.fields(below):
        return None
    before = len(reading.mistakes)
    reading.keys(below, ROUTER_KEYS)
    name = _name(reading, path)
    given = "prompt" if reading.node((*below, "prompt")) is not None else "decision_prompt"
    routes, about = _routes(reading, (*below, "routes"))
    fields = {
        "decision_prompt": _prompt(reading, (*below, given), name),
        "output_key": reading.text((*path, "output_key")),
        "condition": _condition(reading, path),
        "decide": _expression(reading, (*below, "decide")),
        "default": reading.text((*below, "default")) or None,
        "about": about,
        **_asking(reading, below),
    }
    if len(reading.mistakes) > before:
        return None
    return _built(reading, below, lambda: Router(name, routes, **fields))


def _routes(reading: Reading, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The routes by name, and what is said about when to take them."""
    node = reading.node(path)
    if node is None or not reading.fields(path) or not isinstance(node, Fields):
        return {}, {}
    routes: dict[str, Any] = {}
    about: dict[str, str] = {}
    for name in node.values:
        place: Path = (*path, name)
        if isinstance(node.values[name], Fields):
            reading.keys(place, ("about", "steps", "chain"))
            about[name] = reading.text((*place, "about"))
            place = (*place, "chain" if reading.node((*place, "chain")) is not None else "steps")
        routes[name] = _route(reading, place)
    return routes, {name: text for name, text in about.items() if text}


def _route(reading: Reading, path: Path) -> str | tuple[Part, ...]:
    node = reading.node(path)
    if isinstance(node, Scalar):
        return PREFIX + reading.text(path).removeprefix(PREFIX)
    if node is None:
        reading.wrong(path, "needs steps, or the name of a chain")
    return _parts(reading, path) or ()
