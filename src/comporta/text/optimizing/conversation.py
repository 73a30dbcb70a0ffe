"""A conversation in fewer tokens: what may go is taken out, and what is left keeps its order and its words.

Never touched are: what the model said, calls of tools and their results, images and files, code, quotes, data and
tables, and everything up to the last part that the client marked with `cache_control`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, structs

from comporta.text.optimizing.blank import collapsed
from comporta.text.optimizing.documents import Passage, has_code, passages, without
from comporta.text.optimizing.history import dropped
from comporta.text.optimizing.relevance import by_words, fitting
from comporta.text.optimizing.repeats import Seen
from comporta.text.optimizing.settings import Policy
from comporta.types import Message, Part, Text, ToolCall, ToolResult

Messages = tuple[Message, ...]
#: Scores of passages by how well they fit a question.
Scores = Callable[[str, Sequence[str]], Sequence[float]]

_MOST_ROUNDS = 8


class Shortened(Struct, frozen=True):
    """What is left, and the tokens that each step saved."""

    messages: Messages
    steps: Mapping[str, int]


def shorten(
    messages: Messages, policy: Policy, count: Callable[[str], int], scores: Scores = by_words, passage_name: str = ""
) -> Shortened:
    """The conversation after every step of the policy; the same again when it is shortened once more.

    `count` gives a text's tokens. Messages named `passage_name` are retrieved passages. No message grows.
    """
    work = _Work(policy, count, scores, passage_name, frozen_of(messages))
    for _ in range(_MOST_ROUNDS):
        before, messages = messages, work.round(messages)
        if messages == before:
            break
    return Shortened(messages, work.steps)


def frozen_of(messages: Sequence[Message]) -> int:
    """How many messages from the start a client has marked as a prefix to be cached."""
    return next((at + 1 for at in range(len(messages) - 1, -1, -1) if any(map(_marked, messages[at].parts))), 0)


def _marked(part: Part) -> bool:
    if isinstance(part, ToolResult) and any(map(_marked, part.parts)):
        return True
    return getattr(part, "cache_control", None) is not None


class _Work:
    """The steps over one conversation."""

    def __init__(
        self, policy: Policy, count: Callable[[str], int], scores: Scores, passage_name: str, frozen: int
    ) -> None:
        self._policy = policy
        self._count_text = count
        self._scores = scores
        self._passage_name = passage_name
        self._frozen = frozen
        self._known: dict[str, int] = {}
        self.steps: dict[str, int] = {}

    def round(self, messages: Messages) -> Messages:
        policy = self._policy
        if policy.history is not None or policy.history_tokens is not None:
            messages = self._step("history", messages, self._history(messages))
        if policy.duplicates:
            messages = self._step("duplicates", messages, self._duplicates(messages))
        if policy.context_tokens is not None:
            messages = self._step("context", messages, self._context(messages, policy.context_tokens))
        if policy.blank_space:
            messages = self._step("blank_space", messages, self._blank(messages))
        return messages

    def _step(self, name: str, before: Messages, after: Messages) -> Messages:
        if after == before:
            return before
        saved = sum(map(self._count, before)) - sum(map(self._count, after))
        self.steps[name] = self.steps.get(name, 0) + saved
        return after

    def _count(self, message: Message) -> int:
        return sum(map(self._count_part, message.parts))

    def _count_part(self, part: Part) -> int:
        if isinstance(part, Text):
            return self._tokens(part.text)
        if isinstance(part, ToolCall):
            return self._tokens(part.arguments)
        return sum(map(self._count_part, part.parts)) if isinstance(part, ToolResult) else 0

    def _tokens(self, text: str) -> int:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self._count_text(text)
        return found

    def _history(self, messages: Messages) -> Messages:
        policy = self._policy
        gone = dropped(messages, self._frozen, policy.history, policy.history_tokens, self._count)
        return tuple(message for at, message in enumerate(messages) if at not in gone)

    def _duplicates(self, messages: Messages) -> Messages:
        last = last_question(messages)
        seen = {"system": Seen(), "user": Seen()}
        done = []
        for at, message in enumerate(messages):
            if message.role not in seen:
                done.append(message)
                continue
            # What is asked now is asked, whether or not it was asked before.
            of_role = Seen() if at == last else seen[message.role]
            rest = with_texts(message, lambda text, s=of_role, i=message.role == "system": s.rest(text, instructions=i))  # type: ignore[misc]
            done.append(message if at < self._frozen else rest)
        return _without_empty(messages, tuple(done))

    def _blank(self, messages: Messages) -> Messages:
        return tuple(
            with_texts(message, collapsed) if at >= self._frozen and message.role in ("system", "user") else message
            for at, message in enumerate(messages)
        )

    def _context(self, messages: Messages, limit: int) -> Messages:
        last = last_question(messages)
        found = [
            (at, number, passage)
            for at, message in enumerate(messages)
            if at >= self._frozen and message.role in ("system", "user")
            for number, part in enumerate(message.parts)
            if isinstance(part, Text)
            for passage in self._passages(message, part.text, at == last)
        ]
        sizes = [self._tokens(passage.text) for _, _, passage in found]
        if sum(sizes) <= limit or last is None:
            return messages
        scores = self._scores(question_of(messages[last]), [passage.text for _, _, passage in found])
        kept = fitting(sizes, scores, limit)
        gone: dict[tuple[int, int], list[Passage]] = {}
        for number, (at, part, passage) in enumerate(found):
            if number not in kept:
                gone.setdefault((at, part), []).append(passage)
        return _without_empty(messages, tuple(_less(message, at, gone) for at, message in enumerate(messages)))

    def _passages(self, message: Message, text: str, is_last: bool) -> Sequence[Passage]:
        if self._passage_name and message.name == self._passage_name:
            return passages(text, loose=False) or (Passage(0, len(text), text),)
        found = passages(text, loose=is_last)
        # What is asked about is not weighed against other things.
        return [one for one in found if not has_code(one)] if is_last else found


def _less(message: Message, at: int, gone: Mapping[tuple[int, int], Sequence[Passage]]) -> Message:
    if not any(place[0] == at for place in gone):
        return message
    parts = tuple(
        structs.replace(part, text=without(part.text, tuple(gone[at, number])))
        if isinstance(part, Text) and (at, number) in gone
        else part
        for number, part in enumerate(message.parts)
    )
    return structs.replace(message, parts=parts)


def _without_empty(before: Messages, after: Messages) -> Messages:
    """Messages that lost all they said go; a conversation that would lose its last user stays as it was."""
    return tuple(
        new
        for new, old in zip(after, before, strict=True)
        if new is old or not _says_nothing(new) or _says_nothing(old)
    )


def _says_nothing(message: Message) -> bool:
    return all(isinstance(part, Text) and not part.text.strip() for part in message.parts)


def with_texts(message: Message, change: Callable[[str], str]) -> Message:
    """The message with its texts changed; the same object where none is."""
    parts = tuple(_changed(part, change) if isinstance(part, Text) else part for part in message.parts)
    if all(new is old for new, old in zip(parts, message.parts, strict=True)):
        return message
    return structs.replace(message, parts=parts)


def _changed(part: Text, change: Callable[[str], str]) -> Text:
    text = change(part.text)
    return part if text == part.text else structs.replace(part, text=text)


def last_question(messages: Sequence[Message]) -> int | None:
    """The place of the last message in which a user says something."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.role == "user" and any(isinstance(part, Text) for part in message.parts):
            return at
    return None


def question_of(message: Message) -> str:
    """What a message asks, apart from the documents and long paragraphs that it brings along."""
    text = message.text
    asked = without(text, passages(text, loose=True)).strip()
    return asked if any(map(str.isalnum, asked)) else text
