"""Answers that are given no more, by tag: a prompt that moved, a document that changed, a key that was revoked.

Every answer bears tags. What is cleared is a row per tag with a time; whoever finds an answer that was stored before it
leaves it. So a clearing holds for every layer of both caches, in every worker, from the moment the notice comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from comporta.pipeline import Call
from comporta.store.changes import notify
from comporta.store.database import Database
from comporta.store.rows import Rows
from comporta.telemetry.record import PROMPTED, Prompted

TOPIC = "cache_cleared"
#: Every answer bears it.
EVERYTHING = "*"
#: One entry of the semantic cache, by its number.
ENTRY = "entry:"
#: In the call's facts: tags that other stages give its answer, as `document:<id>`.
TAGS_FACT = "cache_tags"
#: The client's own tags, with commas between them.
TAGS_HEADER = "x-comporta-cache-tags"
_MOST_TAGS, _LONGEST_TAG = 16, 100

SELECT = "select tag, extract(epoch from at)::float8 from cache_cleared"
CLEAR = """
insert into cache_cleared (tag, at) select unnest(%(tags)s::text[]), clock_timestamp()
on conflict (tag) do update set at = excluded.at
"""
DELETE = "delete from semantic_entry where %(every)s or tags && %(tags)s::text[]"
#: Of the last minutes: keys that were revoked, and versions that a label has left and none points to any more.
MOVED = """
insert into cache_cleared (tag, at)
select tag, max(at) from (
    select 'key:' || id as tag, revoked_at as at from virtual_key
    where updated_at > now() - interval '10 minutes' and revoked_at is not null
    union all
    select 'prompt:' || prompt_id || '@' || before, at from prompt_deploy as moved
    where at > now() - interval '10 minutes' and before is not null and not exists (
        select from prompt_label as label where label.prompt_id = moved.prompt_id and label.version = moved.before
    )
) as found
group by tag
on conflict (tag) do update set at = excluded.at where cache_cleared.at < excluded.at
returning tag
"""
#: Nothing is kept for so long.
FORGET = "delete from cache_cleared where at < now() - make_interval(secs => %(seconds)s)"


def tags_of(call: Call) -> tuple[str, ...]:
    """The tags of a call's answer: its route, key and prompt, what stages said, and the client's own."""
    tags = [f"key:{call.caller.key_id}"]
    if call.target is not None:
        tags.append(f"route:{call.target.route}")
    told: Prompted | None = call.facts.get(PROMPTED)
    if told is not None:
        tags += [f"prompt:{told.id}", f"prompt:{told.id}@{told.version}"]
    tags += call.facts.get(TAGS_FACT, ())
    own = call.headers.get(TAGS_HEADER)
    if own:
        tags += read_tags(own)
    return tuple(dict.fromkeys(tags))


def read_tags(written: str) -> list[str]:
    """Tags with commas between them; too long ones are cut, and those beyond the sixteenth passed over."""
    found = (tag.strip().replace("\0", "")[:_LONGEST_TAG] for tag in written.split(","))
    return [tag.encode("utf-8", "replace").decode() for tag in found if tag][:_MOST_TAGS]


class Clearings:
    """What was cleared, and when; read from memory, changed in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.topic = TOPIC
        self._rows: Rows[tuple[str, float]] = Rows(
            database, topic=TOPIC, select=SELECT, read=lambda row: (row[0], row[1]), key=lambda row: row[0]
        )
        self.at_s: Mapping[str, float] = {}

    async def load(self) -> None:
        """Read them anew."""
        await self._rows.load()
        self.at_s = dict(self._rows.held.values())

    def since(self, tags: Iterable[str], stored_s: float) -> bool:
        """Whether something with these tags was cleared after that point in time."""
        cleared = self.at_s
        if not cleared:
            return False
        return cleared.get(EVERYTHING, 0.0) >= stored_s or any(cleared.get(tag, 0.0) >= stored_s for tag in tags)

    async def clear(self, tags: Sequence[str]) -> int:
        """Give no more what bears one of these tags, anywhere; how many answers went from the semantic cache."""
        async with self._database.connection() as connection:
            values = {"tags": list(tags), "every": EVERYTHING in tags}
            await connection.execute(CLEAR, values)
            gone = (await connection.execute(DELETE, values)).rowcount
            await notify(connection, TOPIC)
        await self.load()
        return gone

    async def clear_moved(self) -> None:
        """Clear what revoked keys paid for, and what versions said that no label points to; called when they change."""
        async with self._database.connection() as connection:
            found = [tag for (tag,) in await (await connection.execute(MOVED)).fetchall()]
            if found:
                await connection.execute(DELETE, {"tags": found, "every": False})
                await notify(connection, TOPIC)
        if found:
            await self.load()
