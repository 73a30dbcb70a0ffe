"""A round of looking for drift: what came since the last one goes through its streams, and changes become findings.

One transaction holds the round: how far it looked, the windows, and what was found. A worker that dies in the middle
leaves everything as it was; a lock keeps others out meanwhile.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import psycopg
import structlog
from msgspec import Struct, structs

from comporta.feedback.drift.changes import Floats, Test
from comporta.feedback.drift.concepts import compare_concepts
from comporta.feedback.drift.skew import compare_skew
from comporta.feedback.drift.topics import compare_topics
from comporta.feedback.drift.values import Column, comparing
from comporta.feedback.drift.windows import Found, Item, Sizes, Windows
from comporta.feedback.findings import tables
from comporta.feedback.findings.seeing import Between, SeenCall, SeenScore, calls_of, scores_of
from comporta.feedback.findings.serving import Asked, serving, space_of
from comporta.feedback.findings.settings import FindingsSection
from comporta.feedback.findings.shapes import ILL, Action, Kind
from comporta.feedback.findings.tables import MARK, Held, New, Stream, id_of
from comporta.feedback.findings.vectors import Embed, Vectors
from comporta.feedback.findings.words import title_of
from comporta.feedback.processing.answers import COLUMNS, COSTS, costs_of, figures_of
from comporta.store.database import Connection, Database

log = structlog.get_logger("comporta.findings")

#: Looked at in one go at most. The first round begins a day back; what is older than a week is never looked at.
_STEP = datetime.timedelta(hours=1)
_STEPS = 24
_FIRST = datetime.timedelta(hours=23)
_BACK = datetime.timedelta(days=7)
#: Scores are joined by clocks of several processes.
_SETTLED = datetime.timedelta(seconds=10)
_SCORE = (Column("score", "points", 0.3),)


class Fed(Struct, frozen=True):
    """What comes into a stream; `reference` is what it begins with where it is empty, of streams that bring theirs."""

    stream: Stream
    items: list[Item]
    reference: list[Item] = []


class Looking:
    """Looks for drift. `model` embeds English texts, None where none is installed; `actions` are those of a kind."""

    def __init__(
        self, database: Database, section: FindingsSection, actions: Callable[[Kind], Sequence[Action]],
        model: tuple[str, Embed] | None = None,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:  # fmt: skip
        self._database = database
        self._section = section
        self._actions = actions
        self._vectors = Vectors(section.vectors, model)
        self._clock = clock
        self._sizes = Sizes(
            section.reference, section.current, section.every, max(section.current // 2, 10), section.reference_lasts
        )

    async def round(self) -> int:
        """Look at what came since the last round, in steps; how many findings are new. Raises Unavailable."""
        found = 0
        for _ in range(_STEPS):
            new = await self._step()
            if new is None:
                break
            found += new
        return found

    async def _step(self) -> int | None:
        """At most an hour of time; None where there is nothing more, or it is another worker's turn."""
        async with self._database.connection() as connection:
            ours = await (await connection.execute(tables.ALONE)).fetchone()
            if ours is None or not ours[0]:
                return None
            now = self._clock()
            calls = await self._window(connection, "calls", now - datetime.timedelta(seconds=self._section.wait))
            scores = await self._window(connection, "scores", now - _SETTLED)
            if calls is None and scores is None:
                return None
            spaces = {row["name"]: row["space"] for row in await tables.rows(connection, tables.SPACES)}
            found = 0
            if calls is not None:
                found += await self._feed(connection, await self._of_calls(connection, calls, spaces))
            if scores is not None:
                told = await scores_of(connection, scores)
                found += await self._feed(connection, await self._of_scores(told, spaces))
            await connection.execute(tables.FEWER)
            return found

    async def _window(self, connection: Connection, name: str, until: datetime.datetime) -> Between | None:
        since = max(await tables.moved(connection, name, until - _FIRST), until - _BACK)
        if until <= since:
            return None
        end = min(until, since + _STEP)
        await tables.move(connection, name, end)
        return Between(since, end, self._section.routes)

    # ---- what goes into which stream ----

    async def _of_calls(self, connection: Connection, window: Between, spaces: Mapping[str, str]) -> list[Fed]:
        figures: dict[Stream, list[Item]] = {}
        calls = await calls_of(connection, window)
        for call in calls:
            if not call.cached:
                _put_figures(figures, call)
        fed = [Fed(stream, items) for stream, items in figures.items()]
        for route in dict.fromkeys(call.route for call in calls):
            mine = [call for call in calls if call.route == route and call.question]
            fed += await self._of_route(connection, route, mine, spaces)
        return fed

    async def _of_route(
        self, connection: Connection, route: str, mine: Sequence[SeenCall], spaces: Mapping[str, str]
    ) -> list[Fed]:
        """What users ask, against what they asked before and against what prompts are tested with."""
        name = f"inputs{MARK}{route}"
        made = await self._vectors.of([call.question or "" for call in mine], spaces.get(name))
        if made is None:
            return []
        # It names the version that was asked last; all of them are in it.
        stream = Stream(name, "inputs", route, made[0], mine[-1].prompt, mine[-1].version)
        inputs = Fed(stream, [_item(one, vector) for one, vector in zip(mine, made[1], strict=True)])
        skewed = await serving(connection, Asked(mine, *made), spaces, self._vectors, self._section.reference)
        return [inputs, *(Fed(one.stream, one.items, one.tests) for one in skewed)]

    async def _of_scores(self, scores: Sequence[SeenScore], spaces: Mapping[str, str]) -> list[Fed]:
        fed: dict[Stream, list[Item]] = {}
        for one in scores:
            name = f"scores{MARK}{one.name}{MARK}{one.route}{MARK}{one.prompt}@{one.version}"
            stream = Stream(name, "scores", one.route, "value", one.prompt, one.version)
            fed.setdefault(stream, []).append(_scored(one, np.array([one.value])))
        asked = [one for one in scores if one.question]
        for route, name in dict.fromkeys((one.route, one.name) for one in asked):
            mine = [one for one in asked if (one.route, one.name) == (route, name)]
            place = f"concepts{MARK}{name}{MARK}{route}"
            made = await self._vectors.of([one.question or "" for one in mine], spaces.get(place))
            if made is None:
                continue
            stream = Stream(place, "concepts", route, made[0], mine[-1].prompt, mine[-1].version)
            # Falls are what is looked for, and of these scores a rise is one.
            sign = -1.0 if name in ILL else 1.0
            fed[stream] = [
                _scored(one, np.append(vector, sign * one.value)) for one, vector in zip(mine, made[1], strict=True)
            ]
        return [Fed(stream, items) for stream, items in fed.items()]

    # ---- the streams ----

    async def _feed(self, connection: Connection, fed: Sequence[Fed]) -> int:
        found = 0
        for one in fed:
            try:
                async with connection.transaction():
                    found += await self._feed_one(connection, one)
            except psycopg.Error:
                raise
            except Exception as error:
                # It would break each time, and then no stream would ever be looked at again.
                log.error("findings.stream_broken", stream=one.stream.name.replace(MARK, "/"), exc_info=error)
        return found

    async def _feed_one(self, connection: Connection, one: Fed) -> int:
        was = await tables.held(connection, one.stream)
        begun = was if was.reference or not one.reference else _begun(was, one.reference)
        if one.stream.kind == "skew" and not begun.reference:
            return 0
        now, told = await asyncio.to_thread(self._through, one.stream, begun, one.items)
        await tables.keep(connection, one.stream, was, now)
        return sum([await self._tell(connection, one.stream, number, change) for number, change in told])

    def _through(self, stream: Stream, was: Held, items: Sequence[Item]) -> tuple[Held, list[tuple[int, Found]]]:
        windows = Windows(
            _test_of(stream), self._sizes_of(stream, was), was.reference, was.current, taken=was.taken,
            tested=was.tested, began_at=was.began_at,
        )  # fmt: skip
        told = []
        seen = was.seen
        for item in items:
            seen += 1
            numbered = structs.replace(item, number=seen)
            told += [(seen, one) for one in windows.take(numbered)]
        now = Held(windows.reference, windows.current, seen, windows.taken, windows.tested, windows.began_at)
        return now, told

    def _sizes_of(self, stream: Stream, was: Held) -> Sizes:
        """Tests are a reference that is whole and stays."""
        if stream.kind != "skew":
            return self._sizes
        return structs.replace(self._sizes, reference=len(was.reference), reference_lasts_s=0.0, fixed=True)

    async def _tell(self, connection: Connection, stream: Stream, number: int, one: Found) -> bool:
        change, kind = one.change, _kind_of(stream)
        # Of tests it is told once, and again when they were changed: the space names them.
        event = stream.space if stream.kind == "skew" else number
        new = New(
            id=id_of(kind, stream.name, event, change.measure), kind=kind, measure=_measure(stream, one),
            title=title_of(stream, change), route=stream.route, prompt_id=stream.prompt or None,
            prompt_version=stream.version or None, since=one.since, size=change.size, before=change.before,
            after=change.after, low=change.low, high=change.high, n_before=one.n_before, n_after=one.n_after,
            facts={"unit": change.unit, "vectors": space_of(stream.space), **change.facts},
            examples=tuple(item.call_id for item in one.items if item.call_id),
        )  # fmt: skip
        if not await tables.put(connection, new, self._actions(kind)):
            return False
        log.info("finding", id=new.id, kind=kind, route=stream.route, measure=new.measure, size=change.size)
        return True


