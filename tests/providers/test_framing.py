"""Server-sent events and JSON lines, whatever the cuts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import UpstreamFault
from comporta.providers.framing import Frame, Frames, Lines


def frames_of(*chunks: bytes, limit: int = 1 << 24) -> list[Frame]:
    parser = Frames(limit)
    found = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return found + parser.end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    """WIRE 5"""
    stream = end.join([b"event: one", b"data: a", b"", b"data: b", b"data: c", b"", b""])
    assert frames_of(stream) == [Frame("one", b"a"), Frame(None, b"b\nc")]


def test_data_without_a_space_and_only_one_space_is_dropped() -> None:
    """WIRE 5"""
    assert frames_of(b'data:{"a":1}\n\ndata:  two\n\n') == [Frame(None, b'{"a":1}'), Frame(None, b" two")]


def test_comments_ids_and_retries_are_passed_over() -> None:
    """WIRE 5"""
    stream = b": ping\n\nid: 7\nretry: 10\n\n:x\ndata: a\n: y\n\n"
    assert frames_of(stream) == [Frame(None, b"a")]


def test_an_empty_data_line_is_a_frame_and_an_event_without_data_is_none() -> None:
    """WIRE 5"""
    assert frames_of(b"data:\n\ndata\n\nevent: lonely\n\n\n\n") == [Frame(None, b""), Frame(None, b"")]


def test_a_byte_order_mark_is_dropped_even_when_it_is_cut() -> None:
    """WIRE 5"""
    assert frames_of(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [Frame(None, b"a")]
    assert frames_of(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [Frame(None, b"a")]


def test_a_last_frame_without_its_blank_line_is_given_at_the_end() -> None:
    parser = Frames()
    assert parser.feed(b"data: a\n\ndata: [DONE]") == [Frame(None, b"a")]
    assert parser.end() == [Frame(None, b"[DONE]")]
    assert parser.end() == []


def test_a_frame_is_given_at_once_when_a_carriage_return_ends_it() -> None:
    parser = Frames()
    assert parser.feed(b"data: a\r\r") == [Frame(None, b"a")]
    assert parser.feed(b"\ndata: b\r\n\r") == [Frame(None, b"b")]
    assert parser.feed(b"\n") == []
    assert parser.end() == []


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_a_frame_over_the_limit_is_an_error_whether_whole_or_in_pieces(size: int) -> None:
    data = b"data: " + b"x" * 2000 + b"\n\n"
    with pytest.raises(UpstreamFault, match="more than 1000 bytes"):
        frames_of(*(data[i : i + size] for i in range(0, len(data), size)), limit=1000)


def test_many_small_frames_in_one_chunk_are_no_large_frame() -> None:
    assert len(frames_of(b"data: x\n\n" * 1000, limit=100)) == 1000


LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data:", b"data", b": c", b":", b"", b"", b"event: n", b"event:", b"id: 1", b"x",
     b"data:  ",
     "data: é☃".encode(), b"\xef\xbb\xbfdata: m", b"\xff\xfe"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_any_cut_of_the_bytes_gives_the_same_frames(
    lines: list[tuple[bytes, bytes]], marked: bool, places: list[int]
) -> None:
    """WIRE 5"""
    stream = (b"\xef\xbb\xbf" if marked else b"") + b"".join(line + end for line, end in lines)
    whole = frames_of(stream)
    assert frames_of(*cut(stream, places)) == whole
    assert frames_of(*(stream[i : i + 1] for i in range(len(stream)))) == whole


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b'{"a":1}', b"", b" ", b"x\ry", "é".encode()]), max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_any_cut_of_the_bytes_gives_the_same_lines(
    lines: list[bytes], end: bytes, ended: bool, places: list[int]
) -> None:
    stream = end.join(lines) + (end if ended else b"")
    parser = Lines()
    found = [line for chunk in cut(stream, places) for line in parser.feed(chunk)] + parser.end()
    assert found == [line.strip() for line in lines if line.strip()]


def test_a_line_over_the_limit_is_an_error() -> None:
    parser = Lines(limit=100)
    with pytest.raises(UpstreamFault, match="more than 100 bytes"):
        for _ in range(30):
            parser.feed(b"xxxxxxxxxx")
