"""What runs by the clock: jobs do their work when they are called."""

from __future__ import annotations

from comporta.app.jobs import Keep, make_app
from comporta.cache.entry import Row
from comporta.cache.postgres import PostgresStore
from comporta.store.database import Database


async def test_expired_answers_are_deleted_by_the_clock(database: Database) -> None:
    store = PostgresStore(database)
    old, young = b"o" * 32, b"y" * 32
    await store.put([Row(old, b"", 0.0, -1.0, "t", "r"), Row(young, b"", 0.0, 60.0, "t", "r")])
    app = make_app(database.dsn, database, Keep(30, 60, 400))
    task = app.tasks["cache"]
    assert any(periodic.task is task for periodic in app.periodic_registry.periodic_tasks.values())
    await task.func(0)
    assert list(await store.get([old, young])) == [young]
