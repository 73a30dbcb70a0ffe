"""What side A was before a rollout, by its records: marks for latency and cost, and what B at 100 % is measured by."""

from __future__ import annotations

from collections.abc import Sequence

from comporta.routing.rollout.collecting import EndedCall, has_failed, says_something
from comporta.routing.rollout.figures import Figures, Tally
from comporta.routing.rollout.plan import GuardMetric
from comporta.store.database import Connection

#: How far back, and how many calls at most: the newest.
BACK_S = 3600.0
_MOST = 5000

_OF = """
select 0, 'a', '0', extract(epoch from started_at)::float8 + duration_us / 1e6, duration_us, cost_microusd, cache,
    outcome, outcome_class, tags ->> 'rollout_failed'
from call
where started_at > now() - make_interval(secs => %(back_s)s) and {where}
    and coalesce(tags ->> 'rollout_side', 'a') = 'a' and kind <> 'count'
order by started_at desc limit %(most)s
"""
OF_ROUTE = _OF.format(where="route = %(route)s and variant = %(variant)s")
OF_LABEL = _OF.format(where="prompt_id = %(prompt)s and prompt_version = %(variant)s and prompt_label = %(label)s")


async def before(
    connection: Connection, guards: Sequence[GuardMetric], *, variant: str, route: str | None = None,
    prompt: str | None = None, label: str | None = None,
) -> Figures | None:  # fmt: skip
    """Side A's figures of the last hour; None where it had no calls."""
    values = {"route": route, "variant": variant, "prompt": prompt, "label": label, "back_s": BACK_S, "most": _MOST}
    cursor = await connection.execute(OF_LABEL if route is None else OF_ROUTE, values)
    tally = Tally(guards)
    for call in (EndedCall(*row) for row in await cursor.fetchall()):
        if says_something(call):
            failed = has_failed(call)
            latency_ms = None if failed else call.duration_us / 1000
            tally.call(failed=failed, latency_ms=latency_ms, cost_microusd=call.cost_microusd)
    figures = tally.take()
    return figures if figures.calls else None
