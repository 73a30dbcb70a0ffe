"""Every figure by its name: what it means, its unit, which way is worse, and how it follows from the sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest
from comporta.telemetry.histogram import value_of
from comporta.telemetry.observability.sums import Sums, share

Unit = Literal["s", "$", "share", "count", "per_s", "number"]
Group = Literal["traffic", "performance", "cost", "quality", "reliability", "safety"]
GROUPS: tuple[Group, ...] = ("traffic", "performance", "cost", "quality", "reliability", "safety")
#: What a figure is read from: sums of calls are always read.
Need = Literal["latency", "first_token", "scores", "day", "now"]
#: What went wrong, and out of how many: what an error budget counts.
Events = Callable[[Sums, float], tuple[float, float]]
#: Before the name of a score: its mean.
SCORE = "score."

PII = ("pii_detection",)
TOXICITY = ("toxicity_check",)
JAILBREAK = ("jailbreak_detection", "prompt_injection")
UNGROUNDED = ("groundedness", "faithfulness")
RELEVANCE = ("relevance", "relevance_score", "answer_relevance")
SATISFACTION = ("satisfaction", "user_satisfaction")


class Metric(Struct, frozen=True):
    """A figure. `worse` is the way that is bad news: `up`, `down`, or None where neither is.

    `n` says on how many calls (or scores) it rests, `events` what of them was bad given a target (`allowed` of them may
    be), None where there is no such count.
    """

    name: str
    group: Group
    unit: Unit
    about: str
    of: Callable[[Sums], float | None]
    worse: Literal["up", "down"] | None = None
    needs: tuple[Need, ...] = ()
    n: Callable[[Sums], int] = lambda sums: sums.calls
    events: Events | None = None
    #: The share that may be bad while the target is met; None where the target itself says it.
    allowed: float | None = None
    #: Whether it grows with the length of the window: charts then show it by step, and windows compare by the hour.
    adds_up: bool = False
    aliases: tuple[str, ...] = ()


def _percentile(q: float, *, first: bool = False) -> Callable[[Sums], float | None]:
    return lambda sums: sums.quantile_s(q, first=first)


def _slower(first: bool) -> Events:
    """Calls that took longer than the target."""

    def events(sums: Sums, target_s: float) -> tuple[float, float]:
        histogram = sums.first_token if first else sums.latency
        slow = sum(calls for bucket, calls in histogram.items() if value_of(bucket) > target_s * 1e6)
        return slow, sum(histogram.values())

    return events


def _satisfaction(sums: Sums) -> float | None:
    thumbs, rating, said = sums.scored("thumbs"), sums.scored("rating"), sums.scored(*SATISFACTION)
    n = thumbs.n + rating.n + said.n
    return share(thumbs.total + (rating.total - rating.n) / 4 + said.total, n)


def _satisfied(sums: Sums) -> int:
    return sums.scored("thumbs", "rating", *SATISFACTION).n


def _hallucinated(sums: Sums) -> tuple[float, float]:
    said, grounded = sums.scored("hallucination"), sums.scored(*UNGROUNDED)
    return said.total + grounded.low, said.n + grounded.n


def _mean(*names: str) -> Callable[[Sums], float | None]:
    def mean(sums: Sums) -> float | None:
        tally = sums.scored(*names)
        return share(tally.total, tally.n)

    return mean


def _priced(sums: Sums) -> int:
    return sums.calls - sums.sum("unpriced_calls")


def _latencies() -> list[Metric]:
    found = []
    for percent in (50, 95, 99):
        q = percent / 100
        found.append(
            Metric(
                f"latency_p{percent}", "performance", "s", f"{percent} % of the calls took no longer", _percentile(q),
                "up", ("latency",), lambda sums: sum(sums.latency.values()), _slower(False), 1 - q,
                aliases=(f"p{percent}",),
            )
        )  # fmt: skip
        found.append(
            Metric(
                f"first_token_p{percent}", "performance", "s",
                f"{percent} % of the calls that answered had their first content by then", _percentile(q, first=True),
                "up", ("first_token",), lambda sums: sum(sums.first_token.values()), _slower(True), 1 - q,
                aliases=(f"time_to_first_token_p{percent}",) + (("time_to_first_token",) if percent == 50 else ()),
            )
        )  # fmt: skip
    return found


def _verdicts(name: str, about: str, *kinds: str, outcome: str | None = None) -> Metric:
    return Metric(
        name, "safety", "count", about, lambda sums: float(sums.verdicts(*kinds, outcome=outcome)), "up", ("scores",),
        adds_up=True,
    )  # fmt: skip


_ALL: tuple[Metric, ...] = (
    Metric("calls", "traffic", "count", "calls", lambda s: float(s.calls), adds_up=True,
           aliases=("requests", "total_requests")),
    Metric("tokens", "traffic", "count", "tokens that providers were asked for", lambda s: float(s.tokens),
           adds_up=True, aliases=("total_tokens",)),
    *_latencies(),
    Metric("latency_avg", "performance", "s", "mean of all durations",
           lambda s: share(s.sum("duration_us") / 1e6, s.calls), "up",
           aliases=("average_response_time", "avg_response_time")),
    Metric("throughput", "performance", "per_s", "calls a second", lambda s: share(s.calls, s.seconds)),
    Metric("token_rate", "performance", "per_s",
           "output tokens (reasoning included) a second, while a provider was writing",
           lambda s: share(s.sum("output_tokens") + s.sum("reasoning_tokens"), s.sum("generating_us") / 1e6), "down"),
    Metric("cost", "cost", "$", "what the calls with a known price came to", lambda s: s.sum("cost_microusd") / 1e6,
           "up", adds_up=True, aliases=("total_cost",)),
    Metric("cost_per_hour", "cost", "$", "the same, by the hour",
           lambda s: share(s.sum("cost_microusd") / 1e6, s.seconds / 3600), "up"),
    Metric("cost_per_request", "cost", "$", "known cost by call; calls whose price nobody knows are left out",
           lambda s: share(s.sum("cost_microusd") / 1e6, _priced(s)), "up", n=_priced),
    Metric("cost_per_1k_tokens", "cost", "$", "known cost by a thousand tokens that have a price",
           lambda s: share(s.sum("cost_microusd") / 1e6, (s.tokens - s.sum("unpriced_tokens")) / 1000), "up"),
    Metric("daily_spend", "cost", "$", "known cost since midnight (UTC) of the day in which the window ends",
           lambda s: None if s.day_microusd is None else s.day_microusd / 1e6, "up", ("day",)),
    Metric("budget_utilization", "cost", "share", "how much of the fullest budget is used up, now",
           lambda s: s.now.get("budget_utilization"), "up", ("now",)),
    Metric("cache_hit_rate", "cost", "share", "hits among the calls that looked into a cache",
           lambda s: share(s.sum("cache_hits"), s.sum("cache_lookups")), "down", n=lambda s: s.sum("cache_lookups")),
    Metric("cache_saving", "cost", "$", "what answers given again would have cost",
           lambda s: s.sum("cache_saved_microusd") / 1e6, "down", adds_up=True),
    Metric("token_saving", "cost", "$", "what shorter prompts saved", lambda s: s.sum("tokens_saved_microusd") / 1e6,
           "down", adds_up=True),
    Metric("user_satisfaction", "quality", "share",
           "mean of what users said, from 0 to 1: thumbs, ratings (1 to 5 stretched), `satisfaction`", _satisfaction,
           "down", ("scores",), _satisfied),
    Metric("thumbs_up_ratio", "quality", "share", "thumbs up among all thumbs", _mean("thumbs"), "down", ("scores",),
           lambda s: s.scored("thumbs").n,
           lambda s, _: (s.scored("thumbs").n - s.scored("thumbs").total, s.scored("thumbs").n)),
    Metric("correction_rate", "quality", "share", "corrections by users for each call that was answered",
           lambda s: share(s.scored("correction").n, s.ok), "up", ("scores",), lambda s: s.ok,
           lambda s, _: (s.scored("correction").n, s.ok)),
    Metric("hallucination_rate", "quality", "share",
           "judged answers that were found not to be grounded: `hallucination` is true, or `groundedness` or "
           "`faithfulness` is below a half", lambda s: share(*_hallucinated(s)), "up", ("scores",),
           lambda s: int(_hallucinated(s)[1]), lambda s, _: _hallucinated(s)),
    Metric("relevance_score", "quality", "number", "mean of `relevance`, `relevance_score` and `answer_relevance`",
           _mean(*RELEVANCE), "down", ("scores",), lambda s: s.scored(*RELEVANCE).n),
    Metric("availability", "reliability", "share",
           "calls that neither the gate nor its providers failed; what callers brought about (refusals, requests that "
           "are wrong, leaving) is left out", lambda s: share(s.due - s.failed, s.due), "down", n=lambda s: s.due,
           events=lambda s, _: (s.failed, s.due)),
    Metric("success_rate", "reliability", "share", "calls that ended well", lambda s: share(s.ok, s.calls), "down",
           events=lambda s, _: (s.calls - s.ok, s.calls)),
    Metric("error_rate", "reliability", "share", "calls that ended otherwise, whoever was to blame",
           lambda s: share(s.calls - s.ok, s.calls), "up", events=lambda s, _: (s.calls - s.ok, s.calls)),
    Metric("timeout_rate", "reliability", "share", "calls that ran into a time limit",
           lambda s: share(s.outcome("timeout"), s.calls), "up", events=lambda s, _: (s.outcome("timeout"), s.calls)),
    Metric("retry_success_rate", "reliability", "share", "calls that ended well among those that were tried again",
           lambda s: share(s.sum("retried_calls", "ok"), s.sum("retried_calls")), "down",
           n=lambda s: s.sum("retried_calls"),
           events=lambda s, _: (s.sum("retried_calls") - s.sum("retried_calls", "ok"), s.sum("retried_calls"))),
    Metric("open_breakers", "reliability", "count", "providers, models and keys left alone after failures, now",
           lambda s: s.now.get("open_breakers"), "up", ("now",)),
    _verdicts("guardrail_blocks", "findings of guards that blocked", outcome="block"),
    _verdicts("pii_detected", "findings of personal data, whatever became of them", *PII),
    _verdicts("toxicity_flagged", "findings of toxic words, whatever became of them", *TOXICITY),
    _verdicts("jailbreak_attempts", "findings of jailbreaks and injected instructions, whatever became of them",
              *JAILBREAK),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {one.name: one for one in _ALL}
_ALIASES: Mapping[str, str] = {alias: one.name for one in _ALL for alias in one.aliases}
#: Those that configurations of `llm_observability` are written with.
BY_GROUP: Mapping[Group, tuple[str, ...]] = {
    group: tuple(one.name for one in _ALL if one.group == group) for group in GROUPS
}


def known(name: str) -> Metric | None:
    """The figure of a name, an alias, or `score.NAME` (the mean of that score); None for any other."""
    if name.startswith(SCORE) and len(name) > len(SCORE):
        score = name[len(SCORE) :]
        return Metric(name, "quality", "number", f"mean of `{score}`", _mean(score), None, ("scores",),
                      lambda s: s.scored(score).n)  # fmt: skip
    return METRICS.get(_ALIASES.get(name, name))


def metric(name: str) -> Metric:
    """The figure of a name. Raises BadRequest."""
    found = known(name)
    if found is None:
        raise BadRequest(unknown(name), param="metric")
    return found


def unknown(name: str) -> str:
    """What to say of a name that is none: only names that exist are repeated."""
    hint = did_you_mean(name, (*METRICS, *_ALIASES))
    return f"there is no metric of that name{hint or '; there are ' + ', '.join(METRICS) + ' and score.NAME'}"


def named_scores(names: tuple[str, ...]) -> tuple[str, ...]:
    """The scores that figures of these names are read from, beside the verdicts of guards."""
    usual = ("thumbs", "rating", *SATISFACTION, "correction", "hallucination", *UNGROUNDED, *RELEVANCE)
    return (*usual, *(name[len(SCORE) :] for name in names if name.startswith(SCORE)))
