"""Check of the clock, against whatever else knows the time: the database, or a provider's Date header."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import aiohttp
import psycopg

from comporta.cli.checks.site import Finding, Site, failed, ok, skipped, warning
from comporta.store.database import connect

_NOTICED_S = 5.0
_HARMFUL_S = 60.0
_MEND = "sudo timedatectl set-ntp true"


async def clock(site: Site) -> list[Finding]:
    for source, ask in (("the database", _database_s), ("a provider", _provider_s)):
        begun_s = time.time()
        told_s = await ask(site)
        if told_s is not None:
            # Half of the way there and back is as good a guess as any.
            return judged(source, (begun_s + time.time()) / 2 - told_s)
    return skipped("clock", "nothing else that knows the time can be asked from here")


def judged(source: str, ahead_s: float) -> list[Finding]:
    word = "ahead of" if ahead_s > 0 else "behind"
    text = f"{abs(ahead_s):.1f} s {word} {source}"
    if abs(ahead_s) >= _HARMFUL_S:
        return failed("clock", f"{text}: keys end and budgets begin at the wrong time", _MEND)
    if abs(ahead_s) >= _NOTICED_S:
        return warning("clock", text, _MEND)
    return ok("clock", text)


async def _database_s(site: Site) -> float | None:
    """Of a server elsewhere; the embedded one has our own clock."""
    if site.database_url is None:
        return None
    try:
        async with await connect(site.database_url) as connection:
            row = await (await connection.execute("select extract(epoch from clock_timestamp())::float8")).fetchone()
            return None if row is None else float(row[0])
    except psycopg.Error:
        return None


async def _provider_s(site: Site) -> float | None:
    for provider in (site.known.providers if site.known else {}).values():
        if provider.row.local or not provider.bare.base_url:
            continue
        try:
            async with site.http.head(provider.bare.base_url, allow_redirects=False) as response:
                # The header is cut to the second: the true time is on average half of one later.
                return parsedate_to_datetime(response.headers["date"]).timestamp() + 0.5
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
            continue
    return None
