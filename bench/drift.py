"""How soon a change of topics is found among the messages of a route, and how often one is told that is none.

Messages are made of parts (who asks, what about, how), some hundred thousand different ones for each topic, in the
mix that each run draws. In a run with a switch, message 1,000 is the first of other topics; what counts is how many
messages later it is told. In a run without one every finding is a false alarm. `--partial` also tells how changes do
that concern only some of the messages, and changes in the mix alone. Besides: how often messages are told from what a
prompt is tested with, where that asks of the same topics, and where it does not. Needs no network; vectors are those of
words and, where the model is installed, all-MiniLM-L6-v2's.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct, to_builtins

from comporta.embedding.minilm import MiniLM
from comporta.feedback.drift.changes import Floats
from comporta.feedback.drift.skew import compare_skew, figures_of
from comporta.feedback.drift.topics import compare_topics
from comporta.feedback.drift.windows import Item, Sizes, Windows
from comporta.feedback.processing.lexical import hashed
from comporta.stats.intervals import clopper_pearson

Embed = Callable[[Sequence[str]], Floats]

WITHIN = 500
BEFORE = 1_000
_START = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)

_OPEN = (
    "hi, ", "hello, ", "hey there, ", "good evening, ", "excuse me, ", "quick question: ", "sorry to bother, ", "", "",
    "please help, ", "ok so ", "again: ", "morning, ", "I wonder, ", "could you tell me, ",
)  # fmt: skip
_CLOSE = (
    "", "", "?", ".", " please", " thanks", " thank you so much", " as soon as you can", " today", " before tonight",
    " it is rather urgent", " no hurry", " and why", " or is that too late", " I am waiting",
)  # fmt: skip
_THINGS = (
    "pizza", "burger", "sushi", "salad", "noodles", "curry", "tacos", "soup", "sandwich", "dessert", "ice cream",
    "drinks", "breakfast", "groceries", "flowers", "medicine",
)  # fmt: skip
_PLACES = (
    "home", "the office", "my hotel", "the park", "my mother's", "the school", "downtown", "the station", "a friend's",
    "the third floor", "the back door", "the new address",
)  # fmt: skip
_PEOPLE = ("the courier", "the driver", "the restaurant", "your app", "the kitchen", "support", "somebody")
_TIMES = ("an hour ago", "at noon", "yesterday", "since seven", "for forty minutes", "last night", "twice now", "early")

#: By topic: sentences with places for parts.
USUAL: dict[str, tuple[str, ...]] = {
    "late": (
        "where is the {thing} that I ordered {time}", "{who} has not come to {place} with my {thing}",
        "my {thing} was promised {time} and is still not at {place}", "how long until {who} brings the {thing}",
        "the map shows {who} standing still with my {thing}", "has my order of {thing} left yet",
    ),
    "wrong": (
        "{who} sent {thing} in place of {other}", "there is no {thing} in the bag that came to {place}",
        "the {thing} arrived cold and spilled", "half of my {thing} is missing from the order",
        "I got somebody else's {thing} {time}", "the {thing} had the wrong sauce and {other} was forgotten",
    ),
    "refund": (
        "I want my money back for the {thing}", "I was charged twice for {thing} {time}",
        "when does the refund for {thing} reach my card", "the voucher was not taken off the price of my {thing}",
        "why did {who} charge a fee for {thing}", "the bill for {thing} and {other} is too high",
    ),
    "address": (
        "please send the {thing} to {place} and not to {where}", "can I change where {who} brings my {thing}",
        "I typed {where} and live at {place}", "the pin of the map for {place} is wrong, {who} went to {where}",
        "add a note for {who}: ring at {place}", "can {who} leave the {thing} at {place}",
    ),
}  # fmt: skip
_CITIES = ("Lisbon", "Oslo", "Madrid", "Tokyo", "Lima", "Rome", "Cairo", "Quito", "Paris", "Delhi", "Perth", "Porto")
_SUMS = ("salary", "pension", "rent", "dividends", "savings", "mortgage", "invoice", "bonus", "loan", "inheritance")
_CODE = ("list", "function", "loop", "class", "string", "decorator", "module", "dictionary", "thread", "test")
_BODY = ("knee", "back", "stomach", "throat", "shoulder", "head", "ankle", "neck", "ear", "wrist")
OTHER: dict[str, tuple[str, ...]] = {
    "travel": (
        "find a flight from {city} to {town}", "which museums in {city} are open on monday",
        "is a visa needed to travel from {city} to {town}", "book a quiet hotel near the harbour of {city}",
        "what is the weather like in {city} in march", "how do trains run between {city} and {town}",
    ),
    "tax": (
        "how much tax is due on my {sum}", "may I deduct the {sum} in my declaration",
        "which form declares a {sum} from abroad", "is {sum} taxed differently from {amount}",
        "when must the tax on {sum} be paid", "what is the rate of interest on a {sum}",
    ),
    "code": (
        "why does this python {code} raise an exception", "write a {code} that sorts numbers",
        "how do I import a {code} from another file", "explain what a {code} does in javascript",
        "refactor this {code} into a {piece}", "my {code} leaks memory when compiled",
    ),
    "health": (
        "my {body} hurts when I run", "which exercises help a stiff {body}", "should a doctor see my swollen {body}",
        "is ibuprofen good for a sore {body}", "my {body} and my {limb} ache at night", "how do I warm up my {body}",
    ),
}  # fmt: skip


def plain(topics: dict[str, tuple[str, ...]], mix: Sequence[float], draw: random.Random) -> str:
    """A sentence of one of the topics, as whoever writes tests would put it."""
    (topic,) = draw.choices(list(topics), mix)
    parts = {
        "thing": _THINGS, "other": _THINGS, "place": _PLACES, "where": _PLACES, "who": _PEOPLE, "time": _TIMES,
        "city": _CITIES, "town": _CITIES, "sum": _SUMS, "amount": _SUMS, "code": _CODE, "piece": _CODE, "body": _BODY,
        "limb": _BODY,
    }  # fmt: skip
    return draw.choice(topics[topic]).format(**{name: draw.choice(words) for name, words in parts.items()})


def said(topics: dict[str, tuple[str, ...]], mix: Sequence[float], draw: random.Random) -> str:
    """The same as people write it."""
    return draw.choice(_OPEN) + plain(topics, mix, draw) + draw.choice(_CLOSE)


def steady(draw: random.Random) -> Iterator[str]:
    """Messages of the usual topics in a mix of this run's own."""
    mix = [draw.uniform(0.1, 1.0) for _ in USUAL]
    while True:
        yield said(USUAL, mix, draw)


