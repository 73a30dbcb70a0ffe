"""What a candidate is held against: a version, an environment's, or the text at a git ref."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from comporta.errors import BadRequest, ComportaError, ConfigError, NotFound
from comporta.prompts.folder import Prompts, load_folder
from comporta.prompts.head import NoHead, head_files
from comporta.prompts.prompt import Prompt
from comporta.prompts.semver import is_version, whole

GIT = "git:"
#: A prompt by id, and by version or environment; None where there is none.
Registered = Callable[[str, str], Awaitable[Prompt | None]]
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}^~-]*", re.ASCII)


class Baselines:
    """Finds the baseline of each prompt. `where` is what was given: `production`, `2.3.1`, `git:main`."""

    def __init__(self, where: str, folder: Path, here: Prompts, registered: Registered | None) -> None:
        self._where = where
        self._folder = folder
        self._here = here
        self._registered = registered
        self._at_ref: Prompts | None = None

    @property
    def version(self) -> str | None:
        """The version that was asked for; None where it is an environment or a git ref, which may have nothing yet."""
        version = whole(self._where.removeprefix("v"))
        return version if is_version(version) else None

    async def find(self, id: str) -> Prompt | None:
        """The prompt to compare with; None where there was none yet. Raises ComportaError where nobody can know."""
        if self._where.startswith(GIT):
            if self._at_ref is None:
                self._at_ref = await at_ref(self._folder, self._where.removeprefix(GIT))
            return _of(self._at_ref, id, None)
        version = self.version
        if version is not None:
            here = _of(self._here, id, version)
            if here is not None:
                return here
        if self._registered is None:
            raise ComportaError(
                f"The baseline {self._where!r} stands in a registry, and no gate is at hand: set COMPORTA_URL and "
                f"COMPORTA_KEY, or compare with a git ref ({GIT}main).",
                code="no_registry",
            )
        return await self._registered(id, version or self._where)


def _of(prompts: Prompts, id: str, version: str | None) -> Prompt | None:
    try:
        return prompts.get(id, version)
    except NotFound:
        return None


async def at_ref(folder: Path, ref: str) -> Prompts:
    """The prompts of a folder at a git ref. Raises ComportaError where git has none such, or its files don't hold."""
    if not _REF.fullmatch(ref):
        raise BadRequest(f"{ref[:100]!r} is no git ref; write {GIT}main or {GIT}v1.2.", param="baseline")
    try:
        files = await head_files(folder, ref)
    except NoHead as why:
        raise ComportaError(
            f"Nothing can be read at {GIT}{ref}: {why}, or it has no {ref} (a shallow clone has few: fetch it first).",
            code="no_git_ref",
        ) from None
    return _loaded(files, ref)


def _loaded(files: Mapping[str, bytes], ref: str) -> Prompts:
    with tempfile.TemporaryDirectory(prefix="comporta-baseline-") as made:
        top = Path(made)
        for name, data in files.items():
            path = top / name
            # Git lets no name lead out of its tree; still, nothing is written outside of the folder.
            if path.resolve().is_relative_to(top.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        try:
            return load_folder(top, guards=True)
        except ConfigError as error:
            told = error.message.replace(f"{top}/", f"{ref}:")
            raise ComportaError(f"The prompts at {GIT}{ref} don't hold:\n{told}", code="config_error") from None
