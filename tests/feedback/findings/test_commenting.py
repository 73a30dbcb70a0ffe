"""Comments are heard, complaints that are alike come together and grow, and a version gone worse is told."""

from __future__ import annotations

import datetime

from comporta.feedback.findings.commenting import Commenting
from comporta.feedback.findings.reads import clusters, get_finding, list_findings, trends
from comporta.store.database import Database
from support.judged import Said, put_calls, put_scores

NOW = datetime.datetime.now(datetime.UTC)
COLD = [f"{start} pizza was cold and late {end}" for start in ("My", "The", "Our") for end in ("", "again", "today!")]
PROCESSING = ("sentiment_analysis", "clustering", "anomaly_detection", "trending")


def commenting(database: Database) -> Commenting:
    return Commenting(database, PROCESSING, lambda kind: [])


async def test_complaints_come_together_and_growing_ones_are_told_once(database: Database) -> None:
    await put_scores(database, "comment", [*COLD, "Thank you, great help!"], NOW - datetime.timedelta(hours=2))
    assert await commenting(database).round() == 1
    assert await commenting(database).round() == 0
    (cluster,) = await clusters(database)
    assert "pizza" in cluster.title and cluster.complaints == len(COLD) and cluster.share == 1
    (finding,) = (await list_findings(database)).findings
    assert finding.kind == "complaints" and finding.size == len(COLD) and "pizza" in finding.title
    (mood,) = await trends(database, names=["mood"])
    assert mood.weeks[-1].n == len(COLD) + 1 and mood.weeks[-1].mean < 0


async def test_a_comment_beside_a_thumb_down_is_a_complaint_and_erased_comments_leave_nothing(
    database: Database,
) -> None:
    at = NOW - datetime.timedelta(hours=2)
    calls = await put_calls(database, [Said("?")] * 3, at)
    await put_scores(database, "comment", ["The steps name a button one can't see"] * 3, at, calls=calls)
    await put_scores(database, "thumbs", [False] * 3, at, calls=calls)
    await commenting(database).round()
    (cluster,) = await clusters(database)
    assert cluster.complaints == 3
    async with database.connection() as connection:
        await connection.execute("delete from score where kind = 'text'")
    await commenting(database).round()
    assert await clusters(database) == []
    async with database.connection() as connection:
        rows = await (
            await connection.execute("select 1 from comment_mood union select 1 from complaint_cluster")
        ).fetchall()
    assert rows == []


async def test_a_version_that_is_surely_worse_than_the_one_before_is_told_with_its_worst_calls(
    database: Database,
) -> None:
    at = NOW - datetime.timedelta(hours=3)
    calls = await put_calls(database, [Said("?")] * 120, at, version="1.1.0")
    old = NOW - datetime.timedelta(days=5)
    await put_scores(database, "thumbs", [n % 10 > 0 for n in range(120)], old)
    await put_scores(database, "thumbs", [n % 10 > 6 for n in range(120)], at, calls=calls, version="1.1.0")
    await put_scores(database, "rating", [4.0, 5.0] * 60, old)
    await put_scores(database, "rating", [4.0, 5.0] * 60, at, calls=calls, version="1.1.0")
    assert await commenting(database).round() == 1
    (finding,) = (await list_findings(database, filters={"kind": "anomaly"})).findings
    assert (finding.measure, finding.prompt_version, finding.facts["than"]) == ("thumbs", "1.1.0", "1.0.0")
    assert finding.high is not None and finding.size < finding.high < 0
    assert len((await get_finding(database, finding.id)).examples) == 5
    assert await commenting(database).round() == 0


async def test_a_version_of_whose_answers_more_are_made_up_is_worse_though_the_score_rose(database: Database) -> None:
    at, old = NOW - datetime.timedelta(hours=3), NOW - datetime.timedelta(days=5)
    calls = await put_calls(database, [Said("?")] * 120, at, version="1.1.0")
    await put_scores(database, "hallucination", [0.1, 0.2] * 60, old)
    await put_scores(database, "hallucination", [0.5, 0.9] * 60, at, calls=calls, version="1.1.0")
    await put_scores(database, "toxicity", [0.5, 0.9] * 60, old)
    await put_scores(database, "toxicity", [0.1, 0.2] * 60, at, calls=calls, version="1.1.0")
    assert await commenting(database).round() == 1
    (finding,) = (await list_findings(database, filters={"kind": "anomaly"})).findings
    assert finding.measure == "hallucination" and "rose from 0.15 to 0.7" in finding.title
    assert finding.low is not None and finding.size > finding.low > 0
    examples = {one.call_id for one in (await get_finding(database, finding.id)).examples}
    assert examples <= set(calls[1::2])
