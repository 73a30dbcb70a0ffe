"""Several workers over one database: what one keeps, clears or learns the others know; users, seeds, and the sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from comporta.cache.policy import CachePolicy
from comporta.cache.semantic.overview import drop_entry, overview
from comporta.cache.semantic.people import Recalled
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.seeding import Seed
from comporta.cache.semantic.store import Kept
from comporta.cache.semantic.sweeping import hear, sweep
from comporta.cache.semantic.thresholds import Check
from comporta.errors import BudgetExceeded, Unavailable
from comporta.keys.keys import Keys
from comporta.pipeline import new_id
from comporta.store.database import Database
from comporta.store.people import People, person_of
from comporta.telemetry.partitions import ensure_partitions
from comporta.telemetry.record import PROMPTED, Prompted
from support.caching import Upstream
from support.recalling import HOURS, RESET, RESET_TOO, Worker, answer, question

POLICY = SemanticPolicy(shadow=1.0)


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Worker]:
    made = await Worker(database).open()
    yield made
    made.close()


async def asks(worker: Worker, text: str = RESET_TOO, **more: object) -> str:
    call = question(text, **more)  # type: ignore[arg-type]
    await worker.ask(call, Upstream(answer()))
    # Each look is to be one by meaning.
    worker.cache.memory.resize(0, 0)
    return call.cache


async def test_what_one_worker_keeps_another_finds_after_a_refresh(worker: Worker, other: Worker) -> None:
    await asks(worker, RESET)
    await other.searching.refresh()
    assert await asks(other) == "semantic"
    late = await Worker(worker.database).open()
    assert await asks(late) == "semantic", "a worker that starts reads them all"
    late.close()


async def test_an_answer_that_was_given_lately_is_not_read_again_and_a_newer_one_takes_its_place(
    worker: Worker, other: Worker
) -> None:
    await worker.seeding.seed([Seed(RESET, "Old.", "r")])
    await other.searching.refresh()
    assert await other.ask(question(RESET_TOO), Upstream()) == "Old."
    get, other.semantic._recent._read = other.semantic._recent._read, nothing_read
    assert await other.ask(question(RESET_TOO, user="rui"), Upstream()) == "Old."
    other.semantic._recent._read = get
    await worker.seeding.seed([Seed(RESET, "New.", "r")])
    await other.searching.refresh()
    assert await other.ask(question(RESET_TOO), Upstream()) == "New."


async def nothing_read(ids: Sequence[int]) -> list[Kept]:
    raise AssertionError(f"{ids} were read again")


class TestClearing:
    async def test_a_tag_is_cleared_in_every_worker_and_in_both_caches(self, worker: Worker, other: Worker) -> None:
        tagged = {"x-comporta-cache-tags": "document:42, news"}
        first, again = question(RESET, headers=tagged), question(RESET, headers=tagged)
        await worker.ask(first, Upstream(answer()))
        await other.searching.refresh()
        await worker.clearings.clear(["document:41"])
        await worker.ask(again, Upstream(answer()))
        assert again.cache == "hit" and await asks(other) == "semantic"
        assert await worker.clearings.clear(["document:42"]) >= 1
        await other.clearings.load()
        await worker.ask(again := question(RESET, headers=tagged), Upstream(answer()))
        assert again.cache == "miss", "the exact answer in memory bears the tag, too"
        await other.searching.refresh()
        assert await asks(other) == "semantic", "of the new answer"

    async def test_a_route_an_entry_and_everything(self, worker: Worker) -> None:
        for what in (["route:r"], ["*"], ["key:key"]):
            await asks(worker, RESET)
            assert await asks(worker) == "semantic"
            await worker.clearings.clear(what)
            assert await asks(worker, "How would I reset my password?") == "miss"
            await worker.clearings.clear(["*"])
        call = question(RESET)
        await worker.ask(call, Upstream(answer()))
        await worker.ask(hit := question(RESET_TOO), Upstream(answer()))
        entry = (hit.notes or {})["cache"]["entry"]
        assert await drop_entry(worker.database, entry) and not await drop_entry(worker.database, entry)
        await worker.clearings.load()
        assert await asks(worker, "How would I reset my password?") == "miss"

    async def test_what_was_under_way_when_it_was_cleared_is_not_kept(self, worker: Worker) -> None:
        call = question(RESET)
        call.started_s -= 5.0
        await worker.clearings.clear(["route:r"])
        await worker.ask(call, Upstream(answer()))
        assert await asks(worker) == "miss"

    async def test_what_a_revoked_key_paid_for_is_given_no_more(self, worker: Worker, database: Database) -> None:
        keys = Keys(database)
        row, _ = await keys.create(name="ana", team="red")
        await asks(worker, RESET, key=row.id)
        assert await asks(worker) == "semantic"
        await keys.revoke(row.id, by="admin")
        await worker.clearings.clear_moved()
        await worker.clearings.clear_moved()
        assert await asks(worker, "How would I reset my password?") == "miss"

    async def test_tags_of_prompts_name_their_versions(self, worker: Worker) -> None:
        call = question(RESET)
        call.facts[PROMPTED] = Prompted("support", "1.0.0")
        await worker.ask(call, Upstream(answer()))
        assert await worker.clearings.clear(["prompt:support@1.0.1"]) == 0
        assert await worker.clearings.clear(["prompt:support"]) == 1


class TestUsers:
    async def test_questions_and_answers_are_exported_and_erased(self, worker: Worker, database: Database) -> None:
        await asks(worker, RESET, user="ana")
        await asks(worker, HOURS, user="rui")
        people = People(database, [Recalled(database, lambda: worker.semantic)])
        rows = (await people.export("ana")).rows
        assert [row["question"] for row in rows] == [RESET] and rows[0]["kind"] == "semantic_cache"
        assert rows[0]["reply"]["choices"][0]["text"] == "By the link on the page."
        assert (await people.erase("ana", by="admin")).removed == {"semantic_cache": 1}
        assert (await people.export("ana")).rows == [] and len((await people.export("rui")).rows) == 1
        assert await asks(worker, RESET_TOO) == "miss"

    async def test_a_call_under_way_when_its_user_is_erased_leaves_nothing(
        self, worker: Worker, database: Database
    ) -> None:
        call = question(RESET, user="ana")
        await People(database, [Recalled(database, lambda: worker.semantic)]).erase("ana", by="admin")
        call.started_s -= 60
        await worker.ask(call, Upstream(answer()))
        assert await Recalled(database, lambda: None).page(person_of("ana"), None, 5) is not None
        assert len((await Recalled(database, lambda: None).page(person_of("ana"), None, 5)).rows) == 0


class TestSeeding:
    async def test_a_seed_is_given_whatever_the_model_and_parameters_are(self, worker: Worker, other: Worker) -> None:
        seeds = [Seed(RESET, "Press the button.", "r", ("faq",)), Seed(RESET, "Only blue.", "r", team="blue")]
        assert (await worker.seeding.seed(seeds)).stored == 2
        await other.searching.refresh()
        for worker_ in (worker, other):
            call = question(RESET_TOO, temperature=0.3, system="Be brief.", stream=True)
            assert await worker_.ask(call, Upstream()) == "Press the button." and call.cache == "semantic"
        blue = question(RESET_TOO, team="blue")
        assert await worker.ask(blue, Upstream()) in ("Press the button.", "Only blue.")
        for elsewhere in (question(RESET_TOO, earlier=["Hi", "Hello"]), question(RESET_TOO, n=2)):
            await worker.ask(elsewhere, Upstream())
            assert elsewhere.cache == "miss"
        assert await worker.clearings.clear(["faq"]) == 1

    async def test_seeds_of_one_team_are_no_others(self, worker: Worker) -> None:
        await worker.seeding.seed([Seed(RESET, "Only blue.", "r", team="blue")])
        assert await asks(worker, RESET_TOO, team="red") == "miss"
        assert await asks(worker, RESET_TOO, team="blue") == "semantic"

    async def test_seeding_again_replaces_the_answer(self, worker: Worker) -> None:
        for text in ("Old.", "New."):
            await worker.seeding.seed([Seed(RESET, text, "r")])
        assert await worker.ask(question(RESET_TOO), Upstream()) == "New."

    async def test_what_can_not_be_seeded_is_told_by_its_place(self, worker: Worker) -> None:
        wrong = [Seed(" ", "x", "r"), Seed(RESET, " ", "r"), Seed("Como cancelo a minha assinatura hoje?", "x", "r")]
        found = await worker.seeding.seed([Seed(RESET, "x", "r"), *wrong])
        assert found.stored == 1 and [at for at, _ in found.refused] == [1, 2, 3]
        assert "not English" in found.refused[2][1]
        worker.embedder.error = Unavailable("gone")
        with pytest.raises(Unavailable, match="gives no vectors now"):
            await worker.seeding.seed([Seed(HOURS, "x", "r")])


class TestChecks:
    async def test_a_fresh_answer_that_says_the_same_counts_as_right(self, worker: Worker) -> None:
        worker.policy = CachePolicy(semantic=POLICY)
        await asks(worker, RESET)
        call = question(RESET_TOO)
        await worker.ask(call, Upstream())
        await worker.checks.wait()
        assert (worker.checks.done, worker.checks.wrong) == (1, 0)
        (copy,) = worker.asked_afresh
        assert copy.caller.feature == "cache:r" and copy.target == call.target and copy.parent_id == call.id
        (route,) = (await overview(worker.database, [], lambda name: POLICY)).routes
        assert (route.checked, route.wrong, route.hits, route.promise, route.missing) == (1, 0, 1, "unknown", 298)

    async def test_one_that_says_something_else_raises_the_threshold_and_drops_the_entry(
        self, worker: Worker, other: Worker
    ) -> None:
        worker.policy = other.policy = CachePolicy(semantic=POLICY)
        worker.fresh = "Within 30 days, by post to the office in Faro."
        await asks(worker, RESET)
        await worker.ask(question(RESET_TOO), Upstream())
        await worker.checks.wait()
        await other.thresholds.load()
        assert worker.checks.wrong == 1 and other.thresholds.of("r", 0.92) == pytest.approx(0.94)
        assert other.thresholds.of("r", 0.97) == 0.97, "what is configured later may be stricter"

    async def test_a_judge_decides_where_there_is_one_and_leaves_out_what_it_can_not_say(self, worker: Worker) -> None:
        worker.policy = CachePolicy(semantic=SemanticPolicy(shadow=1.0, judge="judge"))
        worker.fresh = "Click the link on that page."
        await asks(worker, RESET)
        for verdict, done, left_out in (("SAME.", 1, 0), ("hm", 1, 1)):
            worker.verdict = verdict
            await worker.ask(question(RESET_TOO), Upstream())
            await worker.checks.wait()
            assert (worker.checks.done, worker.checks.left_out) == (done, left_out)

    async def test_a_budget_that_is_used_up_lets_the_checks_rest(self, worker: Worker) -> None:
        worker.policy = CachePolicy(semantic=POLICY)
        worker.fresh = BudgetExceeded("used up")
        await asks(worker, RESET)
        for _ in range(3):
            await worker.ask(question(RESET_TOO), Upstream())
            await worker.checks.wait()
        assert len(worker.asked_afresh) == 1 and worker.checks.left_out == 3

    async def test_seeds_and_unlucky_draws_are_not_checked(self, worker: Worker) -> None:
        worker.policy = CachePolicy(semantic=SemanticPolicy(shadow=0.5))
        worker.drawn = 0.5
        await asks(worker, RESET)
        await worker.ask(question(RESET_TOO), Upstream())
        worker.drawn = 0.0
        await worker.seeding.seed([Seed(HOURS, "There.", "r")])
        await worker.ask(question(HOURS), Upstream())
        assert worker.asked_afresh == []

    async def test_a_check_of_the_same_call_counts_once(self, worker: Worker) -> None:
        check = Check("r", 0.95, 0.92, False, "shadow", new_id(), 1)
        for _ in range(2):
            await worker.thresholds.note(check)
        (route,) = (await overview(worker.database, [], lambda name: POLICY)).routes
        assert route.checked == 1

    async def test_checks_made_under_a_stricter_threshold_say_nothing_of_a_laxer_one(self, worker: Worker) -> None:
        for confidence, held in ((0.99, 0.98), (0.99, 0.92), (0.91, 0.9)):
            await worker.thresholds.note(Check("r", confidence, held, False, "shadow", new_id(), 1))
        (route,) = (await overview(worker.database, [], lambda name: POLICY)).routes
        assert route.checked == 1


class TestSweeping:
    async def test_the_expired_and_the_oldest_go_and_seeds_last(self, worker: Worker, database: Database) -> None:
        await worker.seeding.seed([Seed("Where is the office?", "There.", "r")])
        for text in (RESET, HOURS, "What is the price of the larger box?"):
            await asks(worker, text)
        assert await sweep(database, 2, 1 << 30) == 2
        assert await asks(worker, "What is the price of the larger box?") == "semantic"
        assert await asks(worker, "Where is the office?") == "semantic"
        assert await sweep(database, 100, 1) == 2
        worker.policy = CachePolicy(semantic=SemanticPolicy(ttl_s=0.001, shadow=0))
        await asks(worker, RESET)
        assert await sweep(database, 100, 1 << 30) == 1

    async def test_thumbs_down_on_a_hit_are_heard_once(self, worker: Worker, database: Database) -> None:
        await asks(worker, RESET)
        await worker.ask(hit := question(RESET_TOO), Upstream())
        entry = (hit.notes or {})["cache"]["entry"]
        await ensure_partitions(database)
        async with database.connection() as connection:
            await connection.execute(CALL, {"id": hit.id, "notes": NOTES % entry})
            await connection.execute(SCORE, {"call": hit.id})
        for heard in (1, 0):
            assert await hear(database, lambda route: POLICY) == heard
        (route,) = (await overview(database, [], lambda name: POLICY)).routes
        assert route.reported == 0 and route.threshold == pytest.approx(0.94), "moved, and counted from anew"
        await worker.clearings.load()
        assert await asks(worker, "How would I reset my password?") == "miss"


NOTES = '{"cache": {"kind": "semantic", "confidence": 0.95, "entry": %d}}'
CALL = """
insert into call (started_at, id, trace_id, request_id, duration_us, door, kind, stream, asked, route, key_id, key_name,
    estimated, cache, retries, dropped, outcome, outcome_class, status, malformed_frames, capture, notes)
values (now(), %(id)s, 't', 'r', 1, 'openai.chat', 'chat', false, 'r', 'r', 'k', 'k', false, 'semantic', 0, '{}', 'ok',
    'ok', 200, 0, 'full', %(notes)s)
"""
SCORE = """
insert into score (owner, id, name, at, kind, number, source, who, call_id, joined_at)
values ('', 's', 'thumbs', now(), 'boolean', 0, 'user', '', %(call)s, now())
"""
