"""Takes notices: each is kept once under its event's id, with a delivery for each of its channels."""

from __future__ import annotations

import base64
import builtins
import datetime
import time
import uuid
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from comporta.errors import BadRequest, NotFound
from comporta.notify import tables
from comporta.notify.channels import Channel, Undelivered, place_of
from comporta.notify.notice import SEVERITIES, Notice, checked
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.notify.tables import DeliveryRow, NoticeRow
from comporta.store.changes import notify
from comporta.store.database import Connection, Database

#: What the deliverers hear when there is something to deliver.
TOPIC = "notices"
TEST = "notify.test"
MAX_LIMIT = 200
#: A test is made by whoever was asked for it: nobody else may take it up meanwhile.
_TEST_LEASE_S = 120.0
_END_OF_TIME = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)


class ChannelView(Struct, frozen=True):
    """A channel as it may be shown: where it leads, without path and secret."""

    name: str
    type: str
    place: str
    at_least: str
    #: Whether notices that name no channel go there.
    default: bool
    signed: bool


class NoticePage(Struct, frozen=True):
    """Notices, the newest first; `next` is what to ask for as `after` to see older ones, None at the end."""

    notices: list[NoticeRow]
    next: str | None


class Notifier:
    """Sends notices. `settings` gives today's section, so that a reload counts at once.

    What is sent is in PostgreSQL when `send` returns; a `Deliverer`, in the process of the jobs, brings it to people.
    """

    def __init__(
        self,
        database: Database,
        settings: Callable[[], NotifySection],
        channel_of: Callable[[ChannelSection], Channel],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._settings = settings
        self._channel_of = channel_of
        self._clock = clock

    async def send(
        self, notice: Notice, channels: Sequence[str] | None = None, *, connection: Connection | None = None
    ) -> bool:
        """Have people told; False where the event of that id was told before, by whomever.

        `channels` are names, None for the usual ones; a name that nobody configured is shown as a failed delivery. With
        `connection` it is part of its transaction: what was decided and that it is told then stand or fall together.
        Raises BadRequest for a notice that is none, Unavailable.
        """
        notice = checked(notice, self._clock())
        wanted = self._wanted(notice, channels)
        if connection is not None:
            return await self._put(connection, notice, wanted)
        async with self._database.connection() as own:
            return await self._put(own, notice, wanted)

    async def test(self, channel: str) -> DeliveryRow:
        """Deliver a test now, once, and tell how it went. Raises NotFound for a channel that there is none of."""
        section = self._settings().channels.get(channel)
        if section is None:
            raise NotFound(_no_channel(channel, self._settings()), code="channel_not_found", param="channel")
        id = f"test-{uuid.uuid4().hex}"
        text = f"Channel «{channel}» works. Nothing has happened."
        notice = checked(
            Notice(id, TEST, "A test of Comporta's notices", text, facts={"channel": channel}), self._clock()
        )
        async with self._database.connection() as connection:
            await tables.put(connection, notice, [channel], _TEST_LEASE_S)
        try:
            state, told = "delivered", await self._channel_of(section).deliver(notice)
        except Undelivered as failure:
            state, told = "failed", failure.reason
        values = {"id": id, "channel": channel, "attempts": 0, "state": state, "told": told}
        async with self._database.connection() as connection:
            await connection.execute(tables.END, values)
        return DeliveryRow(channel, state, 1, told)

    async def list(
        self, *, kind: str | None = None, state: str | None = None, after: str | None = None, limit: int = 50
    ) -> NoticePage:
        """Notices with their deliveries, the newest first. Raises BadRequest."""
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"A page holds 1 to {MAX_LIMIT} notices.", param="limit")
        before, before_id = (_END_OF_TIME, "") if after is None else _after(after)
        values = {
            "kind": kind, "state": state, "id": None, "before": before, "before_id": before_id, "limit": limit + 1,
        }  # fmt: skip
        async with self._database.reading() as connection:
            rows = await tables.list_rows(connection, values)
        more = len(rows) > limit
        return NoticePage(rows[:limit], _cursor(rows[limit - 1]) if more else None)

    async def one(self, id: str) -> NoticeRow:
        """One notice. Raises NotFound."""
        values = {"kind": None, "state": None, "id": id, "before": _END_OF_TIME, "before_id": "", "limit": 1}
        async with self._database.reading() as connection:
            rows = await tables.list_rows(connection, values)
        if not rows:
            raise NotFound(f"There is no notice {id!r}: it was never sent, or is older than notify.keep.", param="id")
        return rows[0]

    async def retry(self, id: str, channel: str | None = None) -> NoticeRow:
        """Begin failed deliveries of a notice anew. Raises NotFound."""
        async with self._database.connection() as connection:
            await connection.execute(tables.RETRY, {"id": id, "channel": channel})
            await notify(connection, TOPIC)
        return await self.one(id)

    def channels(self) -> Sequence[ChannelView]:
        """What is configured, as it may be shown."""
        settings = self._settings()
        usual = settings.chosen(None)
        return [
            ChannelView(name, one.type, place_of(one), one.at_least, name in usual, one.secret is not None)
            for name, one in settings.channels.items()
        ]

    def _wanted(self, notice: Notice, channels: Sequence[str] | None) -> builtins.list[str]:
        """The channels of a notice, without those that its severity is not enough for."""
        settings = self._settings()
        found = []
        for name in settings.chosen(None if channels is None else [*channels]):
            section = settings.channels.get(name)
            if section is None or SEVERITIES.index(notice.severity) >= SEVERITIES.index(section.at_least):
                found.append(name)
        return found

    async def _put(self, connection: Connection, notice: Notice, channels: Sequence[str]) -> bool:
        new = await tables.put(connection, notice, channels)
        if new and channels:
            await notify(connection, TOPIC)
        return new


def _no_channel(name: str, settings: NotifySection) -> str:
    there = ", ".join(settings.channels) or "none"
    return f"No channel '{name[:100]}' is configured in notify.channels; there is {there}."


def _cursor(row: NoticeRow) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((row.taken_at, row.id))).decode()


def _after(text: str) -> tuple[datetime.datetime, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime.datetime, str])
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
