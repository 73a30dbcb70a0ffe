"""What a gate holds of a user: every room's account in one list. A later room adds its own as one more row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from comporta.app.caching import Caching
from comporta.app.settings import Settings
from comporta.budget.budgets import Budget
from comporta.budget.declared import declared, sections
from comporta.budget.people import SpendingOf
from comporta.cache.people import Answers
from comporta.cache.semantic.people import Recalled
from comporta.config.loading import Loaded
from comporta.feedback.findings.people import FindingsOf
from comporta.feedback.problems import ProblemsOf
from comporta.gateway.batches.people import lines_of_people, rows_of_people
from comporta.gateway.followups.people import Responses
from comporta.store.database import Database
from comporta.store.people import Page, People, Person, Removed, erased_since
from comporta.telemetry.observability.tops import ListedIn
from comporta.telemetry.otlp.foreign import TraceSpans
from comporta.telemetry.people import Calls, Waiting
from comporta.telemetry.review_tables import ReviewsOf
from comporta.telemetry.score_people import ScoresOf

#: So long a call may have been under way when its user is erased, with room to spare.
_REMEMBERED_S = 3600.0


def people_of(
    database: Database, spool: Path, drain: Callable[[], Awaitable[object]], caching: Caching,
    loaded: Callable[[], Loaded[Settings]],
) -> People:  # fmt: skip
    """In the order in which it is erased: some find what is theirs by the calls, which therefore come late."""
    return People(
        database,
        [
            Responses(database),
            Answers(caching.exact.memory, lambda: caching.far),
            Recalled(database, lambda: caching.recalling.semantic),
            # Before the calls: what is shipped while this goes on is then found at least once.
            Waiting(database, spool),
            Calls(database),
            ListedIn(database),
            # After the calls: what is joined with them meanwhile finds no person there any more.
            ScoresOf(database),
            ReviewsOf(database),
            FindingsOf(database),
            ProblemsOf(database),
            TraceSpans(database),
            lines_of_people(database),
            rows_of_people(database),
            Limited(loaded),
            SpendingOf(database, lambda: _budgets(loaded())),
        ],
        drain,
    )


def _budgets(loaded: Loaded[Settings]) -> list[Budget]:
    settings = loaded.value
    found = sections(settings.budgets, settings.budget_management)
    return declared(found, lambda path: "{0.file} line {0.line}".format(loaded.place(path)))


class Limited:
    """Limits of the configuration that name a user: only who keeps the file can take them out.

    The counters of limits hold a user's name for two minutes at most, and need no erasing.
    """

    kind = "limits"

    def __init__(self, loaded: Callable[[], Loaded[Settings]]) -> None:
        self._loaded = loaded

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        settings = self._loaded().value
        named = [settings.limits[at].model_dump(mode="json", exclude_none=True) for at in self._naming(person)]
        return Page([{"limit": one} for one in named])

    async def erase(self, person: Person, after: str | None) -> Removed:
        places = [self._loaded().place(("limits", at)) for at in self._naming(person)]
        left = [f"{place.file} line {place.line} names this user in a limit: take it out there." for place in places]
        return Removed(0, left=tuple(left))

    def _naming(self, person: Person) -> list[int]:
        limits = self._loaded().value.limits
        return [at for at, one in enumerate(limits) if one.per == "user" and one.name == person.name]


class Heard:
    """What this process does when users were erased, here or in another process."""

    def __init__(self, database: Database, caching: Caching) -> None:
        self._database = database
        self._caching = caching

    async def load(self) -> None:
        self._caching.exact.forget(await erased_since(self._database, _REMEMBERED_S))
