"""What is wrong with prompts beyond their form: unused variables, size, JSON without a shape, secrets, old versions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from comporta.config.tree import Mistake, Node, Scalar, Step, children
from comporta.prompts.compiled import Templates, check_text
from comporta.prompts.folder import Read, Survey, survey_bytes
from comporta.prompts.head import NoHead, head_files
from comporta.prompts.personal import found as personal_data
from comporta.prompts.plain import near_placeholders
from comporta.prompts.prompt import Prompt
from comporta.prompts.shared import expanded
from comporta.prompts.texts import all_texts, template_texts
from comporta.providers.catalogue import ModelFacts
from comporta.telemetry.scrubbing import Scrubber
from comporta.text.tokens import estimate_tokens

Level = Literal["mistake", "warning"]
Facts = Callable[[str], ModelFacts | None]
_Found = Iterator[tuple[Level, str, tuple[Step, ...], str]]

_ASKS = re.compile(
    r"\b(?:answer|respond|reply|return|output|produce|write|give|format|only|valid|respond[ae]|devolva|retorne|"
    r"devuelv[ae]|produz[a]?|escrev[ae]|escrib[ae]|formato|apenas|solo|sólo|válido)\b(?:\W+\w+){0,6}?\W+JSON\b"
    r"|\bJSON\b\W+(?:only|object|format|apenas|válido|solamente)",
    re.IGNORECASE,
)
#: What stands there names a person by right.
_NAMES_PEOPLE = frozenset({"owner", "metadata"})
#: Each message costs a few tokens beside its text.
_TOKENS_OF_MESSAGE = 4


class Finding(Struct, frozen=True):
    """One thing to mend, where it is, and which check found it."""

    level: Level
    check: str
    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        said = ": ".join(part for part in (where, self.path, self.text) if part)
        return said if self.level == "mistake" else f"{said} (warning)"


class Report(Struct, frozen=True):
    """All findings, in the order of the files, and what could not be looked at."""

    prompts: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def count(self, level: Level) -> int:
        return sum(one.level == level for one in self.findings)


async def examine(folder: Path, found: Survey, facts: Facts) -> Report:
    """Everything there is to say about the prompts of a folder."""
    told = findings(found, facts)
    notes: list[str] = []
    try:
        place = _place(folder)
        told += _changed(found.reads, await head_files(place), place)
    except NoHead as why:
        notes.append(f"{why}: whether a text changed under its version was not looked at")
    told.sort(key=lambda one: (one.file, one.line))
    return Report(len(found.reads), tuple(dict.fromkeys(told)), tuple(notes))


def findings(found: Survey, facts: Facts) -> list[Finding]:
    """What prompts tell by themselves, without what they were before."""
    told = [_finding("mistake", "form", one) for one in found.mistakes]
    told += [_finding("warning", "undeclared", one) for one in found.warnings]
    for read in found.reads:
        for check in (_unused, _lookalikes, lambda one: _size(one, facts), _json, secrets, _personal):
            told += [_finding(level, name, read.mistake(path, text)) for level, name, path, text in check(read)]
    return told


def _place(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _finding(level: Level, check: str, one: Mistake) -> Finding:
    path = str(Mistake(one.place._replace(file="", line=0), one.path, ""))
    return Finding(level, check, one.place.file, one.place.line, path, one.text)


def _unused(read: Read) -> _Found:
    prompt, templates = read.prompt, Templates(read.prompt)
    checked = [check_text(prompt, one, templates) for one in template_texts(prompt)]
    if any(wrong is not None for _, wrong in checked):
        return
    used = {name for names, _ in checked for name in names}
    for position, variable in enumerate(prompt.variables):
        # An image without a place goes to the end of what the user says.
        if variable.name not in used and not (variable.inherited or variable.type == "image"):
            yield (
                "mistake",
                "unused",
                _variable_path(read.tree, position, variable.name),
                f"{variable.name} is never used",
            )


def _variable_path(tree: Node, position: int, name: str) -> tuple[Step, ...]:
    steps = [step for top, node in children(tree) if top == "variables" for step, _ in children(node)]
    return ("variables", name if name in steps else position)


def _lookalikes(read: Read) -> _Found:
    if read.prompt.template == "plain":
        for one in template_texts(read.prompt):
            yield from (("warning", "placeholder", one.path, text) for text in near_placeholders(one.text))


def tokens(prompt: Prompt) -> int:
    """About how many tokens the prompt has before any value is in it."""
    texts = [expanded(one.text, prompt.pieces) for one in all_texts(prompt)]
    schema = msgspec.json.encode(prompt.response_format).decode() if prompt.response_format is not None else ""
    return sum(estimate_tokens(text) + _TOKENS_OF_MESSAGE for text in texts) + estimate_tokens(schema)


def _size(read: Read, facts: Facts) -> _Found:
    prompt = read.prompt
    known = facts(prompt.model) if prompt.model else None
    if known is None:
        return
    most, answer = known.max_output, prompt.max_tokens or 0
    if most is not None and answer > most:
        yield "mistake", "size", ("max_tokens",), f"is more than {prompt.model} can write: {most:,}"
    size = tokens(prompt)
    if known.context is not None and size + answer > known.context:
        told = f"about {size:,} tokens" + (f" and {answer:,} for the answer" if answer else "")
        yield "mistake", "size", (), f"does not fit {prompt.model}: {told}, and its context is {known.context:,}"


def _json(read: Read) -> _Found:
    prompt = read.prompt
    form = prompt.response_format
    asking = next((one.path for one in template_texts(prompt) if _ASKS.search(one.text)), None)
    if asking is not None and (form is None or form.kind == "text"):
        yield "mistake", "json", asking, "asks for JSON, and there is no response_format (json, or a JSON schema)"
    if asking is None and (form is None or form.kind == "text"):
        return
    if not prompt.examples and (form is None or form.schema is None):
        path: tuple[Step, ...] = asking if asking is not None else ("response_format",)
        yield "mistake", "json", path, "asks for JSON, and neither examples nor a schema say of which shape"
    for position, example in enumerate(prompt.examples):
        try:
            json.loads(example.output)
        except (ValueError, RecursionError):
            yield "mistake", "json", ("examples", position), "has an output that is no JSON, and the prompt asks for it"


def _texts(node: Node) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Every text of a file, keys included."""
    waiting: list[tuple[tuple[Step, ...], Node]] = [((), node)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, Scalar):
            yield path, one.text
        for step, below in children(one):
            if isinstance(step, str):
                yield path, step
            waiting.append(((*path, step), below))


