"""Keys of a provider: in turn, by weight, read again when their file changes, never shown."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from msgspec import structs

from comporta.providers.credentials import LOOK_EVERY_S, Credential, Credentials, Source

A, B = Source("a", value="key-a"), Source("b", value="key-b")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def picked(keys: Credentials, times: int, exclude: tuple[str, ...] = ()) -> list[str]:
    found = [keys.pick(exclude) for _ in range(times)]
    return [credential.name for credential in found if credential is not None]


def test_keys_are_used_in_turn() -> None:
    assert picked(Credentials([A, B], {}), 4) == ["a", "b", "a", "b"]


def test_a_heavier_key_gets_its_share() -> None:
    counts = Counter(picked(Credentials([structs.replace(A, weight=3), B], {}), 400))
    assert counts == {"a": 300, "b": 100}


def test_excluded_keys_are_passed_over_and_none_is_left_when_all_are() -> None:
    """WIRE 17"""
    keys = Credentials([A, B], {})
    assert picked(keys, 3, ("a",)) == ["b", "b", "b"]
    assert keys.pick(("a", "b")) is None
    assert Credentials([A], {}).pick(("a",)) is None
    assert Credentials([], {}).pick() is None


def test_a_key_from_the_environment_is_read_when_it_is_there() -> None:
    clock, environment = Clock(), {"KEY": "one"}
    keys = Credentials([Source("e", env="KEY"), Source("gone", env="NO_SUCH")], environment, clock=clock)
    assert [c.secret for c in keys.all()] == ["one"]
    environment["KEY"] = "two"
    clock.now_s += LOOK_EVERY_S
    assert [c.secret for c in keys.all()] == ["two"]


def test_a_changed_file_is_read_again_within_a_second(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "key"
    file.write_text(" first\n")
    keys = Credentials([Source("f", file=file)], {}, clock=clock)
    assert keys.pick() == Credential("f", "first")
    file.write_text("second, and longer\n")
    assert keys.pick() == Credential("f", "first"), "files are looked at once a second at most"
    clock.now_s += LOOK_EVERY_S
    assert keys.pick() == Credential("f", "second, and longer")


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    clock, file, other = Clock(), tmp_path / "key", tmp_path / "new"
    file.write_text("first")
    keys = Credentials([Source("f", file=file)], {}, clock=clock)
    keys.all()
    other.write_text("later")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    clock.now_s += LOOK_EVERY_S
    assert [c.secret for c in keys.all()] == ["later"]


def test_a_file_that_is_gone_or_empty_or_no_text_leaves_the_last_key_in_force(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "key"
    keys = Credentials([Source("f", file=file)], {}, clock=clock)
    assert keys.all() == ()
    for content, secret in ((b"first", "first"), (b"", "first"), (b"\xff\xfe", "first"), (b"next", "next")):
        file.write_bytes(content)
        clock.now_s += LOOK_EVERY_S
        assert [c.secret for c in keys.all()] == [secret]
    file.unlink()
    clock.now_s += LOOK_EVERY_S
    assert [c.secret for c in keys.all()] == ["next"]


def test_a_key_added_while_running_takes_part_at_once_and_replaces_its_namesake() -> None:
    keys = Credentials([A], {})
    assert picked(keys, 2) == ["a", "a"]
    keys.add("b", "key-b")
    assert sorted(set(picked(keys, 4))) == ["a", "b"]
    keys.add("a", "key-a2")
    assert {c.name: c.secret for c in keys.all()} == {"a": "key-a2", "b": "key-b"}


def test_secrets_show_in_no_text() -> None:
    credential = Credential("a", "s3cret-value")
    source = Source("a", value="s3cret-value")
    keys = Credentials([source], {})
    keys.all()
    for thing in (credential, source, keys, keys.all(), [source]):
        assert "s3cret" not in f"{thing!r} {thing}"
