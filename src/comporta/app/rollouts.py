"""Rollouts as a gate has them: put together from its rooms, with what they need of configuration and pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.budget.budgets import Budgets
from comporta.config.loading import Loaded
from comporta.gateway.asking import ask
from comporta.gateway.reach import wrong_params
from comporta.gateway.shadow import Shadows
from comporta.notify.notifier import Notifier
from comporta.pipeline import Call, Next
from comporta.prompts.registry import Registry
from comporta.routing.rollout.overlay import Overlay
from comporta.routing.rollout.releases import Releases
from comporta.routing.rollout.rows import RolloutRow
from comporta.store.database import Database
from comporta.types import Reply


class RollingOut:
    """Put together once per process; `notifier` and `pipeline` are asked when they are needed."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        budgets: Budgets,
        notifier: Callable[[], Notifier],
        known: Callable[[], Known],
        loaded: Callable[[], Loaded[Settings]],
        pipeline: Callable[[], Next],
    ) -> None:
        self._known = known
        self._loaded = loaded
        self._pipeline = pipeline
        self.shadows = Shadows(self._ask)
        self.overlay = Overlay(self.shadows.mirror)
        self.releases = Releases(
            database, registry, budgets, lambda notice, **more: notifier().send(notice, **more), known, self.overlay,
            hint=self.hint, wrong_params=wrong_params,
        )  # fmt: skip

    def _ask(self, call: Call) -> Awaitable[Reply]:
        return ask(self._pipeline(), call)

    def hint(self, row: RolloutRow) -> str | None:
        """Which lines of the configuration to change once all calls go to B."""
        if row.state != "standing" or row.route is None or row.target is None:
            return None
        settings = self._known().settings
        section = "routes" if row.route in settings.routes else "models" if row.route in settings.models else None
        if section is None:
            return f"Register '{row.route}' anew with what side B asks; this rollout then ends by itself."
        place = self._loaded().place((section, row.route))
        return (
            f"All calls go to side B, and the configuration does not say so yet. In {place.file} line {place.line} let "
            f"the route '{row.route}' ask {written(row)}; the rollout then ends by itself. Until then side A stays "
            "ready: `comporta rollout abort` sends all calls back to it."
        )

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return self.shadows.totals()

    async def close(self) -> None:
        await self.shadows.close()


def written(row: RolloutRow) -> str:
    """Side B as it would stand in the configuration."""
    target = row.target or {}
    parts = []
    if target.get("model"):
        parts.append(f"model: {target['provider']}/{target['model']}")
    prompt = target.get("prompt")
    if prompt:
        after = prompt.get("version") or prompt.get("label")
        parts.append(f"prompt: {prompt['id']}{'@' + after if after else ''}")
    if target.get("params"):
        parts.append("params: {" + ", ".join(f"{name}: {value}" for name, value in target["params"].items()) + "}")
    return f"`{', '.join(parts)}`"
