"""Four made-up workloads, the same at every run of a seed: an FAQ bot, a code assistant, documents, creative writing.

They stand in for traffic that nobody has yet: how often people ask the same again is an assumption, stated in
`ASSUMED` with where it comes from. Everything else (which of those repeats a cache would have found) is for whoever
replays them to find out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from comporta.types import Input, Message, Text

_DAY_S = 86_400.0
#: How long the traffic of a workload lasts.
DAYS = 2
#: So steep are the shares of questions by rank: the n-th is asked 1/n^s as often as the first.
_ZIPF = 1.0


class Asked(Struct, frozen=True):
    """One call of a workload. Times in seconds since the workload began; `words` is how long its answer is."""

    at_s: float
    took_s: float
    user: str
    session: str
    asked: Input
    words: int
    #: What is asked: calls of one meaning may have one answer, others may not.
    meaning: str


class Workload(Struct, frozen=True):
    """What is asked, on which route, and the share of calls that ask what was asked before, word by word or not."""

    name: str
    title: str
    repeats: float
    because: str
    make: Callable[[random.Random, int], Iterator[Asked]]


# ---- an FAQ bot -----------------------------------------------------------------------------------------------------

_FAQ_SYSTEM = (
    "You are the help desk of Marisol, a shop for garden tools.   Answer in at most three sentences.\n\n\n"
    "Be friendly. Answer in at most three sentences. Never promise a refund that the policy does not allow.\n\n"
    "Delivery takes three to five working days. Returns are free within thirty days. Gift cards do not expire. "
    "Orders above 60 euros are sent without a fee. The workshop repairs what we sold, within two years."
)
_DEEDS = (
    "reset my password", "change my delivery address", "cancel my order", "return an item", "track my parcel",
    "change my email address", "delete my account", "download an invoice", "pay by bank transfer", "use a gift card",
    "redeem a voucher", "register a product for the guarantee", "exchange a damaged item", "contact a person",
    "subscribe to the newsletter", "unsubscribe from the newsletter", "order spare parts", "book a repair",
    "add a second address", "see my past orders", "change my payment card", "report a missing parcel",
    "get a refund", "place an order as a company", "enter a tax number", "pick up an order at the shop",
    "change the size of an item", "write a review", "find the manual of a product", "join the loyalty programme",
    "collect loyalty points", "sharpen a pair of shears", "store a lawn mower in winter", "clean a hedge trimmer",
    "replace a blade", "order by phone", "send a parcel as a present", "split an order into two parcels",
    "pay in instalments", "update the app", "turn on notifications", "close a support ticket",
)  # fmt: skip
_WAYS = (
    "How do I {}?", "How can I {}?", "how do i {}", "How do I {}", "Can you tell me how to {}?", "I want to {}. How?",
    "What do I need to do to {}?", "Please help me to {}.",
)  # fmt: skip
_WAY_WEIGHTS = (30, 22, 14, 10, 8, 6, 6, 4)
_THINGS = ("rake", "spade", "hose", "trimmer", "mower", "lamp", "bench", "trowel", "watering can", "greenhouse")


def _faq(rng: random.Random, calls: int) -> Iterator[Asked]:
    """A quarter asks about an order or a thing of their own; the rest asks what others ask, in a few wordings."""
    weights = _by_rank(len(_DEEDS))
    for at_s, user in _moments(rng, calls, users=calls // 2):
        if rng.random() < _FAQ.repeats:
            meaning = rng.choices(_DEEDS, weights)[0]
            text = rng.choices(_WAYS, _WAY_WEIGHTS)[0].format(meaning)
        else:
            meaning = text = f"Where is my order {rng.randrange(10_000, 99_999)} with the {rng.choice(_THINGS)}?"
        yield _asked(rng, at_s, user, _FAQ_SYSTEM, text, words=60, meaning=meaning)


# ---- a code assistant -----------------------------------------------------------------------------------------------

_CODE_SYSTEM = (
    "You are a programming assistant inside an editor. Answer with code first, then at most one paragraph.\n"
    "Follow the style of the file that is open. Do not invent functions of libraries.\n"
)
_NOTIONS = (
    "a list comprehension in Python", "a context manager in Python", "a dataclass with a default list",
    "async and await in Python", "a left join in SQL", "a window function in SQL", "an index in PostgreSQL",
    "a closure in JavaScript", "a promise in JavaScript", "a generic in TypeScript", "a union type in TypeScript",
    "a rebase in git", "a merge conflict in git", "a Dockerfile with two stages", "a health check in Kubernetes",
    "a regular expression for dates", "a mutex in Go", "a channel in Go", "a lifetime in Rust", "a trait in Rust",
    "a foreign key in SQL", "a decorator in Python", "pytest fixtures", "type hints in Python",
)  # fmt: skip
_NOTION_WAYS = ("How do I use {}?", "How can I use {}?", "Show me how to use {}", "Explain {}", "What is {}?")
_VERBS = ("load", "parse", "merge", "filter", "render", "store", "count", "sort", "group", "validate", "send", "split")
_NOUNS = ("orders", "users", "rows", "events", "tokens", "files", "routes", "pages", "prices", "labels", "jobs", "keys")
_CODE_ASKS = ("Write a test for this function:", "Why is this slow?", "Make this shorter:", "Find the bug in this:")


def _code(rng: random.Random, calls: int) -> Iterator[Asked]:
    """Half the repeats are sent again word by word (a test run again, a file saved again), half are notions."""
    sent: list[str] = []
    weights = _by_rank(len(_NOTIONS))
    for at_s, user in _moments(rng, calls, users=max(4, calls // 40)):
        drawn = rng.random()
        if sent and drawn < _CODE.repeats / 2:
            text = meaning = rng.choice(sent[-40:])
        elif drawn < _CODE.repeats:
            meaning = rng.choices(_NOTIONS, weights)[0]
            text = rng.choice(_NOTION_WAYS).format(meaning)
        else:
            meaning = text = f"{rng.choice(_CODE_ASKS)}\n\n```python\n{_function(rng)}\n```"
            sent.append(text)
        yield _asked(rng, at_s, user, _CODE_SYSTEM, text, words=220, meaning=meaning)


def _function(rng: random.Random) -> str:
    verb, noun, other = rng.choice(_VERBS), rng.choice(_NOUNS), rng.choice(_NOUNS)
    lines = [f"def {verb}_{noun}({other}, limit={rng.randrange(10, 900)}):", "    found = []"]
    for _ in range(rng.randrange(3, 9)):
        field = rng.choice(_NOUNS)
        lines += [f"    for one in {other}:", f"        if one.{field} > {rng.randrange(1, 500)}:",
                  f"            found.append(one.{rng.choice(_NOUNS)})"]  # fmt: skip
    return "\n".join([*lines, "    return found[:limit]"])


# ---- documents ------------------------------------------------------------------------------------------------------

_DOCUMENT_SYSTEM = (
    "You read contracts and reports for a legal team. Quote the clause that each statement rests on. "
    "Say so where the document does not tell. Write in plain words, without advice of your own.\n"
)
_QUESTIONS = (
    "Summarise the document in five sentences.", "Which dates and deadlines does it name?",
    "Which amounts of money does it name?", "Who are the parties, and what must each of them do?",
    "Which risks does it hold for the buyer?", "What happens when one party does not deliver?",
    "List all obligations with their clause.", "Is anything in it unusual?", "Which words does it define?",
    "How can it be ended, and by whom?",
)  # fmt: skip
_CLAUSES = (
    "The {0} delivers the {1} within {2} days of the order and bears the cost of the {3}.",
    "Where the {0} is late by more than {2} days, the {3} may withdraw in writing.",
    "The price of the {1} is {4} euros and is due {2} days after the invoice.",
    "The {0} keeps the {1} insured against fire, theft and water up to {4} euros.",
    "Changes of this {3} hold only where both parties have signed them within {2} days.",
    "The {0} answers for faults of the {1} for {2} months from the day of the handover.",
    "Nobody may hand the {1} to others without the word of the {0}; the penalty is {4} euros.",
)  # fmt: skip
_WHO = ("seller", "buyer", "tenant", "carrier", "contractor", "bank", "agent", "licensor", "guarantor", "supplier")
_WHAT = ("machine", "building", "software", "shipment", "report", "licence", "vehicle", "material", "archive", "plan")
#: So many questions in a row come from one user.
_BURST = 6
_FOOTER = "Confidential.   Page {} of this document.   Do not copy without the consent of the archive.\n\n\n\n"


def _documents(rng: random.Random, calls: int) -> Iterator[Asked]:
    """Whoever reads a document goes through a list of questions, a minute apart; some ask what others asked of it."""
    asked: list[tuple[str, str]] = []
    document, questions = "", list[str]()
    for at_s, user in _moments(rng, calls, users=max(3, calls // 60), bursts=True):
        if asked and rng.random() < _DOCUMENTS.repeats:
            read, question = rng.choice(asked[-200:])
        else:
            if not questions:
                document, questions = _document(rng), rng.sample(_QUESTIONS, rng.randrange(3, 9))
            read, question = document, questions.pop()
            asked.append((read, question))
        yield _asked(rng, at_s, user, _DOCUMENT_SYSTEM, read, question, words=180, meaning=question)


def _document(rng: random.Random) -> str:
    number, pages = rng.randrange(1_000, 9_999), []
    for page in range(1, rng.randrange(4, 9)):
        clauses = [
            f"{page}.{n}  " + rng.choice(_CLAUSES).format(
                rng.choice(_WHO), rng.choice(_WHAT), rng.randrange(5, 90), rng.choice(_WHO), rng.randrange(1, 900) * 100
            )
            for n in range(1, rng.randrange(8, 14))
        ]  # fmt: skip
        pages.append("\n".join(clauses) + "\n\n" + _FOOTER.format(page))
    return f"CONTRACT {number}\n\n" + "".join(pages)


# ---- creative writing -----------------------------------------------------------------------------------------------

_CREATIVE_SYSTEM = "You are a writer. Write vividly, without clichés, and never explain the text.\n"
_FORMS = ("a short story", "a poem", "a song", "a scene for the stage", "a letter", "a fairy tale", "a monologue",
          "the opening of a novel")  # fmt: skip
_HEROES = ("a lighthouse keeper", "a retired clown", "two sisters", "a night nurse", "a fox", "a lost astronaut",
           "a baker", "a boy who collects keys", "a river pilot", "an old violin", "a beekeeper")  # fmt: skip
_PLOTS = ("who finds a door in the sea", "who forgets a name each day", "on the last evening of summer",
          "who must sell the family house", "in a town without clocks", "who hears tomorrow's news",
          "during a storm that lasts a year", "who learns to whistle", "on a train that never stops",
          "who writes to the moon", "in the year of the great frost", "who keeps a promise too long")  # fmt: skip
_TONES = ("in a calm voice", "with dry humour", "as if told to a child", "in the second person", "without adjectives",
          "in long sentences", "with a surprising end", "in the style of a report")  # fmt: skip


def _creative(rng: random.Random, calls: int) -> Iterator[Asked]:
    """Hardly anything comes again but the same wish sent twice."""
    sent: list[str] = []
    for at_s, user in _moments(rng, calls, users=max(4, calls // 8)):
        if sent and rng.random() < _CREATIVE.repeats:
            text = rng.choice(sent[-20:])
        else:
            text = (
                f"Write {rng.choice(_FORMS)} about {rng.choice(_HEROES)} {rng.choice(_PLOTS)}, {rng.choice(_TONES)}, "
                f"in about {rng.randrange(15, 60) * 10} words."
            )
            sent.append(text)
        yield _asked(rng, at_s, user, _CREATIVE_SYSTEM, text, words=350, meaning=text)


# ---- all of them ----------------------------------------------------------------------------------------------------

_FAQ = Workload(
    "faq", "FAQ bot", 0.75,
    "a help desk's questions are few: three of four are taken to be about one of some forty things, by a Zipf law",
    _faq,
)  # fmt: skip
_CODE = Workload(
    "code", "code assistant", 0.45,
    "context differs from call to call; repeats are taken to be runs and saves sent again, and notions looked up",
    _code,
)  # fmt: skip
_DOCUMENTS = Workload(
    "documents", "document analysis", 0.20,
    "a second reader is taken to ask one question in five that a first one asked of the same document",
    _documents,
)  # fmt: skip
_CREATIVE = Workload(
    "creative", "creative writing", 0.07,
    "wishes are taken to be new but for those sent twice; whoever sends one twice may want another text",
    _creative,
)  # fmt: skip
WORKLOADS: Mapping[str, Workload] = MappingProxyType({one.name: one for one in (_FAQ, _CODE, _DOCUMENTS, _CREATIVE)})


def asked(name: str, calls: int, seed: int) -> list[Asked]:
    """The calls of one workload, in the order of time. The same for the same three values, on any machine."""
    rng = random.Random(f"{seed}:{name}")
    return sorted(WORKLOADS[name].make(rng, calls), key=lambda one: one.at_s)


def _by_rank(count: int) -> Sequence[float]:
    return [1 / rank**_ZIPF for rank in range(1, count + 1)]


def _moments(rng: random.Random, calls: int, users: int, *, bursts: bool = False) -> Iterator[tuple[float, str]]:
    """When who asks, over `DAYS`; with `bursts` some calls in a row come from one user within minutes."""
    moments = sorted(rng.uniform(0, DAYS * _DAY_S) for _ in range(calls))
    user = 0
    for number, at_s in enumerate(moments):
        if not bursts or number % _BURST == 0:
            user, burst_s = rng.randrange(max(1, users)), at_s
        yield (burst_s + 60.0 * (number % _BURST) if bursts else at_s), f"user-{user}"


def _asked(
    rng: random.Random, at_s: float, user: str, system: str, *texts: str, words: int, meaning: str
) -> Asked:  # fmt: skip
    messages = (Message("system", (Text(system),)), *(Message("user", (Text(text),)) for text in texts))
    length = max(8, round(words * rng.uniform(0.6, 1.4)))
    day = int(at_s // _DAY_S)
    took_s, asked = round(0.4 + length * 0.02, 3), Input(messages=messages)
    return Asked(round(at_s, 3), took_s, user, f"{user}-{day}", asked, length, meaning)
