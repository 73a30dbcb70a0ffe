"""The supervisor of the embedded PostgreSQL, with real processes."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from comporta.errors import ConfigError
from comporta.store import places, processes
from comporta.store.embedded import EmbeddedPostgres
from comporta.testing.servers import FAST, short_folder

#: A supervisor in a process of its own: starts the server, tells where, and waits to be killed.
SUPERVISOR = """
import sys, time
from pathlib import Path
from comporta.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
print(server.start(), flush=True)
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A data folder whose database was made and stopped: copying it takes less than making another."""
    with short_folder() as made:
        server = EmbeddedPostgres(made / "data", settings=FAST)
        server.start()
        server.stop()
        yield made / "data"


@pytest.fixture
def data(folder: Path, prepared: Path) -> Path:
    """A data folder with an empty database."""
    subprocess.run(["cp", "-a", prepared, folder / "data"], check=True)
    return folder / "data"


def started(data: Path, *before: str) -> tuple[subprocess.Popen[str], str, int]:
    argv = [*before, sys.executable, "-c", SUPERVISOR, str(data)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    dsn, pid = process.stdout.readline().strip(), process.stdout.readline().strip()
    assert dsn, "the supervisor did not start the server"
    return process, dsn, int(pid)


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def ask(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def test_a_second_start_keeps_the_data(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    try:
        ask(server.start(), "create table kept as select 42 as n")
        server.stop()
        dsn = server.start()
        assert ask(dsn, "select n from kept") == (42,)
        assert ask(dsn, "select current_setting('synchronous_commit')") == ("on",)
    finally:
        server.stop()
    assert not server.alive


def test_starting_twice_is_one_server_and_stopping_twice_is_fine(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    try:
        assert server.start() == server.start()
    finally:
        server.stop()
        server.stop()


def test_killing_the_supervisor_takes_the_server_down_and_the_next_start_finds_the_data(data: Path) -> None:
    process, dsn, pid = started(data)
    ask(dsn, "create table kept as select 42 as n")
    process.kill()
    process.communicate()
    assert processes.gone([pid], 10.0)
    server = EmbeddedPostgres(data, settings=FAST)
    try:
        assert ask(server.start(), "select n from kept") == (42,)
    finally:
        server.stop()


def test_a_start_right_after_the_kill_waits_for_the_old_server(data: Path) -> None:
    process, dsn, pid = started(data)
    connection = psycopg.connect(dsn)
    try:
        connection.execute("create table lost (n int)")
        process.kill()
        server = EmbeddedPostgres(data, settings=FAST)
        try:
            assert ask(server.start(), "select to_regclass('lost')") == (None,)
            assert not processes.alive(pid)
        finally:
            server.stop()
    finally:
        connection.close()
        ended(process)


def test_a_server_left_running_is_ended_and_replaced(folder: Path, data: Path) -> None:
    """The tie to a dead supervisor can be missing (another kernel): the next start must still get its folder."""
    first = EmbeddedPostgres(data, settings=FAST)
    first.start()
    first.stop()
    binaries = places.find_binaries(first._account, print)
    account = first._account
    with (folder / "left.log").open("wb") as log:
        left = subprocess.Popen(
            [binaries / "postgres", "-D", first._cluster, "-c", "listen_addresses=", "-c",
             f"unix_socket_directories={first._sockets}"],
            stdout=log, stderr=log, cwd="/", user=account.uid if account else None,
            group=account.gid if account else None, extra_groups=[] if account else None,
        )  # fmt: skip
    try:
        assert wait_for(lambda: "ready" in read(first._cluster / "postmaster.pid"))
        server = EmbeddedPostgres(data, settings=FAST)
        try:
            assert ask(server.start(), "select 1") == (1,)
            assert server.pid != left.pid
            assert left.wait(10) == 0
        finally:
            server.stop()
    finally:
        left.kill()


def test_children_that_outlive_their_server_are_ended_before_the_next_one_starts(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    dsn = server.start()
    with psycopg.connect(dsn) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        assert processes.alive(backend)
        try:
            assert ask(server.start(), "select 1") == (1,)
            assert not processes.alive(backend)
        finally:
            server.stop()
            connection.close()


def test_a_stale_process_id_of_somebody_else_is_left_alone(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    server.start()
    lines = read(server._cluster / "postmaster.pid").splitlines()
    account = server._account
    server._child.signal(signal.SIGKILL)  # type: ignore[union-attr]
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"], user=account.uid if account else None)
    try:
        (server._cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (server._sockets / ".s.PGSQL.5432.lock").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        for file in (server._cluster / "postmaster.pid", server._sockets / ".s.PGSQL.5432.lock"):
            places.give(file, account)
        try:
            assert ask(server.start(), "select 1") == (1,)
        finally:
            server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_second_supervisor_on_the_same_folder_hears_why_not(folder: Path, data: Path) -> None:
    one = EmbeddedPostgres(data, settings=FAST)
    dsn = one.start()
    try:
        other = EmbeddedPostgres(data, settings=FAST)
        with pytest.raises(ConfigError, match="Another Comporta already runs") as caught:
            other.start()
        assert caught.value.code == "data_folder_in_use"
        other.stop()
        assert ask(dsn, "select 1") == (1,)
        assert EmbeddedPostgres(data).attach() == dsn
    finally:
        one.stop()
    assert EmbeddedPostgres(data).attach() is None
    assert EmbeddedPostgres(folder / "nothing").attach() is None
    assert not (folder / "nothing").exists()


@pytest.mark.parametrize("name", ["with some spaces", "a,comma 'and' \"quotes\"", "é" * 60 + "/" + "long" * 30])
def test_any_data_folder_works(folder: Path, name: str) -> None:
    server = EmbeddedPostgres(folder / name / "data", settings=FAST)
    try:
        assert ask(server.start(), "select 1") == (1,)
        assert server._sockets.stat().st_mode & 0o777 == 0o700
        assert EmbeddedPostgres(folder / name / "data").attach() == server.start()
    finally:
        server.stop()


def test_nobody_gets_in_without_the_password_and_others_cannot_read_it(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", settings=FAST)
    dsn = server.start()
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(dsn, password="wrong").close()
        assert (folder / "data" / "postgres.password").stat().st_mode & 0o777 == 0o600
        assert (folder / "data" / "postgres.log").stat().st_mode & 0o777 == 0o600
        assert server._home.stat().st_mode & 0o777 == 0o700
        assert not (server._home / "password").exists()
    finally:
        server.stop()


def test_a_lost_password_is_replaced_and_the_data_stays(data: Path) -> None:
    said: list[str] = []
    server = EmbeddedPostgres(data, said.append, settings=FAST)
    try:
        ask(server.start(), "create table kept as select 42 as n")
        server.stop()
        (data / "postgres.password").unlink()
        assert ask(server.start(), "select n from kept") == (42,)
        assert any("lost" in text for text in said)
    finally:
        server.stop()


def test_a_server_that_died_is_brought_back(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    try:
        ask(server.start(), "create table kept as select 42 as n")
        os.kill(server.pid, signal.SIGKILL)
        assert wait_for(lambda: not server.alive)
        assert ask(server.start(), "select n from kept") == (42,)
    finally:
        server.stop()


def test_a_start_cut_short_leaves_nothing_half_made(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", settings=FAST)
    data = places.prepare_data_folder(folder / "data")
    home, account = places.find_home(data, print)
    places.make_home(home, account)
    (home / "draft").mkdir()
    (home / "draft" / "PG_VERSION").write_text("18")
    try:
        assert ask(server.start(), "select 1") == (1,)
        assert not (home / "draft").exists()
    finally:
        server.stop()


def test_a_server_that_cannot_start_says_what_its_log_says(data: Path) -> None:
    server = EmbeddedPostgres(data, settings={"shared_buffers": "plenty"})
    with pytest.raises(Exception, match="shared_buffers"):
        server.start()
    assert not server.alive
    again = EmbeddedPostgres(data, settings=FAST)
    try:
        assert ask(again.start(), "select 1") == (1,)
    finally:
        again.stop()


async def test_a_server_started_from_a_thread_outlives_that_thread(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    loop = asyncio.new_event_loop()
    try:
        dsn = await asyncio.to_thread(lambda: loop.run_until_complete(asyncio.to_thread(server.start)))
        await asyncio.to_thread(lambda: loop.run_until_complete(loop.shutdown_default_executor()))
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(ask, dsn, "select 1") == (1,)
    finally:
        loop.close()
        await asyncio.to_thread(server.stop)


def test_the_servers_environment_holds_none_of_our_secrets(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-the-database")
    monkeypatch.setenv("PGPASSWORD", "wrong")
    server = EmbeddedPostgres(data, settings=FAST)
    try:
        assert ask(server.start(), "select 1") == (1,)
        assert b"sk-not-for" not in Path(f"/proc/{server.pid}/environ").read_bytes()
    finally:
        server.stop()


def test_a_data_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigError, match="COMPORTA_DATA"):
        EmbeddedPostgres(folder / "file" / "data").start()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be somebody else")
def test_an_ordinary_user_can_run_it(folder: Path) -> None:
    account = pwd.getpwnam("nobody")
    os.chown(folder, account.pw_uid, account.pw_gid)
    # The interpreter may lie in root's own folder, so this ordinary user may read more than most.
    process, dsn, pid = started(
        folder / "data", "setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    )  # fmt: skip
    try:
        assert ask(dsn, "select 1") == (1,)
        assert Path(f"/proc/{pid}").stat().st_uid == account.pw_uid
        assert (folder / "data").stat().st_mode & 0o777 == 0o700
    finally:
        ended(process)
    assert processes.gone([pid], 10.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_roots_closed_data_folder_puts_the_cluster_where_its_user_gets_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SYSTEM_HOME", folder / "system")
    data = folder / "root only"
    data.mkdir(mode=0o700)
    said: list[str] = []
    server = EmbeddedPostgres(data, said.append, settings=FAST)
    try:
        ask(server.start(), "create table kept as select 42 as n")
        assert server._home.parent == folder / "system"
        assert any(str(server._home) in text for text in said)
        server.stop()
        # Opened later, the folder must not get a second, empty database.
        data.chmod(0o711)
        again = EmbeddedPostgres(data, settings=FAST)
        assert ask(again.start(), "select n from kept") == (42,)
        again.stop()
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_cluster_that_its_user_cannot_reach_any_more_is_told_not_replaced(data: Path) -> None:
    server = EmbeddedPostgres(data, settings=FAST)
    server.start()
    server.stop()
    (data).chmod(0o700)
    with pytest.raises(ConfigError, match=r"chmod o\+x"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    closed.mkdir()
    (closed / places.PACKAGE).symlink_to(places._package())
    (closed / f"{places.PACKAGE}.libs").symlink_to(places._package().with_name(f"{places.PACKAGE}.libs"))
    closed.chmod(0o700)
    monkeypatch.setattr(places, "_package", lambda install: closed / places.PACKAGE)
    monkeypatch.setattr(places, "SYSTEM_HOME", folder / "system")
    said: list[str] = []
    server = EmbeddedPostgres(data, said.append, settings=FAST)
    try:
        assert ask(server.start(), "select 1") == (1,)
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(folder / "system")
        assert any("copied" in text for text in said)
    finally:
        server.stop()


def wait_for(what: object, timeout_s: float = 60.0) -> bool:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if what():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