def secrets(read: Read) -> _Found:
    """What looks like a key, a token or a private key, wherever it stands."""
    scrubber = Scrubber()
    for path, text in _texts(read.tree):
        if scrubber.scrub(text) != text:
            yield "mistake", "secret", path, "holds what looks like a secret; take it out, and make a new one"


def _personal(read: Read) -> _Found:
    for path, text in _texts(read.tree):
        if path[:1] and path[0] in _NAMES_PEOPLE:
            continue
        for kind in personal_data(text):
            yield "mistake", "personal", path, f"holds {kind}; use a variable, or an address such as ana@example.com"


def _changed(reads: Iterable[Read], before: Mapping[str, bytes], folder: Path) -> Iterator[Finding]:
    """Texts that are not what git's HEAD has under the same version, wherever the file was then."""
    old: dict[str, str] = {}
    for name, data in before.items():
        path = folder / name
        if path.is_file() and path.read_bytes() == data:
            continue
        old |= {one.prompt.label: one.prompt.digest for one in survey_bytes(data, name, guards=True).reads}
    for read in reads:
        if old.get(read.prompt.label, read.prompt.digest) != read.prompt.digest:
            text = f"is {read.prompt.version} as in the last commit, and the text is another: raise the version"
            yield _finding("mistake", "version", read.mistake(("version",), text))
