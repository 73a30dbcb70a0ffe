"""The `variables` of a prompt file: as a list or a mapping, with rules structured or in words."""

from __future__ import annotations

import re
from typing import Any, get_args

from msgspec import structs

from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Fields, Items, Path, Scalar
from comporta.prompts.given import Wrong, taker
from comporta.prompts.reading import Reading
from comporta.prompts.values import Rules, Sanitization, Type, Variable
from comporta.prompts.words import KNOWN, Unclear, understood

KEYS = ("name", "type", "required", "default", "description", "validation", "sanitization")
RULES = ("min_length", "max_length", "min_items", "max_items", "min", "max", "integer", "one_of", "enum", "pattern",
         "format")  # fmt: skip
SANITIZATION = get_args(Sanitization)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
UNBUILT_MASK = (
    "mask_pii belongs to a prompt's variables: what a chain is given reaches models by the prompts of its steps, which "
    "can say it"
)
#: No prompt that somebody reads has more; what is looked up among them is looked up one by one.
MOST = 500
#: Which rules a type can keep.
_FITTING: dict[str, tuple[Type, ...]] = {
    "min_length": ("string",), "max_length": ("string",), "pattern": ("string",), "format": ("string",),
    "min_items": ("list", "object"), "max_items": ("list", "object"),
    "minimum": ("number",), "maximum": ("number",), "integer": ("number",), "one_of": ("string", "number", "boolean"),
}  # fmt: skip


def read_variables(reading: Reading, guards: bool = True) -> tuple[Variable, ...]:
    """Every variable that the file declares; without `guards` nobody could mask one."""
    path: Path = ("variables",)
    node = reading.node(path)
    if isinstance(node, Fields):
        found = [_variable(reading, (*path, name), name, guards) for name in node.values]
    elif isinstance(node, Items):
        found = [_listed(reading, (*path, at), guards) for at in range(len(node.values))]
    elif node is not None:
        reading.wrong(path, "must be a list of variables, or a mapping from names")
        return ()
    else:
        return ()
    if len(found) > MOST:
        reading.wrong(path, f"declares {len(found):,} variables; a prompt has at most {MOST}")
        return ()
    known: set[str] = set()
    for at, one in enumerate(found):
        if one is not None and one.name in known:
            reading.wrong((*path, at), f"declares {one.name} a second time")
        known |= {one.name} if one is not None else set()
    return tuple(one for one in found if one is not None)


def _listed(reading: Reading, path: Path, guards: bool) -> Variable | None:
    """An entry of a list: a name alone, or a mapping with a name."""
    node = reading.node(path)
    if isinstance(node, Scalar):
        return _named(reading, path, node.text)
    if not isinstance(node, Fields):
        reading.wrong(path, "must be a name, or a mapping with a name")
        return None
    if reading.node((*path, "name")) is None:
        reading.wrong(path, "needs a name")
        return None
    return _variable(reading, path, reading.text((*path, "name")), guards)


def _named(reading: Reading, path: Path, name: str) -> Variable | None:
    if NAME.fullmatch(name):
        return Variable(name)
    reading.wrong(path, "is no name of a variable: letters, digits and _, beginning with no digit, at most 100")
    return None


def _variable(reading: Reading, path: Path, name: str, guards: bool) -> Variable | None:
    """A variable of that name; what stands there may also be its rules in words."""
    variable = _named(reading, path, name)
    node = reading.node(path)
    if variable is None or node is None:
        return variable
    if isinstance(node, Scalar):
        return _with_words(reading, path, variable)
    if not reading.fields(path):
        return None
    reading.keys(path, KEYS)
    kind = reading.word((*path, "type"), get_args(Type), "string")
    variable = structs.replace(
        variable, type=kind, description=reading.text((*path, "description")),
        sanitization=_sanitization(reading, (*path, "sanitization"), guards),
    )  # fmt: skip
    variable = _with_rules(reading, path, variable)
    return _with_default(reading, path, variable)


def _with_rules(reading: Reading, path: Path, variable: Variable) -> Variable:
    place = (*path, "validation")
    node = reading.node(place)
    if isinstance(node, Fields):
        variable = structs.replace(variable, rules=_structured(reading, place))
    elif node is not None:
        variable = _with_words(reading, place, variable, reading.node((*path, "type")) is not None)
    return _fitting(reading, place, variable)


