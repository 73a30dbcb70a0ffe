"""The upstream step against a fake provider over real sockets: time limits, faults, secrets, endings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from comporta.errors import (
    ComportaError,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from comporta.gateway import attempt
from comporta.gateway.attempt import Attempt, Reached, TimeLimits
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.first import begun
from comporta.gateway.transport import HttpTransport
from comporta.pipeline import Call, collect, replay
from comporta.providers.base import Endpoint, Query, Wire
from comporta.providers.openai import OpenAI
from comporta.providers.scripted import Scripted
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step
from comporta.types import JSON, Caller, Delta, Event, Target

#: No shape of a known key: only its value gives it away.
SECRET = "planted.value.of.the.credential"
CHAT: JSON = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


class Asker:
    """Asks one upstream with limits of its own."""

    def __init__(self, transport: HttpTransport, base_url: str, model: Wire | Scripted | None = None) -> None:
        self.transport = transport
        self.base_url = base_url
        self.model = model or OpenAI()
        self.calls: list[Call] = []
        self.headers: dict[str, str] = {}

    async def events(self, *, stream: bool, body: JSON | None = None, **limits: float) -> AsyncIterator[Event]:
        parsed = OpenAIChat().parse(json.dumps({**CHAT, **(body or {})}).encode(), {})
        call = Call(kind="chat", input=parsed.input, model="m", caller=Caller("k"), stream=stream)
        call.target = Target("r", "v", "openai", "m")
        self.calls.append(call)
        reached = Reached(
            model=self.model,
            endpoint=Endpoint("openai", self.base_url, SECRET, self.headers),
            query=Query(kind="chat", input=parsed.input, model="m", stream=stream),
            credential="first",
            limits=TimeLimits(**{f"{name}_s": value for name, value in limits.items()}),
        )
        return await Attempt(lambda call: reached, self.transport)(call)

    async def text(self, *, stream: bool, body: JSON | None = None, **limits: float) -> str:
        try:
            return (await collect(await self.events(stream=stream, body=body, **limits))).text
        finally:
            await self.calls[-1].close_events()


@pytest.fixture
def asker(transport: HttpTransport, fake: FakeOpenAI) -> Asker:
    return Asker(transport, fake.base_url)


async def gone(fake: FakeOpenAI) -> bool:
    async with asyncio.timeout(60):
        await fake.seen[-1].gone.wait()
    return True


# ---- four time limits (WIRE 19) -------------------------------------------------------------------------------------


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_does_not_stand_in_time_is_a_timeout_of_its_own(
    transport: HttpTransport, full_backlog: str, stream: bool
) -> None:
    """WIRE 19: connect."""
    with pytest.raises(UpstreamTimeout) as late:
        await Asker(transport, full_backlog).text(stream=stream, connect=0.2, first_token=60, total=60)
    assert (late.value.code, late.value.status) == ("connect_timeout", 504)


@pytest.mark.parametrize(
    "step",
    [
        Step(delay_s=30),
        Step(first_delay_s=30),
        Step(text="never", stall_after=1, role_only_first=True),
    ],
    ids=["no headers", "headers alone", "the role alone"],
)
async def test_a_stream_without_content_in_time_is_a_timeout_and_its_request_is_aborted(
    asker: Asker, fake: FakeOpenAI, step: Step
) -> None:
    """WIRE 19: first token. A frame with nothing but the role is no content."""
    fake.script(step)
    with pytest.raises(UpstreamTimeout) as late:
        await asker.text(stream=True, first_token=0.2)
    assert (late.value.code, late.value.status) == ("first_token_timeout", 504)
    assert await gone(fake)


async def test_thinking_counts_as_content_for_the_first_token(asker: Asker, fake: FakeOpenAI) -> None:
    fake.script(Step(text="so", reasoning=("hm ", "hm"), token_delay_s=0.15))
    assert await asker.text(stream=True, first_token=0.25, idle=1) == "so"


async def test_silence_in_mid_stream_is_a_timeout_after_what_came(asker: Asker, fake: FakeOpenAI) -> None:
    """WIRE 19: silence between tokens."""
    fake.script(Step(text="one two three", stall_after=3))
    events = await asker.events(stream=True, idle=0.2)
    texts: list[str] = []
    with pytest.raises(UpstreamTimeout) as late:
        async for event in events:
            texts += [delta.text for delta in event.deltas]
    assert late.value.code == "idle_timeout"
    assert "".join(texts) == "one two "
    assert await gone(fake)


async def test_a_slow_but_steady_stream_is_not_silent(asker: Asker, fake: FakeOpenAI) -> None:
    fake.script(Step(text="one two three four five six", token_delay_s=0.6))
    assert await asker.text(stream=True, first_token=3, idle=3) == "one two three four five six"


async def test_a_client_that_takes_its_time_is_no_silence_of_the_upstream(asker: Asker, fake: FakeOpenAI) -> None:
    fake.script(Step(text="one two three", token_delay_s=0.02))
    texts: list[str] = []
    async for event in await asker.events(stream=True, idle=2):
        texts += [delta.text for delta in event.deltas]
        if len(texts) == 2:
            await asyncio.sleep(2.5)
    assert "".join(texts) == "one two three"


@pytest.mark.parametrize(
    ("stream", "step"),
    [
        (True, Step(text="one two three four five six", token_delay_s=0.1)),
        (False, Step(delay_s=30)),
        (False, Step(stall_after=0)),
    ],
    ids=["steady stream", "plain, no headers", "plain, half a body"],
)
async def test_the_whole_answer_has_a_limit_however_lively_it_is(
    asker: Asker, fake: FakeOpenAI, stream: bool, step: Step
) -> None:
    """WIRE 19: total."""
    fake.script(step)
    with pytest.raises(UpstreamTimeout) as late:
        await asker.text(stream=stream, total=0.299_999)
    assert late.value.code == "total_timeout"
    assert "9999" not in late.value.message
    assert await gone(fake)


async def test_a_plain_answer_may_be_silent_until_it_is_whole(asker: Asker, fake: FakeOpenAI) -> None:
    fake.script(Step(text="late", delay_s=0.3))
    assert await asker.text(stream=False, first_token=0.1, idle=0.1, total=60) == "late"


@pytest.mark.parametrize(
    ("script", "limits", "code"),
    [
        ({"first_delay": 30}, {"first_token": 0.1}, "first_token_timeout"),
        ({"text": "one two three", "stall_after": 1}, {"idle": 0.1}, "idle_timeout"),
        ({"text": "a b c d e f g h", "token_delay": 0.06}, {"total": 0.2}, "total_timeout"),
    ],
)
async def test_models_in_this_process_keep_the_same_limits(
    transport: HttpTransport, script: JSON, limits: dict[str, float], code: str
) -> None:
    asker = Asker(transport, "", Scripted())
    with pytest.raises(UpstreamTimeout) as late:
        await asker.text(stream=True, body={"script": script}, **limits)
    assert late.value.code == code
    assert asker.calls[0].spans[-1].error == code


async def test_a_finished_answer_does_not_wait_long_for_its_terminator(
    asker: Asker, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WIRE 4: the connection stays open and nothing comes."""
    monkeypatch.setattr(attempt, "FINISHING_S", 0.2)
    frames = 4 + 1  # role, three words, the finish
    fake.script(Step(text="one two three", stall_after=frames, omit_usage=True))
    started_s = asyncio.get_running_loop().time()
    assert await asker.text(stream=True, idle=20) == "one two three"
    assert asyncio.get_running_loop().time() - started_s < 15


