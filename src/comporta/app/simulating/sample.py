"""The built-in sample: four made-up workloads as recorded calls, for those who have no traffic yet."""

from __future__ import annotations

import heapq
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from msgspec import structs

from comporta.app.simulating.policy import Policy, read_policy
from comporta.app.simulating.recorded import Recorded
from comporta.app.simulating.report import Report
from comporta.app.simulating.running import Progress, simulate
from comporta.app.simulating.standing import tools_without_traffic
from comporta.app.simulating.steering import PriceOf
from comporta.providers.catalogue import cost_microusd
from comporta.providers.estimate import tokens_of
from comporta.testing.workloads import WORKLOADS, Asked, asked
from comporta.text.tokens import Counter
from comporta.types import Caller, Choice, Target, Usage

SEED = 7
CALLS = 500
_PAGE = 500
#: A Monday, so that the same sample bears the same dates.
_BEGINS_S = 1_767_571_200.0
_SPAN = ("a made-up Monday", "the Wednesday after it")
#: Tokens of an English word, give or take: what answers are long by.
_TOKENS_A_WORD = 1.35
_NIGHT_SHARE = 0.5


def sample_policy(file: Path | None, environment: Mapping[str, str]) -> Policy:
    """The sample's own policy, else a file over the sample's routes. Raises ConfigError."""
    base = _text("sample.yaml")
    if file is not None:
        return read_policy(file, None, environment, base=base)
    return structs.replace(
        read_policy(Path("sample_policy.yaml"), None, environment, _text("sample_policy.yaml"), base),
        name="the sample's own policy",
    )


async def simulate_sample(
    policy: Policy, cache: Path, *, calls: int = CALLS, seed: int = SEED, progress: Progress | None = None
) -> Report:
    """What a policy saves on the sample; `calls` of each workload, the same for the same `seed`. Raises ConfigError."""
    tools = structs.replace(await tools_without_traffic(policy, cache), sample=True)
    try:
        return await simulate(_pages(calls, seed, policy, tools.price_of), policy, tools, _SPAN, progress)
    finally:
        tools.close()


async def _pages(calls: int, seed: int, policy: Policy, price_of: PriceOf) -> AsyncIterator[list[Recorded]]:
    page: list[Recorded] = []
    for recorded in recorded_sample(calls, seed, policy, price_of):
        page.append(recorded)
        if len(page) == _PAGE:
            yield page
            page = []
    yield page


def recorded_sample(calls: int, seed: int, policy: Policy, price_of: PriceOf) -> Iterator[Recorded]:
    """All workloads at once, in the order of time, as the sample's gate would have recorded them."""
    routes = policy.settings.routes
    counter, rng = Counter(), random.Random(seed)
    models = {name: _base_model(name) for name in WORKLOADS if name in routes}
    streams = [
        [(one.at_s, number, name, one) for number, one in enumerate(asked(name, calls, seed))] for name in models
    ]
    for number, (_, _, name, one) in enumerate(heapq.merge(*streams)):
        night = name == "documents" and rng.random() < _NIGHT_SHARE
        yield _recorded(number, name, models[name], one, night, counter, price_of)


def _base_model(name: str) -> tuple[str, str]:
    """What the sample's own routes lead to, whatever a policy says."""
    return ("anthropic", "claude-sonnet-4-6") if name in ("code", "documents") else ("openai", "gpt-4.1")


def _recorded(
    number: int, name: str, model: tuple[str, str], one: Asked, night: bool, counter: Counter, price_of: PriceOf
) -> Recorded:
    target = Target(name, f"{model[0]}/{model[1]}", *model)
    usage = Usage(
        input=tokens_of(one.asked, lambda text: counter.count(text, model[1]).tokens),
        output=round(one.words * _TOKENS_A_WORD),
    )
    price = price_of(target, name, usage)
    cost = None if price is None else cost_microusd(usage, price)
    return Recorded(
        id=str(uuid.UUID(int=number)), at_s=_BEGINS_S + one.at_s, took_s=one.took_s, first_s=0.4,
        caller=Caller(f"sample-{name}", team=name), kind="chat", door="openai.chat", stream=False, model=name,
        target=target, asked=one.asked, choices=(Choice(0, text="…", finish="stop"),), usage=usage,
        full_microusd=cost, paid_microusd=cost, user=one.user, session=one.session,
        tags={"when": "night"} if night else {}, meaning=one.meaning,
    )  # fmt: skip


def _text(name: str) -> str:
    return files("comporta.app.simulating").joinpath(name).read_text()
