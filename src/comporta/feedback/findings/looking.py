"""A round of looking for drift: what came since the last one goes through its streams, and changes become findings.

One transaction holds the round: how far it looked, the windows, and what was found. A worker that dies in the middle
leaves everything as it was; a lock keeps others out meanwhile.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np
import structlog

from comporta.errors import ComportaError
from comporta.feedback.drift.changes import Floats, Test
from comporta.feedback.drift.concepts import compare_concepts
from comporta.feedback.drift.topics import compare_topics
from comporta.feedback.drift.values import Column, comparing
from comporta.feedback.drift.windows import Found, Item, Sizes, Windows
from comporta.feedback.findings import tables
from comporta.feedback.findings.seeing import Between, SeenCall, SeenScore, calls_of, scores_of
from comporta.feedback.findings.settings import FindingsSection
from comporta.feedback.findings.shapes import Action, Kind
from comporta.feedback.findings.tables import MARK, Held, New, Stream, id_of
from comporta.feedback.findings.words import title_of
from comporta.feedback.processing import lexical
from comporta.feedback.processing.answers import COLUMNS, COSTS, costs_of, figures_of
from comporta.store.database import Connection, Database
from comporta.text.language import guess_language

log = structlog.get_logger("comporta.findings")

#: Looked at in one go at most. The first round begins a day back; what is older than a week is never looked at.
_STEP = datetime.timedelta(hours=1)
_STEPS = 24
_FIRST = datetime.timedelta(hours=23)
_BACK = datetime.timedelta(days=7)
_ENGLISH = 0.8
#: Scores are joined by clocks of several processes.
_SETTLED = datetime.timedelta(seconds=10)
_SCORE = (Column("score", "points", 0.3),)

#: Vectors of length one, a row for each text.
Embed = Callable[[Sequence[str]], Awaitable[Floats]]
Fed = tuple[Stream, list[Item]]


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
        self._model = model
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
                found += await self._feed(connection, await self._of_calls(await calls_of(connection, calls), spaces))
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

    async def _of_calls(self, calls: Sequence[SeenCall], spaces: Mapping[str, str]) -> list[Fed]:
        fed: dict[Stream, list[Item]] = {}
        for call in calls:
            if not call.cached:
                _put_figures(fed, call)
        for route in dict.fromkeys(call.route for call in calls):
            mine = [call for call in calls if call.route == route and call.question]
            name = f"inputs{MARK}{route}"
            made = await self._embedded([call.question or "" for call in mine], spaces.get(name))
            if made is not None:
                # It names the version that was asked last; all of them are in it.
                stream = Stream(name, "inputs", route, made[0], mine[-1].prompt, mine[-1].version)
                fed[stream] = [_item(one, vector) for one, vector in zip(mine, made[1], strict=True)]
        return list(fed.items())

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
            made = await self._embedded([one.question or "" for one in mine], spaces.get(place))
            if made is None:
                continue
            stream = Stream(place, "concepts", route, made[0], mine[-1].prompt, mine[-1].version)
            # Falls are what is looked for, and of these scores a rise is one.
            sign = -1.0 if name in ("follow_up", "abandoned", "hallucination", "toxicity") else 1.0
            fed[stream] = [
                _scored(one, np.append(vector, sign * one.value)) for one, vector in zip(mine, made[1], strict=True)
            ]
        return list(fed.items())

    async def _embedded(self, texts: Sequence[str], known: str | None) -> tuple[str, Floats] | None:
        """The name of the space, and the vectors; `known` is the stream's space so far, which it stays in.

        None where there are no texts, or where the model fails: these are then left out.
        """
        if not texts:
            return None
        if self._model is None or not self._wants_model(texts, known):
            return lexical.SPACE, await asyncio.to_thread(lexical.hashed, texts)
        try:
            return self._model[0], await self._model[1](texts)
        except ComportaError as error:
            log.warning("findings.model_away", reason=error.message)
            return None

    def _wants_model(self, texts: Sequence[str], known: str | None) -> bool:
        if self._section.vectors != "auto":
            return self._section.vectors == "local"
        if known is not None:
            return known != lexical.SPACE
        english = sum(guess_language(text).code == "en" for text in texts)
        return english >= _ENGLISH * len(texts)

    # ---- the streams ----

    async def _feed(self, connection: Connection, fed: Sequence[Fed]) -> int:
        found = 0
        for stream, items in fed:
            was = await tables.held(connection, stream)
            now, told = await asyncio.to_thread(self._through, stream, was, items)
            await tables.keep(connection, stream, was, now)
            for number, one in told:
                found += await self._tell(connection, stream, number, one)
        return found

    def _through(self, stream: Stream, was: Held, items: Sequence[Item]) -> tuple[Held, list[tuple[int, Found]]]:
        windows = Windows(
            _test_of(stream), self._sizes, was.reference, was.current, taken=was.taken, tested=was.tested,
            began_at=was.began_at,
        )  # fmt: skip
        told = []
        seen = was.seen
        for item in items:
            seen += 1
            numbered = Item(seen, item.at, item.vector, item.call_id, item.user)
            told += [(seen, one) for one in windows.take(numbered)]
        now = Held(windows.reference, windows.current, seen, windows.taken, windows.tested, windows.began_at)
        return now, told

    async def _tell(self, connection: Connection, stream: Stream, number: int, one: Found) -> bool:
        change, kind = one.change, _kind_of(stream)
        new = New(
            id=id_of(kind, stream.name, number, change.measure), kind=kind, measure=_measure(stream, one),
            title=title_of(stream, change), route=stream.route, prompt_id=stream.prompt or None,
            prompt_version=stream.version or None, since=one.since, size=change.size, before=change.before,
            after=change.after, low=change.low, high=change.high, n_before=one.n_before, n_after=one.n_after,
            facts={"unit": change.unit, "vectors": stream.space, **change.facts},
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


def _item(call: SeenCall, vector: Floats) -> Item:
    return Item(0, call.at, vector, call.id, call.user)


def _scored(one: SeenScore, vector: Floats) -> Item:
    return Item(0, one.at, vector, one.call_id, one.user)


def _test_of(stream: Stream) -> Test:
    if stream.kind == "inputs":
        return compare_topics
    if stream.kind == "concepts":
        return compare_concepts
    return comparing({"answers": COLUMNS, "costs": COSTS}.get(stream.kind, _SCORE))


def _kind_of(stream: Stream) -> Kind:
    kinds: dict[str, Kind] = {
        "inputs": "input_drift", "answers": "answer_drift", "costs": "cost_drift", "scores": "score_drift",
        "concepts": "concept_drift",
    }  # fmt: skip
    return kinds[stream.kind]


def _measure(stream: Stream, one: Found) -> str:
    """A score's own name where one changed."""
    return stream.name.split(MARK)[1] if stream.kind in ("scores", "concepts") else one.change.measure
