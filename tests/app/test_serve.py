"""What `serve` makes sure of before it starts anything, and where it looks for the configuration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.loaded import Places, load_settings
from comporta.app.serve import Plan, listening_address
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
