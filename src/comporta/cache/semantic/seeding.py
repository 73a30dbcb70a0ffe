"""Questions and answers that an operator writes: given on a route before any model was asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from comporta.cache.clearing import EVERYTHING
from comporta.cache.entry import Entry, encoded
from comporta.cache.semantic.asked import EVERYBODY, LONGEST_CHARACTERS, language_of, seed_scope
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.recall import key_of_question
from comporta.cache.semantic.store import Row
from comporta.cache.semantic.writing import Writing
from comporta.errors import BadRequest, Unavailable
from comporta.types import Delta, Event, Usage

#: As long as a seed lives that says nothing: until it is cleared.
FOR_EVER_S = 100 * 365 * 86_400.0


class Seed(Struct, frozen=True):
    """A question with its answer, on a route; of all teams unless `team` names one. `ttl_s` None: until cleared."""

    question: str
    answer: str
    route: str
    tags: tuple[str, ...] = ()
    team: str | None = None
    ttl_s: float | None = None


class Seeded(Struct, frozen=True):
    """How many are stored now, and what is wrong with the others, by their places from 0."""

    stored: int
    refused: tuple[tuple[int, str], ...] = ()


class Seeding:
    """Stores seeds. Every worker finds them within a second or two."""

    def __init__(self, vectors: Vectors, writing: Writing, looked_up: Callable[[str], str]) -> None:
        """`looked_up` gives the name that calls on a route are looked up by; it raises BadRequest where none would."""
        self._looked_up = looked_up
        self._vectors = vectors
        self._writing = writing

    async def seed(self, seeds: Sequence[Seed]) -> Seeded:
        """Store those that can be; again does no harm. Raises Unavailable without an embedder or a database."""
        rows, refused = [], []
        for at, seed in enumerate(seeds):
            try:
                rows.append(await self._row(seed))
            except BadRequest as error:
                refused.append((at, error.message))
        if rows:
            await self._writing.put(rows)
        return Seeded(len({row.key for row in rows}), tuple(refused))

    async def _row(self, seed: Seed) -> Row:
        embedded, route = self._vectors.embedded, self._looked_up(seed.route)
        question = seed.question.strip()
        if not question or len(question) > LONGEST_CHARACTERS:
            raise BadRequest(f"a question has 1 to {LONGEST_CHARACTERS} characters")
        if not seed.answer.strip():
            raise BadRequest("the answer is empty")
        language = language_of(question) or language_of(question, await self._vectors.english(question))
        if language != "en" and not embedded.multilingual:
            raise BadRequest(
                f"the question is not English, which is all that the embedder {embedded.name} knows: configure another "
                "one under cache.semantic.embedder, with `multilingual: true`"
            )
        vector = await self._vectors.vector(question)
        if vector is None:
            raise Unavailable(
                f"The embedder {embedded.name} gives no vectors now: see the log and `comporta doctor`.",
                code="embedding_unavailable", retry_after_s=5,
            )  # fmt: skip
        now_s = time.time()
        tenant = EVERYBODY if seed.team is None else f"team/{seed.team}"
        scope = seed_scope(route, tenant, embedded, language or "")
        tags = tuple(dict.fromkeys(("seed", f"route:{route}", *(tag for tag in seed.tags if tag != EVERYTHING))))
        event = Event((Delta(text=seed.answer, finish="stop"),), usage=Usage(), model="seed", whole=True, last=True)
        return Row(
            key=key_of_question(scope, question), scope=scope, tenant=tenant, route=route, key_id=None,
            embedder=embedded.name, question=question, language=language or "", vector=vector, tags=tags, seeded=True,
            owner=None, begun_s=now_s, stored_s=now_s, ttl_s=FOR_EVER_S if seed.ttl_s is None else seed.ttl_s,
            body=encoded(Entry(now_s, (event,), Usage(), None, tags, "seed")),
        )  # fmt: skip
