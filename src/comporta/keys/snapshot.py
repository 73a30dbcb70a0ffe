"""The keys in memory, by the digest of their secrets: what every call is checked against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from comporta.keys.rows import KeyRow, read_row
from comporta.types import Caller


class Entry(Struct, frozen=True):
    """One secret: whose it is, until when it opens, and which code a caller hears after that."""

    caller: Caller
    until_s: float
    code: str


class Snapshot:
    """Rows and secrets, changed key by key; a whole new one replaces it on a full read."""

    __slots__ = ("_digests", "entries", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, KeyRow] = {}
        self.entries: dict[bytes, Entry] = {}
        self._digests: dict[str, list[bytes]] = {}

    def put(self, rows: Iterable[Sequence[Any]]) -> list[str]:
        """Take rows of SELECT in; their secrets follow with `put_secrets`. The ids."""
        ids = []
        for raw in rows:
            row = read_row(raw)
            self.rows[row.id] = row
            ids.append(row.id)
        return ids

    def put_secrets(self, ids: Iterable[str], secrets: Iterable[tuple[bytes, str, float | None]]) -> None:
        """Replace all secrets of these keys, in one step as seen by anybody else on the loop."""
        for key_id in ids:
            for digest in self._digests.pop(key_id, ()):
                del self.entries[digest]
        callers: dict[str, Caller] = {}
        for digest, key_id, expires_at_s in secrets:
            row = self.rows.get(key_id)
            if row is None:
                # A key made between the two reads: its own notice brings it.
                continue
            if key_id not in callers:
                callers[key_id] = row.caller()
            self.entries[digest] = _entry(row, callers[key_id], expires_at_s)
            self._digests.setdefault(key_id, []).append(digest)


def _entry(row: KeyRow, caller: Caller, expires_at_s: float | None) -> Entry:
    if row.revoked_at_s is not None:
        return Entry(caller, -math.inf, "key_revoked")
    ends = [end for end in (row.expires_at_s, expires_at_s) if end is not None]
    return Entry(caller, min(ends, default=math.inf), "key_expired")
