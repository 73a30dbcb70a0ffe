"""The texts of versions: read from the database when first asked for, made ready, and kept while they are used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from comporta.errors import ComportaError, NotFound
from comporta.prompts.plain import Untemplatable
from comporta.prompts.prompt import Prompt
from comporta.prompts.recent import Recent
from comporta.store.database import Connection, Database

SELECT = "select content, digest from prompt_version where prompt_id = %(id)s and version = %(version)s"
SELECT_SEVERAL = """
select v.content, v.digest from unnest(%(ids)s::text[], %(versions)s::text[]) as w (id, version)
join prompt_version v on v.prompt_id = w.id and v.version = w.version
"""
#: A prompt made ready takes about so many bytes for each of its text (measured), and so many besides.
_EACH_BYTE = 9
_BESIDES = 9_000
#: Larger ones are made ready beside the event loop.
_SMALL = 20_000
#: What is not there is not asked for again so soon: a client may ask thousands of times.
_MISSING_FOR_S = 0.5
_MOST_MISSING = 1000

_Key = tuple[str, str]


class Contents:
    """Prompts by id and version, in memory as far as they fit."""

    def __init__(self, database: Database, limit_bytes: Callable[[], int]) -> None:
        self._database = database
        self.recent = Recent(limit_bytes)
        self._reading: dict[_Key, asyncio.Task[Prompt]] = {}
        self._missing: dict[_Key, float] = {}

    def get(self, id: str, version: str, digest: str | None = None) -> Prompt | None:
        """From memory. With a digest only the prompt of that digest: a restored database may hold another."""
        found = self.recent.get(id, version)
        if found is None or digest is None or found.digest == digest:
            return found
        return None

    async def read(self, id: str, version: str) -> Prompt:
        """From the database; several who ask at once wait for one reading. Raises NotFound, Unavailable."""
        key = (id, version)
        if self._missing.get(key, 0.0) > time.monotonic():
            raise unknown_version(id, version)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read(key))
            task.add_done_callback(lambda done: self._done(key, done))
        # Whoever leaves must not take the others' answer along.
        return await asyncio.shield(task)

    def _done(self, key: _Key, task: asyncio.Task[Prompt]) -> None:
        self._reading.pop(key, None)
        if not task.cancelled():
            # Asked for here too, since everybody who waited may have left.
            task.exception()

    async def _read(self, key: _Key) -> Prompt:
        async with self._database.reading() as connection:
            cursor = await connection.execute(SELECT, {"id": key[0], "version": key[1]})
            row: Any = await cursor.fetchone()
        if row is None:
            if len(self._missing) >= _MOST_MISSING:
                self._missing.clear()
            self._missing[key] = time.monotonic() + _MISSING_FOR_S
            raise unknown_version(*key)
        prompt = decoded(*row)
        try:
            await self._make_ready(prompt, len(row[0]))
        except Untemplatable as why:
            raise ComportaError(
                f"Prompt {prompt.label} was taken in by another version of Comporta, and this one can't use it: {why}."
                " Push it anew under another version.",
                code="prompt_unusable",
            ) from None
        self.recent.put(prompt, _BESIDES + _EACH_BYTE * len(row[0]))
        return prompt

    async def _make_ready(self, prompt: Prompt, size: int) -> None:
        if size > _SMALL:
            await asyncio.to_thread(getattr, prompt, "compiled")
        else:
            _ = prompt.compiled


async def read_several(connection: Connection, labels: Iterable[_Key]) -> list[Prompt]:
    """Those versions that are there, not made ready and not kept in memory."""
    wanted = list(labels)
    values = {"ids": [id for id, _ in wanted], "versions": [version for _, version in wanted]}
    rows = await (await connection.execute(SELECT_SEVERAL, values)).fetchall()
    return [decoded(*row) for row in rows]


def encoded(prompt: Prompt) -> str:
    """A whole prompt as it is stored, what it includes with it."""
    return msgspec.json.encode(prompt).decode()


def decoded(content: str, digest: str) -> Prompt:
    prompt = msgspec.json.decode(content, type=Prompt)
    # As it was pushed: a later version of the product might write the same prompt down otherwise.
    prompt.__dict__["digest"] = digest
    return prompt


def unknown_version(id: str, version: str) -> NotFound:
    return NotFound(
        f"There is no version {version[:64]} of a prompt {id[:100]!r} in the registry; `comporta prompts list` shows"
        " what there is.",
        code="prompt_not_found", param="prompt.version",
    )  # fmt: skip
