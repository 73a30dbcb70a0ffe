"""Cache entries in Redis or Valkey, under a prefix of their own; Redis itself lets them expire."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from comporta.cache.entry import Row, mark_of

PREFIX = b"comporta:cache:"
_CONNECT_LIMIT_S = 1.0
_ANSWER_LIMIT_S = 5.0
_LOOKED_AT = 1000


class RedisStore:
    """GET and SET with an expiry alone, so that any version and any number of shards will do."""

    def __init__(self, url: str) -> None:
        # One more try at once: a connection that died while it rested is no outage.
        self._redis = Redis.from_url(
            url, socket_connect_timeout=_CONNECT_LIMIT_S, socket_timeout=_ANSWER_LIMIT_S,
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
        )  # fmt: skip

    def may_hold(self, key: bytes) -> bool:
        return True

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        if len(keys) == 1:
            found: list[Any] = [await self._redis.get(PREFIX + keys[0])]
        else:
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.get(PREFIX + key)
            found = await pipe.execute()
        return {key: body for key, body in zip(keys, found, strict=True) if body is not None}

    async def put(self, rows: Sequence[Row]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for row in rows:
            pipe.set(PREFIX + row.key, row.body, ex=max(1, math.ceil(row.ttl_s)))
        await pipe.execute()

    async def held(self, owner: bytes, after: str | None, limit: int) -> tuple[list[bytes], str | None]:
        keys, following = await self._look(owner, after)
        bodies: list[Any] = await self._redis.mget(keys) if keys else []
        return [bytes(body) for body in bodies if body is not None], following

    async def erase(self, owner: bytes, after: str | None) -> tuple[int, str | None]:
        keys, following = await self._look(owner, after)
        return (int(await self._redis.unlink(*keys)) if keys else 0), following

    async def _look(self, owner: bytes, after: str | None) -> tuple[list[Any], str | None]:
        """A user's keys among the next ones. Redis has no index of users: the ends of all are looked at."""
        mark = mark_of(owner)
        cursor, keys = await self._redis.scan(int(after or 0), match=PREFIX + b"*", count=_LOOKED_AT)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.getrange(key, -len(mark), -1)
        ends = await pipe.execute() if keys else []
        theirs = [key for key, end in zip(keys, ends, strict=True) if end == mark]
        return theirs, str(cursor) if cursor else None

    async def refresh(self) -> None:
        """Keep a connection warm: opening one in the middle of a call could take longer than a call would wait."""
        await self._redis.get(PREFIX)

    async def close(self) -> None:
        await self._redis.aclose()
