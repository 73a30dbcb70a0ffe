"""Findings, clusters and trends as they are read: pages, examples with what was kept, figures by week."""

from __future__ import annotations

import datetime

import pytest

from comporta.errors import BadRequest, NotFound
from comporta.feedback.findings.reads import clusters, get_finding, list_findings, set_state, trends
from comporta.store.database import Database

NOW = datetime.datetime.now(datetime.UTC)
PUT = """
insert into finding (id, kind, measure, title, route, prompt_id, prompt_version, since, found_at, size)
values (%s, %s, 'topics', 'Something changed', %s, 'help', '1.0.0', now(), %s, 0.5)
"""
SCORE = """
insert into score (owner, id, name, at, kind, number, label, source, who, joined_at, route)
values ('', %s, %s, %s, %s, %s, %s, 'user', 'ana', now(), 'support')
"""


async def put(database: Database, id: str, kind: str = "input_drift", route: str = "support", ago_h: int = 0) -> None:
    async with database.connection() as connection:
        await connection.execute(PUT, [id, kind, route, NOW - datetime.timedelta(hours=ago_h)])


async def test_findings_are_listed_page_by_page_and_by_what_they_are(database: Database) -> None:
    for hour in range(5):
        await put(database, f"f{hour}", ago_h=hour)
    await put(database, "other", kind="anomaly", route="sales", ago_h=9)
    first = await list_findings(database, limit=4)
    second = await list_findings(database, limit=4, after=first.next)
    assert [one.id for one in first.findings + second.findings] == ["f0", "f1", "f2", "f3", "f4", "other"]
    assert first.next is not None and second.next is None
    assert [one.id for one in (await list_findings(database, filters={"route": "sales"})).findings] == ["other"]
    with pytest.raises(BadRequest):
        await list_findings(database, filters={"colour": "red"})
    with pytest.raises(BadRequest):
        await list_findings(database, after="x")


async def test_a_finding_is_acknowledged_by_somebody_and_others_are_not_found(database: Database) -> None:
    await put(database, "f")
    await set_state(database, "f", "acknowledged", "root", "on it")
    found = await get_finding(database, "f")
    assert (found.state, found.by, found.note) == ("acknowledged", "root", "on it")
    with pytest.raises(NotFound):
        await set_state(database, "g", "closed", "root")


async def test_trends_tell_each_week_with_its_interval_and_whether_it_falls(database: Database) -> None:
    async with database.connection() as connection:
        for week in range(6):
            for n in range(40):
                at = NOW - datetime.timedelta(weeks=week)
                good = 1.0 if n < 10 + 5 * week else 0.0
                await connection.execute(SCORE, [f"{week}-{n}", "thumbs", at, "boolean", good, None])
    (trend,) = await trends(database, route="support")
    assert trend.name == "thumbs" and trend.direction == "falling" and len(trend.weeks) == 6
    last = trend.weeks[-1]
    assert last.n == 40 and last.mean == 0.25 and last.low < 0.25 < last.high
    assert await trends(database, route="sales") == []


async def test_clusters_show_their_latest_comments_as_they_were_said(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "insert into complaint_cluster values ('c', 'cold pizza', 'en', '{}', 2, now(), now(), now())"
        )
        for n in range(2):
            await connection.execute(SCORE, [f"s{n}", "comment", NOW, "text", None, f"Cold pizza number {n}"])
            await connection.execute(
                "insert into comment_mood values ('', %s, 'comment', now() - interval '1 m', 'support', null, null,"
                " 'en', -0.8, true, 'c')", [f"s{n}"],
            )  # fmt: skip
    (cluster,) = await clusters(database, route="support")
    assert (cluster.title, cluster.complaints, cluster.share, cluster.routes) == ("cold pizza", 2, 1.0, ("support",))
    assert sorted(one.text for one in cluster.examples) == ["Cold pizza number 0", "Cold pizza number 1"]
    assert await clusters(database, route="sales") == []