def switched(draw: random.Random, share: float = 1.0) -> Iterator[str]:
    """The same up to message 1,000, and then for this share of the messages one of the other topics."""
    topic = draw.choice(list(OTHER))
    before = steady(draw)
    for _ in range(BEFORE):
        yield next(before)
    while True:
        yield said({topic: OTHER[topic]}, [1.0], draw) if draw.random() < share else next(before)


def remixed(draw: random.Random) -> Iterator[str]:
    """No new topic: what was a tenth of the messages becomes more than half of them."""
    for _ in range(BEFORE):
        yield said(USUAL, (0.4, 0.3, 0.2, 0.1), draw)
    while True:
        yield said(USUAL, (0.2, 0.15, 0.1, 0.55), draw)


def found_at(messages: Iterator[str], n: int, embed: Embed, sizes: Sizes = Sizes()) -> list[int]:
    """The numbers of the messages with which a change was told, among the first `n`."""
    texts = [next(messages) for _ in range(n)]
    vectors = embed(texts)
    windows = Windows(compare_topics, sizes, [], [])
    return [at + 1 for at in range(n) if windows.take(Item(at, _START, vectors[at]))]


class Runs(Struct, frozen=True):
    """What became of runs with a change. The delays, median and 95th, are of those that were found in time.

    `again` counts further findings of the same change, within the same messages.
    """

    runs: int
    found: int
    low: float
    high: float
    false_alarms: int
    again: int
    median_messages: float | None
    p95_messages: float | None


def runs_of(make: Callable[[random.Random], Iterator[str]], runs: int, seed: int, embed: Embed) -> Runs:
    """A change at message 1,000 in each run: how many are told within 500 messages."""
    delays, alarms, again = list[int](), 0, 0
    for run in range(runs):
        told = found_at(make(random.Random(f"{seed}/{run}")), BEFORE + WITHIN, embed)
        alarms += sum(at <= BEFORE for at in told)
        late = [at - BEFORE for at in told if at > BEFORE]
        delays += late[:1]
        again += len(late[1:])
    sure = clopper_pearson(len(delays), runs)
    median, p95 = (float(np.percentile(delays, q)) for q in (50, 95)) if delays else (None, None)
    return Runs(runs, len(delays), sure.low, sure.high, alarms, again, median, p95)


def false_alarms(messages: int, seed: int, embed: Embed) -> int:
    """How many changes are told in so many messages of one steady stream."""
    return len(found_at(steady(random.Random(f"steady/{seed}")), messages, embed))


