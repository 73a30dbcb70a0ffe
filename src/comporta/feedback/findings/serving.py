"""What prompts are tested with, as the reference that the questions of production are held against."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from comporta.feedback.drift.changes import Floats
from comporta.feedback.drift.skew import COLUMNS, FEWEST_TESTS, figures_of
from comporta.feedback.drift.windows import Item
from comporta.feedback.findings.seeing import SeenCall
from comporta.feedback.findings.tables import MARK, Stream, rows
from comporta.feedback.findings.texts import asked_of
from comporta.feedback.findings.vectors import Vectors
from comporta.store.database import Connection

#: Between the space of vectors and the name of the tests that a stream was begun with.
_OF_TESTS = "|"
#: The examples of a prompt's datasets are tests of it, beside those that were pushed.
SETS = """
select s.prompt_id, s.digest, s.cases + coalesce(d.n, 0) as cases, coalesce(d.n, 0) as gathered, d.at
from prompt_test_set s left join lateral (
    select count(*) as n, max(at) as at from dataset_example where prompt_id = s.prompt_id
) d on true
where s.prompt_id = any(%(prompts)s)
"""
TESTS = """
select * from (
    select c.input, c.variables, null::uuid as call_id, null as user_id, s.pushed_at as at, c.id
    from prompt_test_case c join prompt_test_set s using (prompt_id) where prompt_id = %(prompt)s
    union all
    select input ->> 'text', null, call_id, user_id, at, id from dataset_example where prompt_id = %(prompt)s
) as tests order by hashtext(id), id limit %(most)s
"""


class Asked(Struct, frozen=True):
    """The questions of a route, with their vectors in one space."""

    calls: Sequence[SeenCall]
    space: str
    vectors: Floats


class Serving(Struct, frozen=True):
    """A stream of what one version of a prompt is asked, and the tests, where the stream does not hold them yet."""

    stream: Stream
    items: list[Item]
    tests: list[Item]


def space_of(known: str | None) -> str | None:
    """The space of vectors in that of a stream of ours."""
    return None if known is None else known.partition(_OF_TESTS)[0]


async def serving(
    connection: Connection, asked: Asked, spaces: Mapping[str, str], vectors: Vectors, most: int
) -> list[Serving]:
    """The streams of a route's questions, by version of the prompts that have tests; at most `most` tests of each."""
    prompts = sorted({call.prompt for call in asked.calls if call.prompt})
    if not prompts:
        return []
    found = await rows(connection, SETS, {"prompts": prompts})
    sets = {row["prompt_id"]: row for row in found if row["cases"] >= FEWEST_TESTS}
    streams: dict[Stream, list[Item]] = {}
    for call, vector in zip(asked.calls, asked.vectors, strict=True):
        if call.prompt in sets:
            stream = _stream(call, f"{asked.space}{_OF_TESTS}{_digest(sets[call.prompt])}")
            item = Item(0, call.at, np.append(vector, figures_of(call.question or "")), call.id, call.user)
            streams.setdefault(stream, []).append(item)
    made = []
    for stream, items in streams.items():
        tests = [] if spaces.get(stream.name) == stream.space else await _tests(connection, stream, vectors, most)
        made.append(Serving(stream, items, tests))
    return made


def _stream(call: SeenCall, space: str) -> Stream:
    name = f"skew{MARK}{call.route}{MARK}{call.prompt}@{call.version}"
    return Stream(name, "skew", call.route, space, call.prompt, call.version)


def _digest(row: Mapping[str, object]) -> str:
    """Another one whenever the tests are others, or what is counted of them."""
    names = " ".join(column.name for column in COLUMNS)
    return hashlib.sha256(f"{row['digest']} {row['gathered']} {row['at']} {names}".encode()).hexdigest()[:16]


async def _tests(connection: Connection, stream: Stream, vectors: Vectors, most: int) -> list[Item]:
    """The tests as items, an even sample of very many; none where the model that the stream wants is away."""
    found = await rows(connection, TESTS, {"prompt": stream.prompt, "most": most})
    told = [(row, asked_of(row["input"], row["variables"])) for row in found]
    texts = [text for _, text in told if text]
    made = await vectors.of(texts, space_of(stream.space))
    if made is None or made[0] != space_of(stream.space):
        return []
    kept = [row for row, text in told if text]
    return [
        Item(0, _utc(row["at"]), np.append(vector, figures_of(text)), row["call_id"] and str(row["call_id"]),
             row["user_id"])
        for row, text, vector in zip(kept, texts, made[1], strict=True)
    ]  # fmt: skip


def _utc(at: datetime.datetime) -> datetime.datetime:
    return at.astimezone(datetime.UTC)
