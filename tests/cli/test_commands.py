"""The commands that talk to a gate, typed at a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Type
from support.serving import Served
from support.talking import until


def test_a_key_is_made_listed_rotated_and_revoked(at_gate: Type) -> None:
    made = at_gate("key", "create", "app", "--team", "support", "--tag", "a=b", "--allow", "house", "--expires", "30d")
    assert made.code == 0
    assert made.out.startswith("cmp-") and made.out.count("\n") == 1
    assert "shown this once" in made.err
    listed = at_gate("key", "list")
    assert "app" in listed.out and "support" in listed.out
    assert made.out.strip() not in listed.out
    rotated = at_gate("key", "rotate", "app", "--overlap", "1h")
    assert rotated.code == 0 and rotated.out != made.out
    assert "is revoked" in at_gate("key", "revoke", "app").out
    rows = json.loads(at_gate("key", "list", "--json").out)
    assert "app" not in [row["name"] for row in rows]
    rows = json.loads(at_gate("key", "list", "--json", "--revoked").out)
    assert [row["state"] for row in rows if row["name"] == "app"] == ["revoked"]


def test_a_budget_is_made_listed_shown_and_deleted(at_gate: Type) -> None:
    made = at_gate("budget", "create", "monthly", "--limit", "$12.50", "--team", "support")
    assert made.code == 0, made.err
    assert "$12.50 a month for team support" in made.out
    assert "$12.50" in at_gate("budget", "list").out
    shown = at_gate("budget", "show", "monthly")
    assert "enforced  yes" in shown.out
    [row] = json.loads(at_gate("budget", "list", "--json").out)
    assert row["limit_microusd"] == 12_500_000
    assert at_gate("budget", "delete", "monthly").code == 0
    assert at_gate("budget", "list").out == ""


def test_a_budget_of_a_key_takes_the_keys_name(at_gate: Type) -> None:
    at_gate("key", "create", "payer")
    rows = json.loads(at_gate("key", "list", "--json").out)
    row = json.loads(at_gate("budget", "create", "of-payer", "--limit", "1", "--key", "payer", "--json").out)
    assert row["value"] in [one["id"] for one in rows if one["name"] == "payer"]
    at_gate("budget", "delete", "of-payer")


def test_a_model_is_added_shown_asked_and_removed(at_gate: Type) -> None:
    added = at_gate("models", "add", "small", "offline/extractive", "--input-price", "0.15", "--param", "seed=7")
    assert "small now means offline/extractive" in added.out
    shown = at_gate("models", "show", "small")
    assert "input=$0.15" in shown.out and "seed=7" in shown.out
    assert "small" in at_gate("models", "list", "--source", "api").out
    answer = at_gate("call", "-m", "small", "-s", "A gate lets water through.", "What does a gate do?")
    assert answer.code == 0, answer.err
    assert at_gate("models", "remove", "small").code == 0
    gone = at_gate("models", "show", "small")
    assert gone.code == 1 and "There is no model 'small'" in gone.err


def test_a_call_is_answered_streamed_and_whole_with_its_usage(at_gate: Type) -> None:
    asked = ("call", "-m", "house", "-s", "Comporta means sluice gate.", "-u", "What does Comporta mean?")
    assert until(lambda: "shared words alone" not in at_gate(*asked).out), "the embedding model never came"
    streamed, whole = at_gate(*asked), at_gate(*asked, "--no-stream")
    assert streamed.code == whole.code == 0
    assert "Comporta means sluice gate." in streamed.out
    assert streamed.out == whole.out
    for told in (streamed, whole):
        assert "offline/extractive" in told.err and "tokens in" in told.err and "$0.00" in told.err
    reply = json.loads(at_gate(*asked, "--json").out)
    assert reply["object"] == "chat.completion"


def test_what_is_piped_in_and_files_are_part_of_the_question(at_gate: Type, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("The lighthouse was built in 1871 by the harbour board.")
    piped = at_gate("call", "When was the lighthouse built?", stdin="The lighthouse was built in 1902.")
    assert "1902" in piped.out
    filed = at_gate("call", "-f", str(notes), "When was the lighthouse built?")
    assert "1871" in filed.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call",), "give a prompt"),
        (("call", "x", "-f", "/nowhere"), "/nowhere"),
        (("call", "x", "--param", "temperature"), "not name=value"),
        (("key", "create", "x", "--tag", "a"), "not name=value"),
        (("key", "create", "x", "--expires", "soon"), "duration"),
        (("budget", "create", "x", "--limit", "much"), "dollars"),
        (("budget", "create", "x", "--limit", "-5"), "dollars"),
        (("models", "add", "x", "extractive"), "not provider/model"),
        (("key",), ""),
        (("kye", "list"), "No such command"),
        (("serve", "--port", "70000"), "65535"),
    ],
)
def test_wrong_use_is_exit_code_2(at_gate: Type, arguments: tuple[str, ...], told: str) -> None:
    result = at_gate(*arguments)
    assert result.code == 2
    assert told in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call", "-m", "huose", "Hi"), "huose"),
        (("key", "revoke", "nobody"), "There is no key named nobody"),
        (("budget", "show", "none"), "There is no budget named none"),
        (("models", "remove", "house"), "comporta.yaml line"),
        (("models", "add", "x", "opanai/gpt"), "There is no provider 'opanai'"),
        (("call", "-i", "/nowhere.png", "Hi"), "/nowhere.png can't be read"),
        (("call", "-i", "/etc/hosts", "Hi"), "not named like an image"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(at_gate: Type, arguments: tuple[str, ...], told: str) -> None:
    result = at_gate(*arguments)
    assert result.code == 1
    assert told in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""


def test_without_a_gate_the_command_to_type_is_told(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPORTA_DATA", str(tmp_path / "none"))
    result = typed("key", "list")
    assert result.code == 1
    assert "comporta serve" in result.err and str(tmp_path / "none") in result.err


def test_a_gate_elsewhere_is_asked_by_its_url_and_key(
    typed: Type, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COMPORTA_DATA", str(tmp_path))
    monkeypatch.setenv("COMPORTA_URL", f"{served.url}/v1")
    assert "COMPORTA_KEY is not" in typed("key", "list").err
    monkeypatch.setenv("COMPORTA_KEY", served.key)
    assert typed("key", "list").code == 0
    monkeypatch.setenv("COMPORTA_KEY", "cmp-wrong")
    wrong = typed("key", "list")
    assert wrong.code == 1 and "key" in wrong.err


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://127.0.0.1:9", "can't be reached"), ("gate.example", "looks like"), ("http://x:port", "port")],
)
def test_a_bad_address_is_told(typed: Type, monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    monkeypatch.setenv("COMPORTA_URL", url)
    monkeypatch.setenv("COMPORTA_KEY", "cmp-x")
    result = typed("key", "list")
    assert result.code == 1
    assert told in result.err


def test_a_key_is_changed_in_part_and_keeps_its_secret(at_gate: Type) -> None:
    made = json.loads(at_gate("key", "create", "changing", "--team", "red", "--tag", "a=1", "--json").out)
    done = at_gate(
        "key", "update", "changing", "--name", "changed", "--environment", "prod", "--requests-per-minute", "7",
        "--allow", "house", "--expires", "30d",
    )  # fmt: skip
    assert done.code == 0 and done.out.startswith("The key changed (") and "environment" in done.out
    row = json.loads(at_gate("key", "update", "changed", "--clear", "team", "--clear", "tags", "--json").out)
    assert (row["id"], row["shown"]) == (made["id"], made["shown"])
    assert (row["team"], row["tags"], row["environment"]) == (None, {}, "prod")
    assert row["requests_per_minute"] == 7 and row["allow"] == ["house"] and row["expires_at"] is not None
    cleared = [word for name in ("requests-per-minute", "allow", "expires") for word in ("--clear", name)]
    row = json.loads(at_gate("key", "update", "changed", *cleared, "--json").out)
    assert (row["requests_per_minute"], row["allow"], row["expires_at"]) == (None, [], None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what to change"), (("--clear", "name"), "is none of team"),
        (("--team", "red", "--clear", "team"), "given and cleared"), (("--expires", "soon"), "--expires"),
    ],
)  # fmt: skip
def test_a_change_of_a_key_that_says_nothing_or_too_much_is_wrong_use(
    at_gate: Type, words: tuple[str, ...], told: str
) -> None:
    done = at_gate("key", "update", "whatever", *words)
    assert done.code == 2 and told in done.err