def skewed(tests: int, share: float, runs: int, seed: int, embed: Embed) -> int:
    """In how many runs 200 messages, of which so many are of another topic, are told from tests of the usual ones."""
    told = 0
    for run in range(runs):
        draw = random.Random(f"skew/{seed}/{run}")
        topic, usual = draw.choice(list(OTHER)), steady(draw)
        written = [plain(USUAL, [1.0] * len(USUAL), draw) for _ in range(tests)]
        asked = [said({topic: OTHER[topic]}, [1.0], draw) if draw.random() < share else next(usual) for _ in range(200)]
        found = compare_skew(_with_figures(written, embed), _with_figures(asked, embed), run)
        told += any(change.measure == "topics" for change in found)
    return told


def _with_figures(texts: Sequence[str], embed: Embed) -> Floats:
    return np.column_stack([embed(texts), np.stack([figures_of(text) for text in texts])])


def words(texts: Sequence[str]) -> Floats:
    return hashed(texts)


def model(cache: Path) -> Embed:
    """The model's vectors; a text met again is not asked again."""
    asked = MiniLM(cache)
    known: dict[str, Floats] = {}

    def embed(texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, map(np.asarray, asyncio.run(asked.embed(new))), strict=True))
        return np.stack([known[text] for text in texts])

    return embed


def measured(embed: Embed, runs: int, streams: int, messages: int, more: bool, seed: int) -> dict[str, object]:
    """All figures for one kind of vectors."""
    alarms = [false_alarms(messages, seed * 1000 + n, embed) for n in range(streams)]
    told: dict[str, object] = {
        "switch": to_builtins(runs_of(switched, runs, seed, embed)),
        "false_alarms": sum(alarms), "messages": streams * messages,
        "false_alarms_in_10000": sum(alarms) / (streams * messages) * 10_000,
    }  # fmt: skip
    asked = max(10, runs // 10)
    told["skew"] = {
        f"{tests} tests, {share:.0%} of the messages of another topic":
            f"{skewed(tests, share, asked, seed, embed)} of {asked}"
        for tests in (20, 50) for share in (0.0, 0.33, 1.0)
    }  # fmt: skip
    if more:
        for share in (0.5, 0.25, 0.1):
            few = max(10, runs // 4)
            told[f"switch of {share:.0%}"] = to_builtins(runs_of(partial(switched, share=share), few, seed, embed))
        told["other mix"] = to_builtins(runs_of(remixed, max(10, runs // 4), seed, embed))
    return told


def main() -> int:
    """Print; 1 where the promise is not kept."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=100)
    asked.add_argument("--streams", type=int, default=10, help="steady streams for words; the model gets one")
    asked.add_argument("--messages", type=int, default=10_000, help="of each steady stream")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--partial", action="store_true")
    asked.add_argument("--words-only", action="store_true")
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        kinds: list[tuple[str, Embed, int]] = [("words", words, given.streams)]
        if not given.words_only and MiniLM(Path(folder)).installed:
            kinds.append(("all-minilm-l6-v2", model(Path(folder)), 1))
        for name, embed, streams in kinds:
            began = time.perf_counter()
            figures[name] = measured(embed, given.runs, streams, given.messages, given.partial, given.seed)
            figures[name]["took_s"] = round(time.perf_counter() - began, 1)
            if not given.json:
                sys.stdout.write(_shown(name, figures[name]))
                sys.stdout.flush()
    if given.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0 if all(map(_kept, figures.values())) else 1


def _kept(one: dict[str, object]) -> bool:
    switch, alarms = one["switch"], one["false_alarms_in_10000"]
    assert isinstance(switch, dict) and isinstance(alarms, float)
    return bool(switch["found"] >= 0.95 * switch["runs"] and alarms <= 1)


def _shown(name: str, one: dict[str, object]) -> str:
    lines = [f"Vectors: {name} ({one['took_s']} s)"]
    for what, runs in one.items():
        if what == "skew":
            assert isinstance(runs, dict)
            lines += [f"  {name}: told in {count} runs" for name, count in runs.items()]
        elif isinstance(runs, dict):
            lines.append(
                f"  {what}: found within {WITHIN} messages in {runs['found']} of {runs['runs']} runs "
                f"(95 %: {runs['low']:.1%} to {runs['high']:.1%}); median {runs['median_messages']}, "
                f"95th {runs['p95_messages']} messages; false alarms before it: {runs['false_alarms']}, "
                f"told again: {runs['again']}"
            )
    lines.append(f"  steady: {one['false_alarms']} false alarms in {one['messages']} messages")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
