"""A folder of prompt files, read as a whole: every mistake of every file at once, pieces put in, all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, structs

from comporta.config.mistakes import did_you_mean, refusal
from comporta.config.parsing import decoded, parse, read_text
from comporta.config.tree import Fields, Items, Mistake, Node, Place, Step, nearest
from comporta.errors import NotFound
from comporta.prompts.compiled import Templates, check_text
from comporta.prompts.declared import MOST
from comporta.prompts.file import Guards, read_prompt
from comporta.prompts.includes import Find, linked
from comporta.prompts.plain import Untemplatable
from comporta.prompts.prompt import Prompt
from comporta.prompts.reading import Reading, unusable
from comporta.prompts.semver import named, order
from comporta.prompts.texts import template_texts
from comporta.prompts.values import Variable

REGISTRY = "prompt_registry"
KIND = "prompt file"


class Read(Struct, frozen=True):
    """A prompt, and where its file says what."""

    prompt: Prompt
    tree: Node
    base: tuple[Step, ...] = ()

    def mistake(self, path: tuple[Step, ...], text: str) -> Mistake:
        return Mistake(nearest(self.tree, path).place, (*self.base, *path), text)


class Survey(Struct, frozen=True):
    """All that could be read, and all that is wrong or doubtful."""

    reads: tuple[Read, ...]
    mistakes: tuple[Mistake, ...]
    warnings: tuple[Mistake, ...]
    files: tuple[Path, ...] = ()


class Prompts:
    """Prompts by id and version."""

    def __init__(self, prompts: Iterable[Prompt], warnings: Iterable[str] = ()) -> None:
        self._held: dict[str, dict[str, Prompt]] = {}
        for one in sorted(prompts, key=lambda one: order(one.version)):
            self._held.setdefault(one.id, {})[one.version] = one
        self.warnings = tuple(warnings)

    def __iter__(self) -> Iterator[Prompt]:
        return (one for versions in self._held.values() for one in versions.values())

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._held))

    def get(self, name: str, version: str | None = None) -> Prompt:
        """The prompt `support`, `support@2.3.1` or `support-v2.3.1`; without a version the highest. Raises NotFound."""
        wanted = named(name)
        versions = self._held.get(name) or self._held.get(wanted.id)
        if versions is None:
            raise NotFound(f"there is no prompt {name}{did_you_mean(name, self._held)}", code="prompt_not_found")
        asked = version or (None if name in self._held else wanted.version)
        found = next(reversed(versions.values())) if asked is None else versions.get(asked)
        if found is None:
            has = ", ".join(versions)
            raise NotFound(f"prompt {wanted.id} has no version {asked}; it has {has}", code="prompt_not_found")
        return found


def load_folder(path: Path, find: Find | None = None, *, strict: bool = False, guards: Guards = True) -> Prompts:
    """Every prompt of a folder (or of one file). `find` knows pieces that are not there, by id and version.

    `strict` makes mistakes of what is only doubtful (a placeholder without a declaration); `guards` says what is wrong
    with a guard. Raises ConfigError with a line for each mistake.
    """
    return _held(survey(path, find, guards=guards), strict)


def load_bytes(
    data: bytes, name: str, find: Find | None = None, *, strict: bool = False, guards: Guards = True
) -> Prompts:
    """The prompts of one file's bytes; `name` stands in mistakes, and gives the id where the file doesn't."""
    return _held(survey_bytes(data, name, find, guards=guards), strict)


def survey(path: Path, find: Find | None = None, *, guards: Guards = True) -> Survey:
    """What a folder holds, and all that is wrong with it; nothing is raised for what files say."""
    files = files_of(path)
    if not files and not path.exists():
        return Survey((), (Mistake(Place(str(path), 0), (), "is not there"),), ())
    found = [_file(*_text(one), guards) for one in files]
    return structs.replace(link(found, find), files=tuple(files))


def files_of(path: Path) -> list[Path]:
    """The prompt files of a folder, in order; a file is one itself."""
    if path.is_dir():
        # Hidden files are editors' own.
        return sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and not _hidden(p, path))
    return [path] if path.exists() else []


def survey_bytes(data: bytes, name: str, find: Find | None = None, *, guards: Guards = True) -> Survey:
    """The same for one file's bytes."""
    return link([survey_alone(data, name, guards=guards)], find)


def survey_alone(data: bytes, name: str, *, guards: Guards = True) -> Survey:
    """What one file holds by itself, not yet linked with the others and with its pieces: see `link`."""
    text, mistakes = decoded(data, name, KIND)
    return _file(text, name, mistakes, guards)


def _hidden(path: Path, folder: Path) -> bool:
    # Prompts' tests may lie beside them.
    return any(part.startswith(".") or part == "tests" for part in path.relative_to(folder).parts)


def _text(path: Path) -> tuple[str | None, str, list[Mistake]]:
    text, mistakes = read_text(path, str(path), KIND)
    return text, str(path), mistakes


