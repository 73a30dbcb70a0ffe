"""Guards of one's own: functions that are listed, services that are asked, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import ComportaError, ConfigError, Unavailable
from comporta.guardrails.base import Tools, Verdict
from comporta.guardrails.kinds import custom
from comporta.types import JSON, Caller

from .verdicts import of, verdict

KIND = of(custom.KINDS, "custom")
HERE = "tests.guardrails.test_custom"


def no_shouting(text: str, context: JSON) -> bool:
    """A function as people write it: whether the text may pass."""
    return text != text.upper()


async def careful(text: str, context: JSON) -> JSON:
    """One that waits, and marks what it found."""
    await asyncio.sleep(0)
    at = text.find("kraken")
    if at < 0:
        return {"outcome": "pass"}
    return {"outcome": "flag", "confidence": 0.7, "spans": [{"start": at, "end": at + 6, "kind": "beast"}]}


def broken(text: str, context: JSON) -> bool:
    """One with a mistake in it."""
    raise KeyError("nothing")


def odd(text: str, context: JSON) -> int:
    """One that says something else."""
    return 7


NAMES = [f"{HERE}:{name}" for name in ("no_shouting", "careful", "broken", "odd")]
LISTED = Tools(functions=frozenset([*NAMES, f"{HERE}:missing", f"{HERE}:NAMES", "nowhere.at:all"]))


async def test_a_listed_function_decides() -> None:
    told = {"function": NAMES[0]}
    assert (await verdict(KIND, "Hello", told, LISTED)).outcome == "pass"
    assert (await verdict(KIND, "HELLO", told, LISTED)).outcome == "flag"
    text = "the kraken sleeps"
    found = await verdict(KIND, text, {"function": NAMES[1]}, LISTED)
    assert [(text[s.start : s.end], s.kind) for s in found.spans] == [("kraken", "BEAST")]
    assert found.confidence == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"function": "os:system"}, "not listed"), ({"function": f"{HERE}:missing"}, "can't be imported"),
        ({"function": "nowhere.at:all"}, "can't be imported"), ({"function": f"{HERE}:NAMES"}, "no function"),
        ({}, "one of the two"), ({"function": NAMES[0], "url": "http://x"}, "one of the two"),
        ({"url": "http://hook"}, "can post"), ({"url": "ftp://hook"}, "http"), ({"nothing": 1}, "nothing"),
    ],
)  # fmt: skip
async def test_what_may_not_run_is_a_mistake_at_start(told: JSON, why: str) -> None:
    tools = LISTED if why == "can post" or "url" not in told else hook(saying(None))
    with pytest.raises(ConfigError, match=why):
        await verdict(KIND, "x", told, tools)


async def test_a_function_that_fails_or_says_nonsense_is_an_error_and_no_verdict() -> None:
    with pytest.raises(KeyError):
        await verdict(KIND, "x", {"function": NAMES[2]}, LISTED)
    with pytest.raises(Unavailable, match="no verdict"):
        await verdict(KIND, "x", {"function": NAMES[3]}, LISTED)


Sent = list[tuple[str, bytes, dict[str, str]]]


def hook(answer: Callable[[], tuple[int, bytes]], sent: Sent | None = None) -> Tools:
    async def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int) -> tuple[int, bytes]:
        if sent is not None:
            sent.append((url, body, headers))
        return answer()

    return Tools(post=post)


def saying(value: Any, status: int = 200) -> Callable[[], tuple[int, bytes]]:
    return lambda: (status, json.dumps(value).encode())


URL = {"url": "http://127.0.0.1:9/check", "secret": "s3cret", "options": {"level": 2}}


async def test_a_hook_is_told_the_text_and_around_it_and_can_prove_who_asks() -> None:
    sent: Sent = []
    await verdict(KIND, "Olá", URL, hook(saying({"allow": True}), sent), question="Oi?", caller=Caller("k1", "ana"))
    ((url, body, headers),) = sent
    said = json.loads(body)
    assert url == URL["url"]
    assert said["text"] == "Olá"
    assert said["context"]["question"] == "Oi?"
    assert said["context"]["key"] == "ana"
    assert said["context"]["options"] == {"level": 2}
    assert headers[custom.SIGNATURE] == custom.signature("s3cret", headers[custom.TIMESTAMP], body)
    assert "s3cret" not in body.decode()


@pytest.mark.parametrize(
    ("value", "outcome", "confidence"),
    [
        ({"allow": True}, "pass", 1.0), ({"allow": False}, "flag", 1.0), ({"outcome": "block"}, "block", 1.0),
        ({"outcome": "flag", "confidence": 0.3, "reason": "odd"}, "flag", 0.3),
        ({"outcome": "redact", "spans": [{"start": 0, "end": 2}]}, "flag", 1.0),
        (True, "pass", 0.0), (False, "flag", 1.0),
        (None, "pass", 0.0), ({"outcome": "flag", "confidence": 7}, "flag", 1.0),
    ],
)  # fmt: skip
async def test_a_hook_may_answer_in_several_ways(value: Any, outcome: str, confidence: float) -> None:
    found = await verdict(KIND, "hello", URL, hook(saying(value)))
    assert (found.outcome, found.confidence) == (outcome, confidence)


def _down() -> tuple[int, bytes]:
    raise ConnectionRefusedError(111, "refused")


def _late() -> tuple[int, bytes]:
    raise TimeoutError


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_down, "could not be reached"), (_late, "did not answer"), (saying({}, 500), "status 500"),
        (saying({}, 302), "status 302"), (lambda: (200, b"<html>"), "no JSON"), (lambda: (200, b"\xff"), "no JSON"),
        (saying({}), "no verdict"), (saying({"outcome": "maybe"}), "no verdict"), (saying([1]), "no verdict"),
        (saying({"allow": True, "spans": [{"start": 3, "end": 900}]}), "no verdict"),
        (saying({"allow": True, "spans": [{"end": 1}]}), "no verdict"),
        (saying({"allow": True, "confidence": "high"}), "no verdict"),
    ],
)  # fmt: skip
async def test_a_hook_that_is_down_late_or_odd_is_an_error_that_says_so(
    answer: Callable[[], tuple[int, bytes]], why: str
) -> None:
    with pytest.raises(ComportaError, match=why):
        await verdict(KIND, "hello", URL, hook(answer))


async def test_a_hook_that_never_answers_is_given_up_after_its_time() -> None:
    async def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float, limit: int) -> tuple[int, bytes]:
        await asyncio.Event().wait()
        return 200, b""

    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        await verdict(KIND, "hello", {**URL, "timeout_s": 0.05}, Tools(post=post))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=100), st.text(max_size=50))
async def test_no_text_makes_the_asking_fail(text: str, question: str) -> None:
    found = await verdict(KIND, text, URL, hook(saying({"allow": True})), question=question, passages=(text,))
    assert isinstance(found, Verdict)
