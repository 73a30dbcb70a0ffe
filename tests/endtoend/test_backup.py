"""Backup, restore and upgrade, by the commands an operator types, on real gates and real clusters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from comporta.store import places
from comporta.store.embedded import EmbeddedPostgres
from comporta.testing.servers import Postgres, short_folder
from support.serving import Served
from support.talking import ask, chat, until

CONFIG = """
providers:
  scripted: {}
models:
  # A dollar for a thousand tokens: an echoed word costs two thousandths of a dollar.
  scripted/echo: {price: {input: $1000, output: $1000}}
budgets:
  - {name: month, period: month, limit: $0.40}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def gate(folder: Path) -> Iterator[Served]:
    served = Served(folder, CONFIG)
    yield served
    if served.process is not None and served.process.poll() is None:
        served.stop()
    for pid in served.processes():
        os.kill(pid, signal.SIGKILL)


def comporta(gate: Served, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env={**gate.environment, **environment}, cwd=gate.folder,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def succeeded(gate: Served, *words: str, **environment: str) -> str:
    done = comporta(gate, *words, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def look(data: Path, statement: str) -> Any:
    """What a stopped gate's database holds."""
    server = EmbeddedPostgres(data)
    try:
        with psycopg.connect(server.start()) as connection:
            row = connection.execute(statement.encode()).fetchone()
            return row[0] if row else None
    finally:
        server.stop()


def spent(gate: Served) -> int:
    """Micro-dollars, as the ledger says."""
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select coalesce(sum(cost_microusd), 0)::bigint from rollup_hour").fetchone()
    return int(row[0]) if row else 0


def test_what_was_backed_up_while_serving_is_what_a_restore_brings_back(gate: Served) -> None:
    gate.start()
    made = ask(gate, "/admin/keys", {"name": "before", "team": "water"}).json
    calls = [chat(gate, "scripted/echo", f"{n}", key=made["secret"], max_tokens=1).call for n in range(30)]
    # Calls go on being answered meanwhile.
    stop = threading.Event()
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: keep_asking(gate, stop, statuses))
    thread.start()
    told = succeeded(gate, "backup", "kept.backup")
    stop.set()
    thread.join()
    file = gate.folder / "kept.backup"
    assert "tables" in told and "kept.backup" in told and "still wait" not in told
    assert file.stat().st_mode & 0o777 == 0o600
    assert statuses and set(statuses) == {200}
    assert [path.name for path in gate.folder.glob(".*.part")] == []
    later = ask(gate, "/admin/keys", {"name": "after"}).json
    assert chat(gate, "scripted/echo", "later", key=later["secret"], max_tokens=1).status == 200
    refused = comporta(gate, "restore", "kept.backup")
    assert refused.returncode == 1
    assert f"A gate runs on {gate.data}" in refused.stderr and "stop the gate first" in refused.stderr
    refused = comporta(gate, "upgrade")
    assert refused.returncode == 1 and "stop the gate first" in refused.stderr
    assert ask(gate, "/v1/models", key=later["secret"]).status == 200
    assert gate.stop() == 0

    told = succeeded(gate, "restore", "kept.backup")
    assert "is restored into" in told and "of" in told
    gate.start()
    assert ask(gate, f"/admin/calls/{calls[-1]}").status == 200, "calls that ended before the backup are in it"
    assert ask(gate, "/v1/models", key=made["secret"]).status == 200
    assert ask(gate, "/v1/models", key=later["secret"]).status == 401
    # The budget goes on from what the restored ledger says, exactly.
    left = 400_000 - spent(gate)
    assert 100_000 < left <= 400_000 - 30 * 2_000
    answered = 0
    while (answer := chat(gate, "scripted/echo", "word", max_tokens=1)).status == 200:
        answered += 1
    assert answer.status == 402
    assert until(lambda: spent(gate) == 400_000 - left + answered * 2_000)
    # What is held for a call before it is asked is more than it costs: the last one needs that much room.
    assert left - answered * 2_000 < 50_000


def keep_asking(gate: Served, stop: threading.Event, statuses: list[int]) -> None:
    while not stop.is_set():
        statuses.append(chat(gate, "scripted/echo", "meanwhile", max_tokens=1).status)
        time.sleep(0.05)


def test_a_backup_of_a_stopped_gate_holds_what_lay_in_its_spool(gate: Served, folder: Path) -> None:
    gate.start()
    assert gate.process is not None
    calls = [chat(gate, "scripted/echo", f"{n}").call for n in range(20)]
    gate.process.kill()
    gate.process.wait()
    assert until(lambda: not gate.processes())
    assert "still wait" not in succeeded(gate, "backup", "kept.backup")
    elsewhere = {"COMPORTA_DATA": str(folder / "elsewhere")}
    told = succeeded(gate, "restore", "kept.backup", **elsewhere)
    assert "is restored into" in told
    names = ", ".join(f"'{call}'" for call in calls)
    assert look(folder / "elsewhere", f"select count(*) from call where id in ({names})") == len(calls)


def test_a_bad_file_is_refused_and_the_database_stays_as_it_was(gate: Served, folder: Path) -> None:
    gate.start()
    ask(gate, "/admin/keys", {"name": "precious"})
    assert gate.stop() == 0
    succeeded(gate, "backup", "good.backup")
    good = (folder / "good.backup").read_bytes()
    (folder / "cut.backup").write_bytes(good[: len(good) // 2])
    (folder / "text.backup").write_text("This is no backup.\n")
    middle = len(good) * 3 // 4
    (folder / "rotten.backup").write_bytes(good[:middle] + bytes(2000) + good[middle + 2000 :])
    for name in ("cut.backup", "text.backup", "rotten.backup", "absent.backup"):
        refused = comporta(gate, "restore", name)
        assert refused.returncode == 1, name
        assert refused.stderr.startswith("comporta: ") and name in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    assert look(gate.data, "select count(*) from virtual_key where name = 'precious'") == 1
    assert look(gate.data, "select count(*) from pg_database where datname like 'comporta_%'") == 0


def test_a_backup_that_fails_leaves_the_earlier_file_alone(gate: Served, folder: Path) -> None:
    (folder / "kept.backup").write_text("the one from yesterday")
    refused = comporta(gate, "backup", "kept.backup")
    assert refused.returncode == 1 and "There is no database" in refused.stderr
    (folder / "comporta.yaml").write_text("database: {url: 'postgresql://nobody@127.0.0.1:9/none'}")
    refused = comporta(gate, "backup", "kept.backup")
    assert refused.returncode == 1 and "does not answer" in refused.stderr
    assert (folder / "kept.backup").read_text() == "the one from yesterday"
    refused = comporta(gate, "backup", "nowhere/kept.backup")
    assert refused.returncode == 1 and "There is no folder" in refused.stderr


def test_a_server_of_their_own_is_backed_up_and_left_to_its_keeper_to_restore(
    gate: Served, folder: Path, postgres: Postgres
) -> None:
    dsn = postgres.create_database()
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    (folder / "comporta.yaml").write_text(f"database: {{url: {json.dumps(dsn)}}}")
    try:
        assert "tables" in succeeded(gate, "backup", "theirs.backup")
        assert "up to date" in succeeded(gate, "upgrade")
        refused = comporta(gate, "restore", "theirs.backup")
        assert refused.returncode == 2
        assert "pg_restore --dbname=" in refused.stderr and str(parts["password"]) not in refused.stderr
    finally:
        postgres.drop_database(dsn)
    # It can be taken over into a database of our own.
    (folder / "comporta.yaml").write_text("")
    succeeded(gate, "restore", "theirs.backup")
    assert look(gate.data, "select count(*) > 3 from comporta_migration") is True


# ---- upgrade --------------------------------------------------------------------------------------------------------

OLD_PASSWORD = "of-the-old-cluster"


def old_cluster(data: Path, stop: str) -> None:
    """A cluster of PostgreSQL 16 with vectors in it, stopped in good order (`fast`) or not (`immediate`)."""
    data.mkdir(mode=0o711)
    home, account = places.find_home(data.resolve(), print)
    places.make_home(home, account)
    binaries = places.find_binaries(account, print, places.OLDER_INSTALLS["16"])
    password = data / "postgres.password"
    password.write_text(OLD_PASSWORD + "\n")
    password.chmod(0o600)
    passed = home / "password"
    passed.write_text(OLD_PASSWORD + "\n")
    places.give(passed, account)
    cluster, sockets = home / "16", places.socket_folder(home, account)
    options = f"-c listen_addresses= -c unix_socket_directories='{sockets}' -c fsync=off"

    def run(program: str, *words: str | Path) -> None:
        subprocess.run(
            [binaries / program, "-D", cluster, *words], check=True, cwd="/", stdout=subprocess.DEVNULL,
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip

    run("initdb", "-U", "comporta", "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile", passed)
    passed.unlink()
    run("pg_ctl", "-w", "-l", home / "16.log", "-o", options, "start")
    dsn = make_conninfo(host=str(sockets), user="comporta", password=OLD_PASSWORD, dbname="postgres")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create database comporta")
    with psycopg.connect(make_conninfo(dsn, dbname="comporta"), autocommit=True) as connection:
        connection.execute("create extension vector")
        connection.execute("create table kept (id integer primary key, place vector(3))")
        connection.execute("insert into kept select i, array[i, i, 1]::vector from generate_series(1, 500) i")
        connection.execute("create index on kept using hnsw (place vector_l2_ops)")
    run("pg_ctl", "-w", "-m", stop, "stop")


def test_an_older_cluster_is_upgraded_with_its_vectors_and_kept(gate: Served) -> None:
    # Not stopped in good order: it must recover first.
    old_cluster(gate.data, "immediate")
    refused = comporta(gate, "serve")
    assert refused.returncode == 2
    assert "is one of PostgreSQL 16" in refused.stderr + refused.stdout
    assert "comporta upgrade" in refused.stderr + refused.stdout
    told = succeeded(gate, "upgrade")
    assert "PostgreSQL 16 → 18" in told and "migration 0100_records.sql: applied" in told and "up to date" in told
    assert "The old files stay in" in told
    assert int(look(gate.data, "show server_version_num")) >= 180_000
    assert look(gate.data, "select count(*) from kept") == 500
    assert look(gate.data, "select id from kept order by place <-> '[7,7,1]' limit 1") == 7
    home, _ = places.find_home(gate.data.resolve(), print)
    assert places.clusters(home) == ["16", "18"] and not (home / "upgrading").exists()
    again = succeeded(gate, "upgrade")
    assert "applied" not in again and "up to date" in again


def test_an_upgrade_that_fails_leaves_the_old_cluster_as_it_was(gate: Served) -> None:
    old_cluster(gate.data, "fast")
    (gate.data / "postgres.password").write_text("not the password\n")
    refused = comporta(gate, "upgrade")
    assert refused.returncode == 2
    assert "the old database is as it was" in refused.stderr and "password" in refused.stderr
    home, _ = places.find_home(gate.data.resolve(), print)
    assert places.clusters(home) == ["16"] and not (home / "upgrading").exists()
    (gate.data / "postgres.password").write_text(OLD_PASSWORD + "\n")
    assert "up to date" in succeeded(gate, "upgrade")
    assert look(gate.data, "select count(*) from kept") == 500


def test_a_cluster_of_a_newer_version_is_not_touched(gate: Served) -> None:
    home = gate.data / "postgres"
    gate.data.mkdir(mode=0o711)
    made, account = places.find_home(gate.data.resolve(), print)
    places.make_home(made, account)
    assert made == home.resolve()
    (home / "99").mkdir()
    (home / "99" / "PG_VERSION").write_text("99\n")
    for words in ("serve", "upgrade"):
        refused = comporta(gate, words)
        assert refused.returncode == 2 and "was made by PostgreSQL 99" in refused.stderr + refused.stdout
    assert places.clusters(home) == ["99"]
