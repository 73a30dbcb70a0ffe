"""What a replay says of itself: each lever's figures with what can't be known of it, and what holds for all."""

from __future__ import annotations

from collections.abc import Mapping

from comporta.app.recall_works import any_semantic
from comporta.app.simulating.lanes import Lane, Tally
from comporta.app.simulating.policy import Policy
from comporta.app.simulating.recorded import Recorded
from comporta.app.simulating.report import QUOTED, Lever, Wrong, share
from comporta.app.simulating.sparing import DISCOUNTS
from comporta.app.simulating.steering import Routing


class Read:
    """How much of the traffic there was, and how much of it could be replayed."""

    def __init__(self) -> None:
        self.calls = self.read = self.unpriced = 0
        self.cost_microusd = self.read_microusd = self.paid_microusd = 0
        #: Calls that ended before the cache, and calls whose content is not kept whole.
        self.refused = self.contentless = 0
        self.was_hit = self.guarded = 0

    def take(self, recorded: Recorded) -> None:
        self.calls += 1
        self.paid_microusd += recorded.paid_microusd or 0
        if recorded.target is None or not recorded.reached:
            self.refused += 1
            return
        self.cost_microusd += recorded.full_microusd or 0
        if recorded.asked is None:
            self.contentless += 1
            return
        self.read += 1
        self.unpriced += recorded.full_microusd is None and recorded.whole
        self.was_hit += bool(recorded.hit)
        self.guarded += recorded.guarded
        self.read_microusd += recorded.full_microusd or 0


def levers_of(
    alone: Mapping[str, Lane], together: Lane, policy: Policy, cost_microusd: int, wrong: Wrong | None, routing: Routing
) -> list[Lever]:
    """Every lever by itself, with what it is worth beside the others."""
    found = []
    for name, lane in alone.items():
        tally, beside = lane.tallies[name], together.tallies[name].saved_microusd
        hits = tally.touched if name == "cache" else None
        looked = tally.counts["looked"]
        found.append(
            Lever(
                name, tally.touched, tally.saved_microusd, share(tally.saved_microusd, cost_microusd),
                QUOTED.get(name), hits, share(hits, looked) if hits is not None else None, tally.unpriced, beside,
                _details(name, tally, policy, wrong), _unknown(name, tally, policy, wrong, routing),
            )
        )  # fmt: skip
    return found


def _details(name: str, tally: Tally, policy: Policy, wrong: Wrong | None) -> dict[str, float | int | str]:
    counts = tally.counts
    if name == "cache":
        semantic = counts["semantic"]
        details: dict[str, float | int | str] = {
            "looked_up": counts["looked"], "exact": counts["exact"], "semantic": semantic, "shared": counts["shared"],
            "exact_microusd": tally.by_kind["exact"] + tally.by_kind["shared"],
            "semantic_microusd": tally.by_kind["semantic"], "doubtful": counts["doubtful"],
        }  # fmt: skip
        if wrong is not None and semantic:
            details |= {"wrong_hits": round(semantic * wrong.share, 1), "wrong_hits_most": round(semantic * wrong.high)}
        checks = round(tally.by_kind["semantic"] * policy.settings.cache.semantic.shadow)
        return details | ({"shadow_checks_microusd": checks} if checks else {})
    if name == "tokens":
        return {"tokens": counts["tokens"]}
    if name == "prompt_caching":
        return {"read_tokens": counts["cached"], "written_tokens": counts["written"]}
    return dict(tally.by_target.most_common(10))


def _unknown(
    name: str, tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing
) -> tuple[str, ...]:  # fmt: skip
    told = {
        "cache": _of_cache, "routing": _of_routing, "tokens": _of_tokens, "prompt_caching": _of_prefixes,
        "batching": _of_batching,
    }[name](tally, policy, wrong, routing)  # fmt: skip
    if tally.unpriced:
        told.append(f"{tally.unpriced} of these calls have no known price and are in no saving")
    return tuple(told)


def _of_cache(tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing) -> list[str]:
    semantic, counts = tally.counts["semantic"], tally.counts
    told = []
    if semantic and wrong is not None and counts["wrong"] == wrong.wrong and wrong.checked == semantic:
        told.append(
            f"{wrong.wrong} of the {semantic} semantic hits gave the answer of another question: {wrong.source}"
        )
    elif semantic and wrong is not None:
        told.append(
            f"about {semantic * wrong.share:.1f} of the {semantic} semantic hits may be wrong, at most "
            f"{semantic * wrong.high:.0f} with 95 % confidence ({wrong.wrong} of {wrong.checked} wrong {wrong.source})"
        )
    if counts["doubtful"]:
        told.append(f"{counts['doubtful']} misses would have been put to the judge, who may make hits of them")
    if counts["reason:language"]:
        told.append(
            f"{counts['reason:language']} questions in languages that the embedder does not know were exact only"
        )
    if counts["reason:embedder"]:
        told.append(f"{counts['reason:embedder']} questions got no vector")
    told.append("whether people would have asked less, or again, on an older answer")
    told.append("headers are not recorded: calls that wished no cache are counted as if they had not")
    return told


def _of_routing(tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing) -> list[str]:
    judged = routing.judged
    told = [
        "how good the other model's answers would have been"
        + (f"; its own scores: {', '.join(judged)}" if judged else ": no scores of it are there")
    ]
    told.append("how long its answers would have been (taken: as long as the recorded ones), and how long they take")
    if routing.unfit:
        told.append(f"{routing.unfit} calls that no model of the policy can answer stayed where they went")
    if routing.cascades:
        told.append(f"{routing.cascades} calls of cascades stayed where they went: only an answer decides there")
    return told


def _of_tokens(tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing) -> list[str]:
    return [
        "whether answers to shorter prompts are as good: `optimize.check` compares a sample, live",
        "tokens are counted by the tokenizer's table where it is at hand, else by estimate",
    ]


def _of_prefixes(tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing) -> list[str]:
    return [
        "providers that find prefixes by themselves (OpenAI, Gemini) are left out: their records hold that saving",
        "whether a provider keeps a prefix for its five minutes",
    ]


def _of_batching(tally: Tally, policy: Policy, wrong: Wrong | None, routing: Routing) -> list[str]:
    known = "what the policy says" if policy.settings.batches.discount is not None else (
        f"half the price at {', '.join(sorted(DISCOUNTS))}, nothing elsewhere"
    )  # fmt: skip
    return [
        f"the discount is {known}; it is that of the provider's own batch API, and Comporta's batches ask row by row",
        "whether those who asked could have waited up to a day",
    ]


def notes_of(policy: Policy, read: Read, compares: bool) -> list[str]:
    """What holds for all levers."""
    told = []
    if read.contentless:
        told.append(
            f"{read.contentless} of {read.calls} calls are not recorded in full (`content: full`): no replay of them"
        )
    if read.refused:
        told.append(f"{read.refused} calls ended before any cache or model (refused, or not routed) and are left out")
    if read.was_hit:
        told.append(f"{read.was_hit} calls were answered by a cache then; they count at what their answers had cost")
    if read.unpriced:
        told.append(f"{read.unpriced} calls have no known cost: they are looked up, and save nothing")
    if read.guarded:
        told.append(
            f"guards had something to say of {read.guarded} calls: their answers are kept for no other question"
        )
    semantic = policy.settings.cache.semantic
    if "cache" not in policy.levers or not any_semantic(policy.settings):
        return told
    if not compares:
        told.append("the embedding model is not installed: only the very same questions were looked for")
    elif semantic.embedder != "local":
        told.append(f"'{semantic.embedder}' would cost money to ask: questions were compared by the local embedder")
    return told
