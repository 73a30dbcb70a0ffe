"""What counters are asked and what they answer; both kinds, in memory and in Redis, keep to it to the letter.

Everything a call needs is one `Take`: windows, leases and money are checked together and counted together, or nothing
is. A window is a sliding minute kept by the second: what was counted in second `s` goes when second `s + 61` begins,
so no 60 seconds ever hold more than the limit, by whatever worker, and a place is given back at most a second late.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

#: Seconds after which a counted second lies outside every minute that holds the present one.
WINDOW_S = 61
#: Leases and holds of a worker that died go after so long; a living worker renews its own three times as often.
LEASE_S = 60.0
#: A period's money is kept so long after its end: calls that began in it settle later.
KEPT_AFTER_S = 2 * 86_400

Refusal = Literal["window", "lease", "money", "unknown"]


class Window(Struct, frozen=True, array_like=True, gc=False):
    """Count `amount` in the last minute of `key`, if that makes no more than `limit`.

    An amount above the limit counts as the limit: it passes alone, or never could.
    """

    key: str
    limit: int
    amount: int = 1


class Lease(Struct, frozen=True, array_like=True, gc=False):
    """Be one of at most `limit` that hold `key` at the same time."""

    key: str
    limit: int


class Money(Struct, frozen=True, array_like=True, gc=False):
    """Hold `amount_microusd` of what `key` (a budget in one period, which ends at `end_s`) may spend.

    A second hold by the same id replaces the first one.
    """

    key: str
    limit_microusd: int
    amount_microusd: int
    end_s: float


class Take(Struct, frozen=True, array_like=True, gc=False):
    """All or nothing. `id` names the holder of leases and money.

    With `whole` unset money that does not fit is not held, and refuses only where nothing at all is left; then
    `Taken.held` says whether it was.
    """

    id: str
    windows: tuple[Window, ...] = ()
    leases: tuple[Lease, ...] = ()
    money: tuple[Money, ...] = ()
    whole: bool = True
    #: Leases of the same id to let go first: a call that turns to another provider.
    drop: tuple[str, ...] = ()


class Level(Struct, frozen=True, array_like=True, gc=False):
    """Where a window stands: what it holds, and the seconds until it holds nothing."""

    total: int
    reset_s: float


class Taken(Struct, frozen=True, gc=False):
    """The answer. `refused` is None where it was taken; else which kind refused, and `index` which one of that kind.

    `unknown` is money that nobody has said the spending of yet: say it by `level`, and ask again.
    """

    refused: Refusal | None = None
    index: int = 0
    #: Seconds after which asking again can help; 0 where that is not known.
    wait_s: float = 0.0
    #: The second in which the windows counted, for a correction.
    second: int = 0
    held: bool = False
    levels: tuple[Level, ...] = ()


class Correction(Struct, frozen=True, array_like=True, gc=False):
    """What was counted in a second of a window turned out to be `delta` more."""

    key: str
    second: int
    delta: int


class Give(Struct, frozen=True, array_like=True, gc=False):
    """What a call gives back when it ends: corrected windows, leases, and holds settled at what it cost."""

    id: str
    corrections: tuple[Correction, ...] = ()
    leases: tuple[str, ...] = ()
    #: Key and micro-dollars spent; 0 releases the hold.
    money: tuple[tuple[str, int], ...] = ()


class Spent(Struct, frozen=True, array_like=True, gc=False):
    """The ledger's word on what was spent under `key`."""

    key: str
    microusd: int
    end_s: float


class Counters(Protocol):
    """Counts; shared by every worker that must keep the same limits."""

    async def take(self, asked: Take) -> Taken:
        """Take all of it or nothing. Raises Unavailable where that can't be told, and must be."""

    def give(self, given: Give) -> None:
        """Give back. A local act: what must travel goes on its way later, in order."""

    async def level(self, spent: tuple[Spent, ...]) -> None:
        """Make the spending of keys known; what is known already is only ever raised."""

    async def money(self, key: str) -> tuple[int, int] | None:
        """Micro-dollars spent and held under a key; None where it is unknown."""

    async def run(self) -> None:
        """What must go on beside the calls, until cancelled."""

    async def close(self) -> None: ...
