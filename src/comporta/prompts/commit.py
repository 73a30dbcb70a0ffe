"""Prompt files with where they come from: for each the git commit that last touched it, who made it, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from comporta.config.mistakes import refusal
from comporta.config.parsing import read_text
from comporta.prompts.folder import KIND, files_of
from comporta.prompts.head import NoHead, ask_git
from comporta.prompts.kept import Commit, Source

DIRTY = "-dirty"
#: How far back a file's last commit is looked for; what is older has the newest commit's.
_MOST_COMMITS = 2000
_MARK = "\x01"
_FORMAT = "--format=%x01%H%x00%an <%ae>%x00%s"


async def sources_of(path: Path) -> list[Source]:
    """The files of a folder (or the one file), each with its commit where there is git.

    Raises ConfigError with a line for each file that can't be read, and where there is none.
    """
    folder, files, texts = await asyncio.to_thread(_texts, path)
    commits = await commits_of(folder, [one.relative_to(folder).as_posix() for one in files])
    return [Source(str(file), text, commit) for file, text, commit in zip(files, texts, commits, strict=True)]


def _texts(path: Path) -> tuple[Path, list[Path], list[str]]:
    """The folder, its files, and what they hold."""
    files = files_of(path)
    if not files:
        raise refusal([f"{path}: {'holds no prompt file (*.yaml)' if path.exists() else 'is not there'}"])
    texts: list[str] = []
    wrong: list[str] = []
    for file in files:
        text, mistakes = read_text(file, str(file), KIND)
        texts.append(text or "")
        wrong += [str(one) for one in mistakes]
    if wrong:
        raise refusal(wrong)
    return path if path.is_dir() else path.parent, files, texts


async def commits_of(folder: Path, names: Sequence[str]) -> list[Commit | None]:
    """For each file of the folder the commit that last touched it; None for all of them where there is no git.

    What is not committed yet has the newest commit's sha with `-dirty` behind it, and the author that git would take.
    """
    try:
        # One after the other: where the first finds no git, no other is left running.
        head, touched, open_ = await _head(folder), await _touched(folder), await _uncommitted(folder)
    except NoHead:
        return [None] * len(names)
    dirty = Commit(f"{head.sha}{DIRTY}", await _self(folder))
    return [dirty if name in open_ else touched.get(name, head) for name in names]


async def commit_here(folder: Path) -> Commit | None:
    """The newest commit; None where there is no git."""
    try:
        return await _head(folder)
    except NoHead:
        return None


async def _head(folder: Path) -> Commit:
    [(commit, _)] = _commits(await ask_git(folder, b"", "log", "-1", _FORMAT))
    return commit


async def _touched(folder: Path) -> Mapping[str, Commit]:
    out = await ask_git(
        folder, b"", "-c", "core.quotePath=false", "log", f"-{_MOST_COMMITS}", "--name-only", "--relative",
        "--no-renames", _FORMAT, "--", ".",
    )  # fmt: skip
    found: dict[str, Commit] = {}
    for commit, names in _commits(out):
        for name in names:
            found.setdefault(name, commit)
    return found


def _commits(out: bytes) -> list[tuple[Commit, list[str]]]:
    found: list[tuple[Commit, list[str]]] = []
    for one in out.decode("utf-8", "replace").split(_MARK)[1:]:
        first, *names = one.splitlines()
        sha, author, subject = (*first.split("\0"), "", "")[:3]
        found.append((Commit(sha, author, subject[:1000]), [name for name in names if name]))
    return found


async def _uncommitted(folder: Path) -> frozenset[str]:
    changed = await ask_git(folder, b"", "diff", "--name-only", "--relative", "-z", "HEAD", "--", ".")
    new = await ask_git(folder, b"", "ls-files", "--others", "-z", "--", ".")
    return frozenset((changed + new).decode("utf-8", "replace").split("\0"))


async def _self(folder: Path) -> str | None:
    """Who would be the author of a commit made now."""
    try:
        name = (await ask_git(folder, b"", "config", "user.name")).decode("utf-8", "replace").strip()
        email = (await ask_git(folder, b"", "config", "user.email")).decode("utf-8", "replace").strip()
    except NoHead:
        return None
    return f"{name} <{email}>"


def names_of(author: str | None) -> frozenset[str]:
    """The names by which an author may go: `Ana Lima <ana@example.com>` is also its parts, and `ana`; folded."""
    text = (author or "").strip()
    name, _, rest = text.partition("<")
    email = rest.rstrip("> ").strip()
    known = (text, name.strip(), email, email.partition("@")[0] or text.partition("@")[0])
    return frozenset(one.casefold() for one in known if one)
