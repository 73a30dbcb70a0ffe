"""The configuration's budgets: one for each period that a section limits, under an id that outlives restarts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import cast

from comporta.budget.budgets import Budget, Scope
from comporta.budget.settings import BudgetManagementSection, BudgetSection, CostAllocationSection

#: Where a section stands, as a path of the configuration.
Path = tuple[str | int, ...]


def sections(budgets: Sequence[BudgetSection], management: BudgetManagementSection) -> list[tuple[Path, BudgetSection]]:
    """All sections of budgets with their places, those at the top first."""
    return [
        *((("budgets", at), one) for at, one in enumerate(budgets)),
        *((("budget_management", "budgets", at), one) for at, one in enumerate(management.budgets)),
    ]


def allocation(top: CostAllocationSection | None, management: BudgetManagementSection) -> CostAllocationSection:
    """What costs are told apart by, wherever it stands."""
    return top or management.cost_allocation or CostAllocationSection()


def declared(found: Sequence[tuple[Path, BudgetSection]], place: Callable[[Path], str]) -> list[Budget]:
    """The budgets of sections; `place` says in words where one stands."""
    return [budget for path, section in found for budget in _budgets(section, place(path))]


def _budgets(section: BudgetSection, place: str) -> list[Budget]:
    conditions = section.conditions
    scope, value = conditions[0] if conditions else ("all", None)
    return [
        Budget(
            # The same in every worker, and after every start.
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"comporta:budget:{section.name}:{period}")),
            section.name, cast(Scope, scope), value, period, limit, 0.0, place, dict(conditions[1:]), section.per,
            section.acts,
        )
        for period, limit in section.windows
    ]  # fmt: skip
