"""What rooms' work in the job worker is done with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from comporta.app.folder import Folder
from comporta.app.loopback import Loopback
from comporta.app.settings import Settings
from comporta.notify.notifier import Notifier
from comporta.store.database import Database


class Around(Struct, frozen=True):
    """What work is done with. `settings` gives today's, `gate` asks the gate, which alone asks models.

    `totals` are counted up by works under the names that `/metrics` has for them.
    """

    database: Database
    settings: Callable[[], Settings]
    notifier: Notifier
    gate: Loopback
    folder: Folder
    totals: dict[str, float] = field(default_factory=dict)

    def count(self, name: str, more: float = 1) -> None:
        """Add to a total."""
        self.totals[name] = self.totals.get(name, 0.0) + more


Work = Callable[[Around], Awaitable[None]]
