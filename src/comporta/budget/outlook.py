"""How a budget stands and where it goes, as the ledger says: for people, for metrics, for the admin API."""

from __future__ import annotations

from msgspec import Struct

from comporta.budget.budgets import Budget
from comporta.budget.forecast import DAY_S, HISTORY_DAYS, HOUR_S, Forecast, TooLittle, forecast
from comporta.budget.ledger import by_hour, spent_from
from comporta.budget.periods import period_of
from comporta.store.database import Database


class Outlook(Struct, frozen=True):
    """What was spent in the running period, which begins and ends then, and what is to be expected of it."""

    begin_s: float
    end_s: float
    spent_microusd: int
    forecast: Forecast | TooLittle


async def outlook_of(database: Database, budget: Budget, now_s: float) -> Outlook:
    """Raises Unavailable."""
    begin_s, end_s = period_of(budget.period, now_s)
    if budget.per is not None:
        spent = await spent_from(database)(budget, begin_s, end_s)
        return Outlook(begin_s, end_s, spent, TooLittle("each user has a budget of its own"))
    since_s = min(begin_s, (now_s - HISTORY_DAYS * DAY_S) // HOUR_S * HOUR_S)
    hours = await by_hour(database, budget, since_s, end_s)
    spent = sum(cost for at_s, cost in hours if at_s >= begin_s)
    return Outlook(begin_s, end_s, spent, forecast(hours, budget.limit_microusd, begin_s, end_s, now_s))
