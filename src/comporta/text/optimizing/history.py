"""A conversation without its middle: system messages, the first turn and the last ones stay, each turn whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from comporta.types import Message, ToolResult


def turns(messages: Sequence[Message]) -> tuple[tuple[int, ...], ...]:
    """The places of the messages of each turn, system messages aside.

    A turn begins with what a user says and holds all that follows from it, so calls of tools stay with their results.
    """
    found: list[list[int]] = []
    for at, message in enumerate(messages):
        if message.role == "system":
            continue
        if not found or _begins(message):
            # Several messages of a user in a row are one turn.
            if found and all(_begins(messages[before]) for before in found[-1]):
                found[-1].append(at)
            else:
                found.append([at])
        else:
            found[-1].append(at)
    return tuple(tuple(turn) for turn in found)


def _begins(message: Message) -> bool:
    return message.role == "user" and not any(isinstance(part, ToolResult) for part in message.parts)


def dropped(
    messages: Sequence[Message],
    frozen: int,
    last_turns: int | None,
    max_tokens: int | None,
    count: Callable[[Message], int],
) -> frozenset[int]:
    """The places of messages to leave out; none of the first `frozen` ones.

    `last_turns` keeps so many of the last turns beside the first; `max_tokens` lets the oldest go until the rest, with
    system messages and the first and last turns, has no more, or none is left to go.
    """
    found = turns(messages)
    middle = [turn for turn in found[1:-1] if turn[0] >= frozen]
    gone: list[tuple[int, ...]] = []
    if last_turns is not None:
        kept = set(found[max(len(found) - last_turns, 0) :])
        gone = [turn for turn in middle if turn not in kept]
    if max_tokens is not None:
        gone = _until_it_fits(messages, middle, gone, max_tokens, count)
    return frozenset(at for turn in gone for at in turn)


def _until_it_fits(
    messages: Sequence[Message], middle: list[tuple[int, ...]], gone: list[tuple[int, ...]], max_tokens: int,
    count: Callable[[Message], int],
) -> list[tuple[int, ...]]:  # fmt: skip
    without = {at for turn in gone for at in turn}
    total = sum(count(message) for at, message in enumerate(messages) if at not in without)
    gone = [*gone]
    for turn in middle:
        if total <= max_tokens:
            break
        if turn not in gone:
            gone.append(turn)
            total -= sum(count(messages[at]) for at in turn)
    return gone
