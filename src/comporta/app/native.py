"""Providers' own batch APIs as a gate has them: the two pipelines that calls pass in halves, and the handing over."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import msgspec

from comporta.app.gate import Gate
from comporta.budget.purses import Purse, Purses
from comporta.counters.base import Counters, Give, Money, Take
from comporta.errors import BadRequest, NotFound
from comporta.gateway.batches.edge import Arrive, Stop
from comporta.gateway.batches.handing import Handing
from comporta.gateway.batches.handovers import Handovers, Share
from comporta.gateway.batches.native_rows import NativeRows
from comporta.gateway.doors.base import Door
from comporta.gateway.reading import AS_KEY, secret_of
from comporta.gateway.server import Asked, Page
from comporta.pipeline import compose
from comporta.providers.batching import Batching
from comporta.providers.directory import Provider
from comporta.providers.wires import Speakers
from comporta.types import Caller

#: Stages of the way in that a call passes which is stopped: all but what leads an answer back to a kept response.
_NOT_IN = frozenset({"follow"})
#: Stages of the way out that a call passes when its answer is there.
_OUT = frozenset({"record", "score", "guard"})


class Native:
    """Put together once per process, of the stages of the gate and of what they ask."""

    def __init__(self, gate: Gate) -> None:
        self._database = gate.database
        self._forget = gate.telemetry.recorder.forget
        batching_of = functools.partial(_batching, gate.speakers)

        def provider_of(name: str) -> Provider | None:
            return gate.known.providers.get(name)

        arrive = Arrive(gate.reach, gate.pricing.price)
        way_out = [(name, stage) for name, stage in gate.stages if name in _OUT]
        way_out[1:1] = [("spend", gate.metering.admission.book), ("arrive", arrive.book)]
        self._arriving = compose(way_out, arrive)
        stop = Stop(provider_of, batching_of, gate.reach, gate.metering.most_of)
        self._stopping = compose([stage for stage in gate.stages if stage[0] not in _NOT_IN], stop)
        self._handing = Handing(
            Handovers(gate.database), provider_of, batching_of, gate.transport,
            Reservations(gate.metering.counters, gate.metering.purses),
            lambda: gate.loaded.value.batches.native_poll, lambda: gate.loaded.value.batches.native_leave,
        )  # fmt: skip

    def pages(self, doors: Sequence[Door], acting: Callable[[Caller, str], Caller],
              authenticate: Callable[[str], Caller]) -> NativePages:  # fmt: skip
        """What the job worker asks."""
        by_path: Mapping[str, Door] = {door.path: door for door in doors}
        rows = NativeRows(self._database, by_path, self._stopping, self._arriving, self._forget)
        return NativePages(rows, self._handing, acting, authenticate)


def _batching(speakers: Speakers, provider: Provider) -> Batching | None:
    return speakers.batching(provider.name, provider.row)


class NativePages:
    """`/native/…`, for the gate's own job worker: `park/BATCH/ROW/PATH`, `arrive/BATCH/ROW` and `step/HANDOVER`."""

    def __init__(
        self, rows: NativeRows, handing: Handing, acting: Callable[[Caller, str], Caller],
        authenticate: Callable[[str], Caller],
    ) -> None:  # fmt: skip
        self._rows = rows
        self._handing = handing
        self._acting = acting
        self._authenticate = authenticate

    async def post(self, asked: Asked) -> Page:
        """Raises Forbidden for every key but the data folder's."""
        caller = self._authenticate(secret_of(asked.headers))
        what, _, rest = asked.rest.partition("/")
        # An answer that was paid for is given out whatever became of its key: only what is still to be asked needs one.
        wanted = asked.headers.get(AS_KEY) if what == "park" else None
        acting = self._acting(caller, wanted or caller.key_id)
        if what == "step":
            return Page(msgspec.json.encode({"wait_s": await self._handing.step(rest)}))
        batch, _, rest = rest.partition("/")
        number, _, path = rest.partition("/")
        if not number.isdecimal():
            raise BadRequest("The path must name a batch and a row.")
        if what == "park":
            return await self._rows.stop(f"/{path}", asked.body, acting, (batch, int(number)))
        if what == "arrive":
            return await self._rows.arrive((batch, int(number)))
        raise NotFound(f"There is nothing at '{what[:40]}'.")


class Reservations:
    """Money that handovers hold of their callers' budgets; what each of them holds under is kept with it."""

    def __init__(self, counters: Counters, purses: Purses) -> None:
        self._counters = counters
        self._purses = purses

    async def hold(self, id: str, shares: Sequence[Share], before: Sequence[str], *, whole: bool) -> list[str] | None:
        """Raises Unavailable where it can't be told."""
        sums: dict[str, tuple[Purse, int]] = {}
        for share in shares:
            for purse in self._purses.of(share.caller, share.user):
                sums[purse.key] = purse, sums.get(purse.key, (purse, 0))[1] + share.most_microusd
        self.let_go(id, [key for key in before if key not in sums])
        if not sums:
            return []
        money = tuple(Money(key, purse.hard_microusd, amount, purse.end_s) for key, (purse, amount) in sums.items())
        await self._purses.learn([purse for purse, _ in sums.values()])
        taken = await self._counters.take(Take(id, money=money, whole=whole))
        return sorted(sums) if taken.refused is None else None

    def let_go(self, id: str, purses: Sequence[str]) -> None:
        """Hold nothing any more under these names, whoever took it."""
        if purses:
            self._counters.give(Give(id, money=tuple((key, 0) for key in purses)))
