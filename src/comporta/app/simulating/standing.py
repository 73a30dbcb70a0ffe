"""What a replay asks, put together: the names and prices of a policy, what was learnt of answers, and the embedder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from comporta.app.chains import read_chains
from comporta.app.ensembles import NO_ENSEMBLES, Ensembled
from comporta.app.known import Found, Known, build
from comporta.app.pricing import Pricing
from comporta.app.recall_works import any_semantic, semantic_policy
from comporta.app.simulating.policy import Policy
from comporta.app.simulating.recall import Embedding, ThresholdOf
from comporta.app.simulating.report import BENCH_HITS, BENCH_WRONG, Wrong
from comporta.app.simulating.running import Tools
from comporta.app.simulating.sparing import Remembering
from comporta.app.simulating.steering import QualityOf
from comporta.app.sparing import folders
from comporta.cache.semantic.asked import Embedded
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.thresholds import Thresholds
from comporta.embedding.minilm import MiniLM
from comporta.providers.catalogue import Catalogue
from comporta.providers.rows import detect
from comporta.providers.wires import Speakers
from comporta.routing.registered import RegisteredModel, RegisteredModels
from comporta.routing.task.quality import Qualities
from comporta.store.database import Database
from comporta.text.token_tables import Tables

#: A replay waits for a vector as long as it takes.
_VECTOR_S = 60.0
CHECKED = """
select count(*), count(*) filter (where wrong) from semantic_check
where source = 'shadow' and at > now() - interval '90 days'
"""
#: With fewer checks the bench tells more.
_FEWEST_CHECKS = 100


def known_of(
    policy: Policy, cache: Path, registered: Mapping[str, RegisteredModel], ensembled: Ensembled = NO_ENSEMBLES
) -> tuple[Known, Speakers]:
    """Providers and routes of a policy. Raises ConfigError, each unknown model with its file and line."""
    loaded, speakers = policy.loaded, Speakers(cache)
    found = Found(rows=tuple(row.name for row in detect(loaded.environment)))
    chains = read_chains(loaded)
    return build(loaded, found, Catalogue.shipped(), speakers, lambda: registered, chains, ensembled), speakers


async def tools_of(policy: Policy, database: Database, cache: Path) -> Tools:
    """For recorded traffic. Raises ConfigError, Unavailable."""
    registered = RegisteredModels(database)
    await registered.load()
    known, speakers = known_of(policy, cache, registered.models)
    qualities = Qualities(database, lambda: policy.settings.model_routing.quality, lambda: known.tasks.tables)
    await qualities.load()
    thresholds = Thresholds(database, lambda route: semantic_policy(policy.settings, route))
    await thresholds.load()
    return await _tools(policy, known, speakers.embedder, registered.models, qualities.of, thresholds.of,
                        await _wrong(database))  # fmt: skip


async def tools_without_traffic(policy: Policy, cache: Path) -> Tools:
    """For made-up traffic: nothing was learnt of anything. Raises ConfigError."""
    known, speakers = known_of(policy, cache, {})
    return await _tools(
        policy, known, speakers.embedder, {}, lambda row, member: None, lambda route, least: least, _bench()
    )


async def _tools(
    policy: Policy, known: Known, embedder: MiniLM, registered: Mapping[str, RegisteredModel], quality: QualityOf,
    threshold_of: ThresholdOf, wrong: Wrong,
) -> Tools:  # fmt: skip
    return Tools(
        known=known, price_of=Pricing(lambda: known, lambda: registered).price,
        counter=Remembering(Tables(folders(policy.loaded))),
        embed=embedder.embed, embedding=await _embedding(policy, embedder), quality=quality,
        threshold_of=threshold_of, wrong=wrong, close=embedder.close,
    )  # fmt: skip


async def _embedding(policy: Policy, embedder: MiniLM) -> Embedding | None:
    """None where nothing is compared by meaning, and where the model is not installed."""
    if "cache" not in policy.levers or not any_semantic(policy.settings) or not embedder.installed:
        return None
    vectors = Vectors(embedder, Embedded(embedder.name), limit_s=_VECTOR_S)
    await vectors.warm()
    return Embedding(vectors) if vectors.ready else None


async def _wrong(database: Database) -> Wrong:
    """How many hits were wrong of those that were answered afresh here, else in the bench."""
    async with database.reading() as connection:
        row = await (await connection.execute(CHECKED)).fetchone()
    checked, wrong = (0, 0) if row is None else row
    if checked < _FEWEST_CHECKS:
        return _bench()
    return Wrong.of(wrong, checked, "of the hits that were answered afresh here in 90 days")


def _bench() -> Wrong:
    return Wrong.of(BENCH_WRONG, BENCH_HITS, "in the bench's own questions; yours may be harder")
