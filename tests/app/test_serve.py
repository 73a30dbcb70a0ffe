"""What `serve` makes sure of before it starts anything, and where it looks for the configuration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.loaded import Places, load_settings, waiting
from comporta.app.serve import Options, Plan, listening_address, serve
from comporta.errors import ComportaError


def test_a_port_that_another_gate_shares_with_its_workers_is_refused() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ComportaError, match=f"127.0.0.1 port {port}: Address already in use.*COMPORTA_PORT"):
            listening_address(Plan("127.0.0.1", port, 1))
    assert listening_address(Plan("127.0.0.1", port, 1)) == "127.0.0.1"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(ComportaError, match="can't listen on") as caught:
        listening_address(Plan(host, 8437, 1))
    assert caught.value.code == "cannot_listen"


def test_a_host_may_be_a_name() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert listening_address(Plan("localhost", port, 1)) in ("127.0.0.1", "::1")


def test_a_configuration_that_is_written_after_the_start_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = Places(None, Folder(tmp_path / "data"))
    assert load_settings(places, {}).value.server.port == 8080
    (tmp_path / "comporta.yaml").write_text("server: {port: 8437}\n")
    assert load_settings(places, {}).value.server.port == 8437


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes: {a: {model: opnai/x}}", "routes.a.model: there is no provider 'opnai'"),
        ("providers: {opnai: {}}", "did you mean 'openai'"),
        ("server: {workers: 3}", "server.workers: 3 workers need Redis"),
        ("database: {url: 'mysql://joe:planted-word@host/x'}", "database.url: is not a PostgreSQL address"),
        ("redis: {url: nonsense}", "redis.url: is not a Redis address"),
        ("outgoing: {proxy: nonsense}", "outgoing.proxy: is not the address of an HTTP proxy"),
        ("outgoing: {ca_file: /no/such.pem}", "outgoing.ca_file: can't be read: No such file"),
        ("outgoing: {ca_file: comporta.yaml}", "outgoing.ca_file: is not a PEM file"),
        ("providers: {openai: {credentials: [{name: a}]}}", "give exactly one of `key`, `env` and `file`"),
        ("providers: {openai: {credentials: [{key: a, env: A}]}}", "give exactly one of `key`, `env` and `file`"),
        ("providers: {openai: {credentials: [{key: a}, {key: b}]}}", "2 credentials are named 'default'"),
        ("budgets: [{name: x, limit: 5}, {name: x, limit: 6}]", "the name of budgets[1] is taken by an earlier one"),
        ("routes: {a: {model: offline/extractive}, b: {model: a}}", "routes.b.model: 'a' is neither"),
    ],
)
def test_a_mistake_of_any_kind_ends_serve_at_once_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comporta.yaml").write_text(text + "\n")
    lines: list[str] = []
    assert serve(Options(data=tmp_path / "data"), lines.append) == 2
    (line,) = lines
    assert line.startswith("comporta.yaml:1: ")
    assert told in line
    assert "planted-word" not in line
    assert not (tmp_path / "data").exists()


def test_what_only_a_restart_puts_in_force_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "comporta.yaml"
    places = Places(file, Folder(tmp_path / "data"))
    file.write_text("server: {port: 8437}\n")
    begun = load_settings(places, {})
    file.write_text(
        "routes: {a: {model: offline/extractive}}\nserver:\n  port: 8438\nrecords: {keep: 1d, content: off}\n"
    )
    assert waiting(begun, load_settings(places, {})) == [f"{file}:3 server.port", f"{file}:4 records.keep"]
    file.write_text("server: {port: 8437}\nrecords: {content: off}\n")
    assert waiting(begun, load_settings(places, {})) == []