async def test_a_choice_that_begins_late_is_waited_for(
    asker: Asker, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WIRE 2, 12: that another choice has finished makes no answer whole."""
    monkeypatch.setattr(attempt, "FINISHING_S", 0.1)
    fake.script(Step(text="one", token_delay_s=0.3), Step(text="one", stall_after=3, omit_usage=True))
    reply = await collect(await asker.events(stream=True, body={"n": 2}))
    await asker.calls[-1].close_events()
    assert [(c.text, c.finish) for c in reply.choices] == [("one", "stop")] * 2
    with pytest.raises(UpstreamTimeout):
        await asker.text(stream=True, body={"n": 2}, idle=0.3)


# ---- what goes wrong ------------------------------------------------------------------------------------------------


async def test_nobody_there_is_unreachable(transport: HttpTransport) -> None:
    asker = Asker(transport, "http://127.0.0.1:9/v1")
    with pytest.raises(UpstreamUnreachable, match="refused") as error:
        await asker.text(stream=False)
    assert error.value.status == 502
    assert asker.calls[0].spans[-1].error == error.value.code


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_closed_without_an_answer_is_a_reset(asker: Asker, fake: FakeOpenAI, stream: bool) -> None:
    fake.script(Step(drop=True))
    with pytest.raises(UpstreamError) as error:
        await asker.text(stream=stream)
    assert (error.value.code, error.value.status) == ("reset", 502)


@pytest.mark.parametrize(("stream", "after"), [(False, 0), (True, 3)])
async def test_an_answer_that_breaks_off_is_cut_and_no_success(
    asker: Asker, fake: FakeOpenAI, stream: bool, after: int
) -> None:
    """WIRE 5"""
    fake.script(Step(text="one two three four", cut_after=after))
    with pytest.raises(UpstreamCut):
        await asker.text(stream=stream)
    assert asker.calls[0].spans[-1].error == "upstream_cut"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_refused_and_not_followed(
    asker: Asker, fake: FakeOpenAI, stream: bool, status: int
) -> None:
    """It would carry the credential to wherever the answer says."""
    async with FakeOpenAI() as elsewhere:
        to = f"{elsewhere.base_url}/chat/completions"
        fake.script(Step(status=status, body=b"{}", headers={"Location": to}))
        with pytest.raises(UpstreamFault, match="base_url"):
            await asker.text(stream=stream)
        assert not elsewhere.seen


QUOTING = f"Incorrect API key provided: {SECRET}. Find yours at the console."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "step",
    [Step(status=status, message=QUOTING) for status in (400, 401, 403, 404, 429, 500)]
    + [
        Step(error_after=0, error="invalid_request_error", status=200, message=QUOTING),
        Step(text="one two", error_after=2, error="invalid_prompt", message=QUOTING),
    ],
    ids=["400", "401", "403", "404", "429", "500", "inside a 200", "inside a stream"],
)
async def test_a_key_that_the_upstream_quotes_is_in_no_error(
    asker: Asker, fake: FakeOpenAI, step: Step, stream: bool
) -> None:
    fake.default = step
    with pytest.raises(ComportaError) as error:
        await asker.text(stream=stream)
    assert SECRET not in error.value.message
    assert SECRET not in str(error.value)
    assert SECRET not in repr(error.value.args)


async def test_a_secret_header_that_the_upstream_quotes_is_in_no_error_and_a_short_one_spoils_none(
    asker: Asker, fake: FakeOpenAI
) -> None:
    asker.headers = {"x-tenant": "planted-value", "x-short": "a"}
    fake.script(Step(status=400, message="No tenant 'planted-value' at all"))
    with pytest.raises(ComportaError, match=r"No tenant '\*\*\*' at all"):
        await asker.text(stream=False)


async def test_what_a_refusal_says_is_passed_on_but_for_the_key(asker: Asker, fake: FakeOpenAI) -> None:
    fake.script(Step(status=400, message=f"'temperature' is too hot for {SECRET}"))
    with pytest.raises(ComportaError, match=r"'temperature' is too hot for \*\*\*"):
        await asker.text(stream=False)


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After-Ms": "1500"}, 1.5, 1.5),
        ({"Retry-After": "86400"}, 60, 60),
        ({"Retry-After-Ms": "99999999"}, 60, 60),
        ({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(days=30), usegmt=True)}, 60, 60),
        ({"Retry-After": "1e400"}, None, None),
        ({"Retry-After": "soon"}, None, None),
        ({}, None, None),
    ],
)
async def test_the_wait_that_an_upstream_asks_for_is_read_in_every_form_and_capped(
    asker: Asker, fake: FakeOpenAI, headers: dict[str, str], least_s: float | None, most_s: float | None
) -> None:
    """WIRE 15"""
    fake.script(Step(status=429, headers=headers))
    with pytest.raises(UpstreamLimited) as limited:
        await asker.text(stream=False)
    wait_s = limited.value.retry_after_s
    if least_s is None or most_s is None:
        assert wait_s is None
    else:
        assert wait_s is not None and least_s <= wait_s <= most_s


async def test_a_date_to_wait_for_is_read_as_seconds_from_now(asker: Asker, fake: FakeOpenAI) -> None:
    """WIRE 15"""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    fake.script(Step(status=429, headers={"Retry-After": until}))
    with pytest.raises(UpstreamLimited) as limited:
        await asker.text(stream=False)
    assert limited.value.retry_after_s is not None
    assert 0 < limited.value.retry_after_s <= 50


# ---- the ends of an attempt -----------------------------------------------------------------------------------------


async def test_what_was_asked_with_which_credential_stands_on_the_call(asker: Asker, fake: FakeOpenAI) -> None:
    await asker.text(stream=True)
    call = asker.calls[0]
    assert call.target is not None and call.target.credential == "first"
    [span] = call.spans
    assert span.attributes == {"provider": "openai", "credential": "first"}
    assert span.end_ns > span.start_ns and span.error is None
    assert fake.seen[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("taken", [0, 1, 3])
async def test_closing_a_stream_anywhere_aborts_the_request(asker: Asker, fake: FakeOpenAI, taken: int) -> None:
    """WIRE 8"""
    fake.script(Step(text="one two three four five", token_delay_s=0.05))
    events = await asker.events(stream=True)
    for _ in range(taken):
        await anext(events)
    await asker.calls[0].close_events()
    assert await gone(fake)
    assert asker.calls[0].spans[0].end_ns


async def test_a_whole_stream_leaves_its_connection_to_the_next_call(asker: Asker, fake: FakeOpenAI) -> None:
    fake.default = Step(text="one two")
    for _ in range(5):
        assert await asker.text(stream=True) == "one two"
        assert await asker.text(stream=False) == "one two"
    assert asker.transport.connections == 1


# ---- the commit point (WIRE 2) --------------------------------------------------------------------------------------


def says(text: str) -> Event:
    return Event(deltas=(Delta(text=text),))


ROLE = Event(deltas=(Delta(),), id="c", model="m")
PING = Event()


async def test_role_and_ping_are_held_back_until_content_and_then_go_out_in_order() -> None:
    """WIRE 2"""
    reached: list[str] = []

    async def events() -> AsyncIterator[Event]:
        for event in (ROLE, PING, PING):
            yield event
        reached.append("content")
        yield says("one")
        reached.append("after")
        yield says("two")

    started = await begun(events())
    assert reached == ["content"]
    assert [event async for event in started] == [ROLE, PING, PING, says("one"), says("two")]


async def test_what_fails_before_the_first_content_is_raised_and_not_answered() -> None:
    """WIRE 2"""

    async def events() -> AsyncIterator[Event]:
        yield ROLE
        raise UpstreamFault("Failed after the role.")

    with pytest.raises(UpstreamFault, match="after the role"):
        await begun(events())


async def test_a_stream_of_nothing_is_a_failure() -> None:
    """WIRE 2"""
    for nothing in ([], [ROLE], [ROLE, PING]):
        with pytest.raises(UpstreamCut) as empty:
            await begun(replay(nothing))
        assert empty.value.code == "empty_answer"


@pytest.mark.parametrize(
    "event",
    [
        Event(deltas=(Delta(reasoning="hm"),)),
        Event(deltas=(Delta(refusal="no"),)),
        Event(deltas=(Delta(finish="stop"),)),
        Event(deltas=(Delta(extra={"audio": {"id": "a"}}),)),
        Event(vectors=((0.5,),)),
        Event(whole=True),
    ],
    ids=["thinking", "refusal", "finish", "audio", "vectors", "whole"],
)
async def test_whatever_a_client_would_miss_begins_the_answer(event: Event) -> None:
    started = await begun(replay([ROLE, event]))
    assert [e async for e in started] == [ROLE, event]


async def test_beginning_twice_holds_nothing_back_twice() -> None:
    started = await begun(replay([ROLE, says("one"), says("two")]))
    assert await begun(started) is started
    assert len([event async for event in started]) == 3
