"""Several short questions in one call: sent as one JSON object, answered as one, and told apart by ids.

The instructions that all of them share are then paid for once. Every question has a random id, and the answer must hold
each id exactly once and no other; what does not is thrown away and asked alone, so that no answer lands with another's
question. A question is a JSON string and can't end it; still, models read all of them, so keep questions of people who
must not know of each other apart.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from comporta.errors import (
    BadRequest,
    BudgetExceeded,
    ComportaError,
    Forbidden,
    InvalidKey,
    NotFound,
    RateLimited,
    UpstreamCredential,
    UpstreamLimited,
    UpstreamUnreachable,
)
from comporta.pipeline import Call
from comporta.text.tokens import estimate_tokens
from comporta.types import JSON, Choice, Reply, Usage

#: A longer question gains little, and its answer is long too.
LONGEST_CHARACTERS = 2_000
MOST = 100
NOTE = "together"
#: Fields of a body that hold for all questions of a call alike; with any other one a question is asked alone.
_SHARED = frozenset(
    {"model", "temperature", "top_p", "seed", "user", "metadata", "max_tokens", "max_completion_tokens",
     "presence_penalty", "frequency_penalty", "reasoning_effort", "timeout_s"}
)  # fmt: skip
_LIMITS = ("max_tokens", "max_completion_tokens")
#: To ask each question alone after these would only fail as often.
_FOR_ALL = (
    BudgetExceeded, Forbidden, InvalidKey, NotFound, RateLimited, UpstreamCredential, UpstreamLimited,
    UpstreamUnreachable,
)  # fmt: skip
_TASK = (
    "The user's message is a JSON object of separate questions by their ids. Answer each question by itself, as if it "
    "had been asked alone, and let no question change how another one is answered. Reply with a JSON object that has "
    "each id with the answer to its question as text, and nothing else."
)


class Question(Struct, frozen=True):
    """A short question: its text, and the instructions it stands under."""

    text: str
    system: str
    body: JSON


def question_of(item: object, model: str, params: JSON) -> Question | None:
    """The question that an item of a batch is; None for one that must be asked alone."""
    body: JSON = {"model": model, **params, **(item if isinstance(item, Mapping) else {"messages": item})}
    messages = body.pop("messages", None)
    messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if not isinstance(messages, Sequence) or not messages or any(name not in _SHARED for name in body):
        return None
    *before, last = messages
    if not all(_says(message, ("system", "developer")) for message in before) or not _says(last, ("user",)):
        return None
    text: str = last["content"]
    if not text.strip() or len(text) > LONGEST_CHARACTERS:
        return None
    return Question(text, "\n\n".join(message["content"] for message in before), body)


def _says(message: object, roles: Sequence[str]) -> bool:
    """Whether a message is plain text of one of these roles and nothing more."""
    return (
        isinstance(message, Mapping)
        and message.keys() == {"role", "content"}
        and message["role"] in roles
        and isinstance(message["content"], str)
    )


def groups(questions: Sequence[Question | None], together: int) -> list[list[int]]:
    """The places of questions that go into one call: of equal instructions and parameters, at most `together`."""
    found: list[list[int]] = []
    open_by_kind: dict[bytes, list[int]] = {}
    for at, question in enumerate(questions):
        if question is None:
            found.append([at])
            continue
        kind = msgspec.json.encode((question.system, question.body), order="deterministic")
        group = open_by_kind.get(kind)
        if group is None or len(group) >= together:
            group = open_by_kind[kind] = []
            found.append(group)
        group.append(at)
    return found


class Together:
    """Asks groups. `make` makes a call of a body, `ask` asks it, `alone` asks the item at a place by itself."""

    def __init__(
        self,
        make: Callable[[JSON], Call],
        ask: Callable[[Call], Awaitable[Reply]],
        alone: Callable[[int], Awaitable[Reply]],
        new_id: Callable[[], str] = lambda: f"q{secrets.token_hex(4)}",
    ) -> None:
        self._make = make
        self._ask = ask
        self._alone = alone
        self._new_id = new_id

    async def answers(self, places: Sequence[int], questions: Sequence[Question]) -> list[Reply | ComportaError]:
        """A reply or an error for each place of a group."""
        found: Mapping[int, Reply] = {}
        if len(places) > 1:
            try:
                found = await self._at_once(questions)
            except _FOR_ALL as error:
                return [error] * len(places)
            except ComportaError:
                # Perhaps one of them alone is at fault, or the model takes no schema.
                found = {}
        return [found[n] if n in found else await self._by_itself(place) for n, place in enumerate(places)]

    async def _by_itself(self, place: int) -> Reply | ComportaError:
        try:
            return await self._alone(place)
        except ComportaError as error:
            return error

    async def _at_once(self, questions: Sequence[Question]) -> Mapping[int, Reply]:
        ids: list[str] = []
        while len(ids) < len(questions):
            if (id := self._new_id()) not in ids:
                ids.append(id)
        call = self._make(body_of(questions, ids))
        call.note(NOTE, questions=len(questions))
        reply = await self._ask(call)
        if not reply.choices or reply.choices[0].finish != "stop":
            return {}
        told = told_apart(reply.text, ids)
        weights = [
            (estimate_tokens(question.text), estimate_tokens(told.get(id, "")))
            for question, id in zip(questions, ids, strict=True)
        ]
        usages = shares(reply.usage, weights)
        return {
            n: Reply(reply.id, reply.model, (Choice(0, told[id], finish="stop"),), usages[n])
            for n, id in enumerate(ids)
            if id in told
        }


def body_of(questions: Sequence[Question], ids: Sequence[str]) -> JSON:
    """One body for all of them, with a schema that has every id and no other."""
    first = questions[0]
    body = {**first.body}
    for name in _LIMITS:
        if isinstance(body.get(name), int):
            body[name] *= len(questions)
    texts = {id: question.text for id, question in zip(ids, questions, strict=True)}
    system = f"{first.system}\n\n{_TASK}" if first.system else _TASK
    schema = {
        "type": "object", "properties": {id: {"type": "string"} for id in ids}, "required": [*ids],
        "additionalProperties": False,
    }  # fmt: skip
    return {
        **body,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": msgspec.json.encode(texts).decode()},
        ],
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "answers", "strict": True, "schema": schema},
        },
    }  # fmt: skip


def told_apart(text: str, ids: Sequence[str]) -> dict[str, str]:
    """The answers by their ids, without missing and empty ones; none at all where an id is not ours or comes twice."""
    try:
        pairs = _pairs(text)
    except (ValueError, RecursionError):
        return {}
    names = [name for name, _ in pairs]
    if any(name not in ids for name in names) or len(set(names)) < len(names):
        return {}
    return {name: answer for name, answer in pairs if isinstance(answer, str) and answer.strip()}


def _pairs(text: str) -> list[tuple[str, Any]]:
    """The names and values of a JSON object, also those that stand there twice."""
    from_json = json.JSONDecoder(object_pairs_hook=_Pairs).decode(text)
    if not isinstance(from_json, _Pairs):
        raise ValueError("is no object")
    return from_json


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands in the text."""


