"""The prompt files as git's HEAD has them, read by two git commands however many there are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

_LIMIT_S = 30.0


class NoHead(Exception):
    """There is nothing to compare with; the text says why."""


async def head_files(folder: Path, ref: str = "HEAD") -> Mapping[str, bytes]:
    """Every YAML file below the folder in HEAD (or at another ref), by its path in the folder. Raises NoHead."""
    listed = await ask_git(folder, b"", "ls-tree", "-r", "-z", "--name-only", ref, ".")
    names = [name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name.endswith((".yaml", ".yml"))]
    # A line break in a name would be taken for the end of a question.
    names = [name for name in names if "\n" not in name]
    if not names:
        return {}
    asked = "".join(f"{ref}:./{name}\n" for name in names).encode("utf-8", "surrogateescape")
    return dict(zip(names, _blobs(await ask_git(folder, asked, "cat-file", "--batch"), len(names)), strict=True))


async def ask_git(folder: Path, given: bytes, *arguments: str) -> bytes:
    """What a git command prints that is given these bytes. Raises NoHead."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "-C", str(folder), *arguments, env=quiet,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        raise NoHead("git is not installed") from None
    try:
        out, _ = await asyncio.wait_for(process.communicate(given), _LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoHead("git did not answer") from None
    if process.returncode:
        raise NoHead(f"{folder} is in no git work tree with a commit")
    return out


def _blobs(data: bytes, count: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    for _ in range(count):
        end = data.index(b"\n", at)
        words = data[at:end].split()
        at = end + 1
        if len(words) == 3 and words[1] == b"blob":
            size = int(words[2])
            found.append(data[at : at + size])
            at += size + 1
        else:
            found.append(b"")
    return found