def _with_words(reading: Reading, path: Path, variable: Variable, typed: bool = False) -> Variable:
    text = reading.text(path)
    try:
        said = understood(text, variable.type if typed else None)
    except Unclear as word:
        reading.wrong(path, f"has the rule '{word}', which means nothing here; known are: {KNOWN}")
        return variable
    if typed and said.type not in (None, variable.type):
        reading.wrong(path, f"says {said.type}, and type says {variable.type}")
        return variable
    rules = said.rules
    if said.type == "number" and rules.one_of:
        rules = structs.replace(rules, one_of=_numbers(reading, path, rules.one_of))
    required = variable.required if said.required is None else said.required
    return structs.replace(variable, rules=rules, type=said.type or variable.type, required=required)


def _numbers(reading: Reading, path: Path, words: tuple[Any, ...]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        reading.wrong(path, "is a choice of numbers, and not all of them are")
        return ()


def _structured(reading: Reading, path: Path) -> Rules:
    reading.keys(path, RULES)
    choice = "one_of" if reading.node((*path, "one_of")) is not None else "enum"
    fmt = (*path, "format")
    rules = Rules(
        min_length=reading.whole((*path, "min_length"), least=0),
        max_length=reading.whole((*path, "max_length"), least=0),
        min_items=reading.whole((*path, "min_items"), least=0),
        max_items=reading.whole((*path, "max_items"), least=0),
        minimum=reading.number((*path, "min")),
        maximum=reading.number((*path, "max")),
        integer=reading.truth((*path, "integer")) or False,
        one_of=_choices(reading, (*path, choice)),
        pattern=reading.text((*path, "pattern")) or None,
    )
    if reading.node(fmt) is None:
        return rules
    return structs.replace(rules, format=reading.word(fmt, ("email", "url", "date", "uuid"), "url"))


def _choices(reading: Reading, path: Path) -> tuple[str | float | bool, ...]:
    found: list[str | float | bool] = []
    for place in reading.items(path):
        value = reading.plain(place)
        if isinstance(value, str | int | float):
            found.append(value)
        else:
            reading.wrong(place, "must be text, a number, or true or false")
    return tuple(found)


def _fitting(reading: Reading, path: Path, variable: Variable) -> Variable:
    """The variable without rules that its type can't keep, each of which is a mistake."""
    rules = variable.rules
    for name, types in _FITTING.items():
        if getattr(rules, name) not in (None, False, ()) and variable.type not in types:
            reading.wrong(
                path, f"has a rule ({name}) that only {' and '.join(types)} can keep, and this is {variable.type}"
            )
            rules = structs.replace(rules, **{name: structs.asdict(Rules())[name]})
    for least, most in (("min_length", "max_length"), ("min_items", "max_items"), ("minimum", "maximum")):
        low, high = getattr(rules, least), getattr(rules, most)
        if low is not None and high is not None and low > high:
            reading.wrong(path, f"asks for at least {low:g} and at most {high:g}: nothing fits")
    return structs.replace(variable, rules=_with_pattern(reading, path, rules))


def _with_pattern(reading: Reading, path: Path, rules: Rules) -> Rules:
    if rules.pattern is None:
        return rules
    try:
        re.compile(rules.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        reading.wrong(path, f"has a pattern that is no regular expression: {error}")
        return structs.replace(rules, pattern=None)
    return rules


def _sanitization(reading: Reading, path: Path, guards: bool) -> tuple[Sanitization, ...]:
    """As a list, or as words between commas."""
    words = [word.strip() for text in reading.texts(path) for word in text.split(",") if word.strip()]
    found: list[Sanitization] = []
    for word in dict.fromkeys(words):
        if word == "mask_pii" and not guards:
            reading.wrong(path, UNBUILT_MASK)
        elif word in SANITIZATION:
            found.append(word)  # type: ignore[arg-type]  # one of the words, as was just asked
        else:
            guess = did_you_mean(word, SANITIZATION) or f"; known: {', '.join(SANITIZATION)}"
            reading.wrong(path, f"has '{word[:60]}', which is no sanitization{guess}")
    return tuple(found)


def _with_default(reading: Reading, path: Path, variable: Variable) -> Variable:
    required, place = reading.truth((*path, "required")), (*path, "default")
    default = reading.plain(place)
    if default is None:
        return structs.replace(variable, required=variable.required if required is None else required)
    if variable.type == "string" and isinstance(default, int | float) and not isinstance(default, bool):
        default = reading.text(place)
    if required:
        reading.wrong(place, "is never used: the variable is required (say required: false, or leave the default out)")
    try:
        taker(variable, whole=True)(default)
    except Wrong as why:
        reading.wrong(place, str(why))
        default = None
    return structs.replace(variable, required=False, default=default)