def shares(usage: Usage | None, weights: Sequence[tuple[int, int]]) -> list[Usage | None]:
    """A usage shared out by the weights of what was read and what was written; the parts add up to the whole."""
    if usage is None:
        return [None] * len(weights)
    shared: dict[str, Sequence[int]] = {}
    for name in ("input", "cached", "cache_write", "output", "reasoning"):
        side = 1 if name in ("output", "reasoning") else 0
        shared[name] = _split(getattr(usage, name), [weight[side] for weight in weights])
    return [Usage(**{name: parts[at] for name, parts in shared.items()}, estimated=True) for at in range(len(weights))]


def _split(whole: int, weights: Sequence[int]) -> list[int]:
    """By largest remainders (Hamilton's method)."""
    total = sum(weights) or len(weights)
    used = weights if sum(weights) else [1] * len(weights)
    parts = [whole * weight // total for weight in used]
    order = sorted(range(len(used)), key=lambda at: (-(whole * used[at] % total), at))
    for at in order[: whole - sum(parts)]:
        parts[at] += 1
    return parts


def most(together: int) -> int:
    """Raises BadRequest for a number that can't be."""
    if not 1 <= together <= MOST:
        raise BadRequest(f"together must be from 1 to {MOST}.", param="together")
    return together


def flattened(
    places: Sequence[Sequence[int]], results: Iterator[Sequence[Reply | ComportaError] | ComportaError], count: int
) -> list[Reply | ComportaError]:
    """Results of groups in the order of the items."""
    flat: list[Any] = [None] * count
    for group, result in zip(places, results, strict=True):
        for n, place in enumerate(group):
            flat[place] = result if isinstance(result, ComportaError) else result[n]
    return flat
