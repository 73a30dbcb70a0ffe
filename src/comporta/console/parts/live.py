"""What a page does again and again while somebody looks at it: the browser asks, and only while it is visible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from nicegui.element import Element

from comporta.console.parts.components import WEB
from comporta.errors import ComportaError

log = structlog.get_logger("comporta.console")


class Pulse(Element, component=WEB / "pulse.js"):
    """Calls `beat` every `every_s` seconds while the page is visible; one that is still running is not overtaken."""

    def __init__(self, every_s: float, beat: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._props["every"] = every_s
        self._beat = beat
        self._running = False
        self.on("beat", self._beaten, args=[])

    def run(self, going: bool) -> None:
        """Rest, or go on."""
        self._props["resting"] = not going
        self.update()

    async def _beaten(self) -> None:
        if self._running:
            return
        self._running = True
        try:
            await self._beat()
        except ComportaError as error:
            # The next one may go well, and a page is no place for a message every second.
            log.warning("console.beat_failed", code=error.code)
        finally:
            self._running = False
