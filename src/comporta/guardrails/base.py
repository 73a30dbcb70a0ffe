"""What a guard is, what it is shown and what it says: one async function from a text and its context to a verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from comporta.embedding.base import Embedder
from comporta.guardrails.looking import Text
from comporta.types import JSON, Caller

#: From the mildest to the strictest.
Outcome = Literal["pass", "flag", "rewrite", "redact", "block"]
#: What a policy wants done with a finding; the strictest first.
Action = Literal["block", "mask", "rewrite", "restrict", "warn", "log"]
Severity = Literal["info", "warning", "critical"]
Side = Literal["input", "output"]
#: Where a text stands. `passage` is retrieved text, `name` a file's name, `alt` the words that stand for an image.
Place = Literal["system", "user", "assistant", "tool", "passage", "name", "alt"]

ACTIONS: tuple[Action, ...] = ("block", "mask", "rewrite", "restrict", "warn", "log")
#: What becomes of a finding under each action.
OUTCOME_OF: dict[Action, Outcome] = {
    "block": "block", "mask": "redact", "rewrite": "rewrite", "restrict": "flag", "warn": "flag",
    "log": "flag",
}  # fmt: skip


class Match(Struct, frozen=True, order=True):
    """Where in a text something was found: characters `start` to `end` of the text as it came, and what it is."""

    start: int
    end: int
    #: In capitals, as it stands in a mask: `EMAIL`, `CPF`.
    kind: str
    confidence: float = 1.0


class Verdict(Struct, frozen=True):
    """What a guard says of one text.

    A guard says `flag` where it found something, and leaves it to the policy's action what becomes of it; `redact`
    needs `spans`. A guard that knows better than its policy (a hook with rules of its own) may say `block` itself.
    `confidence` is compared with the policy's threshold. `reason` is a sentence for people and never holds what was
    matched: it is shown, logged and recorded. `text` is what to put in place of the whole text where the guard offers
    that (a repaired JSON).
    """

    outcome: Outcome = "pass"
    severity: Severity = "warning"
    reason: str = ""
    spans: tuple[Match, ...] = ()
    confidence: float = 0.0
    text: str | None = None
    #: Figures that explain it, for the record: no content.
    facts: JSON | None = None


PASS = Verdict("pass", "info")


class Context(Struct, frozen=True):
    """What a guard may know beside the text: who asks, what was asked, and what the answer must hold to."""

    side: Side
    place: Place
    #: Of the policy: from which confidence on something counts as found.
    threshold: float
    #: The user's last words, where the text is an answer.
    question: str = ""
    #: What the answer should rest on: retrieved passages and results of tools.
    passages: tuple[str, ...] = ()
    #: The system's instructions, where they are known.
    system: str = ""
    #: The JSON schema that was asked for.
    schema: JSON | None = None
    #: As told by the caller (BCP 47); None where nobody said.
    language: str | None = None
    caller: Caller | None = None
    session: str | None = None
    model: str | None = None
    #: Whether the text is all there is: False for a part of an answer that is still coming.
    whole: bool = True
    #: Asks the judge model, at the caller's expense: (system, text) -> its answer. None where none can be asked here.
    ask: Callable[[str, str], Awaitable[str]] | None = None


Guard = Callable[[Text, Context], Awaitable[Verdict]]


class Searched(Protocol):
    """A knowledge base: the passages that say most about a text."""

    async def search(self, text: str, limit: int) -> Sequence[str]: ...


class Posts(Protocol):
    """Posts a body to an address: status, and at most `limit` bytes of what came back. Raises OSError, TimeoutError."""

    async def __call__(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int
    ) -> tuple[int, bytes]: ...


class Tools(Struct, frozen=True):
    """What guards are built with; what is None is not configured, and a guard that needs it says so at start."""

    embedder: Embedder | None = None
    #: The name of the judge model (`guardrails.judge`): where there is one, contexts of calls bring `ask`.
    judge: str | None = None
    #: A knowledge base by its name; raises ConfigError, a sentence.
    knowledge: Callable[[str], Searched] | None = None
    #: Python functions that may be named (`guardrails.functions`).
    functions: frozenset[str] = frozenset()
    post: Posts | None = None


class Kind(Struct, frozen=True):
    """A kind of guard, as policies name it. A new one is one function and one row.

    `settings` is the Struct (frozen, `forbid_unknown_fields=True`) that a policy's other keys are read into; `build`
    makes the guard from it, and raises ConfigError (a sentence) where that can't be done. `slow` guards wait for
    something (a model, a hook, the embedder) and run side by side; the others run one after the other, quickest first.
    """

    name: str
    build: Callable[[Any, Tools], Guard]
    settings: type[Struct]
    sides: tuple[Side, ...] = ("input", "output")
    #: Which texts it looks at where the policy does not say.
    places: tuple[Place, ...] = ("user", "assistant", "tool", "passage", "name", "alt")
    threshold: float = 0.5
    action: Action = "block"
    severity: Severity = "critical"
    slow: bool = False
    #: What a slow guard is given where the policy says nothing.
    timeout_s: float = 2.0
    #: How much of an answer must be at hand before it can judge: characters, a sentence, or all of it.
    needs: Literal["span", "sentence", "whole"] = "span"
    #: Whether the text alone decides, so that a verdict may be remembered; False where the rest of the context counts.
    alone: bool = True
    aliases: tuple[str, ...] = ()
    #: In a sentence, for docs and `comporta guard list`.
    about: str = ""