def _put_figures(fed: dict[Stream, list[Item]], call: SeenCall) -> None:
    place = f"{call.route}{MARK}{call.prompt}@{call.version}"
    if call.answer is not None:
        names = "|".join(column.name for column in COLUMNS)
        stream = Stream(f"answers{MARK}{place}", "answers", call.route, names, call.prompt, call.version)
        fed.setdefault(stream, []).append(_item(call, figures_of(call.answer, call.refused, call.cut)))
    if call.cost_microusd is not None:
        names = "|".join(column.name for column in COSTS)
        stream = Stream(f"costs{MARK}{place}", "costs", call.route, names, call.prompt, call.version)
        fed.setdefault(stream, []).append(_item(call, costs_of(call.cost_microusd, call.tokens)))


def _begun(was: Held, reference: Sequence[Item]) -> Held:
    """A stream that begins with what it is compared with."""
    numbered = [structs.replace(one, number=was.seen + at) for at, one in enumerate(reference, 1)]
    seen = was.seen + len(numbered)
    return Held(numbered, seen=seen, taken=len(numbered), began_at=min(one.at for one in numbered))


def _item(call: SeenCall, vector: Floats) -> Item:
    return Item(0, call.at, vector, call.id, call.user)


def _scored(one: SeenScore, vector: Floats) -> Item:
    return Item(0, one.at, vector, one.call_id, one.user)


def _test_of(stream: Stream) -> Test:
    if stream.kind == "inputs":
        return compare_topics
    if stream.kind == "concepts":
        return compare_concepts
    if stream.kind == "skew":
        return compare_skew
    return comparing({"answers": COLUMNS, "costs": COSTS}.get(stream.kind, _SCORE))


def _kind_of(stream: Stream) -> Kind:
    kinds: dict[str, Kind] = {
        "inputs": "input_drift", "answers": "answer_drift", "costs": "cost_drift", "scores": "score_drift",
        "concepts": "concept_drift", "skew": "serving_skew",
    }  # fmt: skip
    return kinds[stream.kind]


def _measure(stream: Stream, one: Found) -> str:
    """A score's own name where one changed."""
    return stream.name.split(MARK)[1] if stream.kind in ("scores", "concepts") else one.change.measure
