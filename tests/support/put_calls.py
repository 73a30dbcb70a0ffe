"""Recorded calls for tests of what is found in records, put straight into the table."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from comporta.store.database import Database

PUT = """
insert into call (started_at, id, trace_id, request_id, duration_us, door, kind, stream, asked, route, key_id, key_name,
    session, user_id, estimated, cache, retries, outcome, outcome_class, status, malformed_frames, capture, prompt,
    variables)
values (now() - make_interval(secs => %(ago_s)s), %(id)s, %(trace)s, '', 1000000, 'openai.chat', 'chat', false,
    %(route)s, %(route)s, %(key)s, '', %(session)s, %(user)s, false, 'none', 0, %(outcome)s, %(outcome)s, 200, 0,
    'full', %(prompt)s, %(variables)s)
"""


async def put(database: Database, text: str, ago_s: float, **more: Any) -> str:
    """A recorded call that took a second; the prompt ends with what `role` says."""
    prompt = {"messages": [{"role": more.pop("role", "user"), "parts": [{"type": "text", "text": text}]}]}
    id = str(uuid.uuid4())
    given = {
        "id": id, "trace": f"t-{id}", "ago_s": ago_s, "session": "s-1", "user": None, "key": "k", "route": "support",
        "outcome": "ok", "variables": None, "prompt": msgspec.json.encode(prompt).decode(), **more,
    }  # fmt: skip
    async with database.connection() as connection:
        await connection.execute(PUT, given)
    return id