def _held(found: Survey, strict: bool) -> Prompts:
    mistakes = [*found.mistakes, *(found.warnings if strict else ())]
    if mistakes:
        raise refusal(str(one) for one in sorted(mistakes, key=lambda one: one.place))
    return Prompts((one.prompt for one in found.reads), map(str, found.warnings))


def _file(text: str | None, name: str, mistakes: list[Mistake], guards: Guards) -> Survey:
    """One file: a prompt, or a registry's list of them."""
    if text is None:
        return Survey((), tuple(mistakes), ())
    tree, found = parse(text, name)
    mistakes = [*mistakes, *found]
    if tree is not None:
        odd = [Mistake(nearest(tree, path).place, path, why) for path, why in unusable(tree)]
        mistakes += odd
        tree = None if odd else tree
    if tree is None:
        return Survey((), tuple(mistakes), ())
    reads: list[Read] = []
    warnings: list[Mistake] = []
    for base, node in _prompts_in(tree, mistakes):
        reading = Reading(node, base)
        prompt = read_prompt(reading, "" if base else Path(name).stem, guards)
        mistakes += reading.mistakes
        warnings += reading.warnings
        if prompt is not None:
            reads.append(Read(prompt, node, base))
    return Survey(tuple(reads), tuple(mistakes), tuple(warnings))


def _prompts_in(tree: Node, mistakes: list[Mistake]) -> list[tuple[tuple[Step, ...], Node]]:
    """The prompts of a file, each with its place within it."""
    if not isinstance(tree, Fields) or REGISTRY not in tree.values:
        return [((), tree)]
    reading = Reading(tree)
    reading.keys((), (REGISTRY,))
    reading.fields((REGISTRY,))
    reading.keys((REGISTRY,), ("prompts",))
    places = list(reading.items((REGISTRY, "prompts")))
    mistakes += reading.mistakes
    listed = nearest(tree, (REGISTRY, "prompts"))
    return list(zip(places, listed.values, strict=True)) if isinstance(listed, Items) else []


def link(files: Iterable[Survey], find: Find | None) -> Survey:
    """All files together: ids that stand twice, pieces, placeholders without a declaration."""
    files = list(files)
    mistakes = [one for file in files for one in file.mistakes]
    warnings = [one for file in files for one in file.warnings]
    reads = [one for file in files for one in file.reads]
    mistakes += _twice(reads)
    known = {(one.prompt.id, one.prompt.version): one.prompt for one in reads}

    def piece(name: str, version: str) -> Prompt | None:
        here = known.get((name, version))
        return here if here is not None or find is None else find(name, version)

    done: list[Read] = []
    for read in reads:
        texts = {one.path: one.text for one in template_texts(read.prompt)}
        prompt, unresolved = linked(read.prompt, texts, piece)
        mistakes += [read.mistake(path, text) for path, text in unresolved]
        whole, wrong, doubts = _declared(structs.replace(read, prompt=prompt), bool(unresolved))
        done.append(whole)
        mistakes += wrong
        warnings += doubts
    return Survey(tuple(done), tuple(mistakes), tuple(warnings))


def _twice(reads: Iterable[Read]) -> Iterator[Mistake]:
    first: dict[str, Read] = {}
    for read in reads:
        before = first.setdefault(read.prompt.id, read)
        there = before.tree.place
        if before is read or (there.file == read.tree.place.file and before.prompt.version != read.prompt.version):
            continue
        what = f"the id {read.prompt.id}" if there.file != read.tree.place.file else read.prompt.label
        yield read.mistake(("id",), f"{what} stands in {there.file}:{there.line} already; one place for each prompt")


def _declared(read: Read, unresolved: bool) -> tuple[Read, list[Mistake], list[Mistake]]:
    """The prompt with a variable for every placeholder, what its templates do wrong, and what was not declared."""
    prompt, templates = read.prompt, Templates(read.prompt)
    used: dict[str, tuple[Step, ...]] = {}
    mistakes: list[Mistake] = []
    for one in template_texts(prompt):
        names, wrong = check_text(prompt, one, templates)
        used |= {name: one.path for name in sorted(names) if name not in used}
        mistakes += [] if wrong is None else [read.mistake(*wrong)]
    if len(used) > MOST:
        mistakes.append(read.mistake((), f"has {len(used):,} placeholders; a prompt has at most {MOST}"))
        return read, mistakes, []
    known = [one.name for one in prompt.variables]
    implied = [name for name in used if name not in known]
    warnings = [
        read.mistake(used[name], f"{{{name}}} is not declared under variables{did_you_mean(name, known)}"
                     " (taken as a required text)")
        for name in implied
    ]  # fmt: skip
    variables = (*prompt.variables, *(Variable(name, implied=True) for name in implied))
    whole = structs.replace(prompt, variables=variables)
    if not mistakes and not unresolved:
        try:
            _ = whole.compiled
        except Untemplatable as why:
            mistakes.append(read.mistake((), str(why)))
    return structs.replace(read, prompt=whole), mistakes, warnings
