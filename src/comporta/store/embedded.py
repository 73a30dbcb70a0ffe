"""The private PostgreSQL server that comes in a wheel: made, started, watched over and stopped by us."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from comporta.errors import ConfigError, Unavailable
from comporta.store import places, processes
from comporta.store.places import CLUSTER, PORT, Say
from comporta.store.processes import Account, Child

NAME = "comporta"
PASSWORD_FILE = "postgres.password"  # noqa: S105  the file's name
LOG_FILE = "postgres.log"
LOG_LIMIT_BYTES = 10_000_000
LOCK_LIMIT_S = 2.0
START_LIMIT_S = 300.0
STOP_LIMIT_S = 60.0
LEFT_LIMIT_S = 5.0
SAY_AFTER_S = 5.0
POLL_S = 0.005

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}

HAS_DATABASE = "select 1 from pg_database where datname = %s"


class EmbeddedPostgres:
    """One PostgreSQL 18 for one data folder, reachable over a Unix socket only and by password only.

    `start` and `stop` block; call them from a thread where a loop runs. `start` again after the server died brings it
    back. `say` gets what a user should know (where the database lives, that a start takes long).
    """

    def __init__(
        self, data_dir: Path, say: Say = lambda text: None, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self._data_dir = data_dir
        self._say = say
        self._settings = {**SETTINGS, **(settings or {})}
        self._home = data_dir / "postgres"
        self._sockets = self._home / "run"
        self._account: Account | None = None
        self._lock: int | None = None
        self._child: Child | None = None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The server's process id; 0 before the start."""
        return self._child.pid if self._child else 0

    def start(self) -> str:
        """Start the server, made first if need be; the DSN of its database. Does nothing where it runs."""
        try:
            if not self.alive:
                self._start()
            return self._dsn()
        except OSError as error:
            self.stop()
            raise ConfigError(f"The embedded database can't start: {error}.") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server cleanly (open transactions are rolled back); twice is fine."""
        child, self._child = self._child, None
        if child is not None:
            child.signal(signal.SIGINT)
            if not child.wait(STOP_LIMIT_S):
                self._say(f"The database did not stop within {STOP_LIMIT_S:.0f} s; it is cut off and recovers later.")
                child.signal(signal.SIGQUIT)
                child.wait(STOP_LIMIT_S)
            if self._sockets.parent != self._home:
                with contextlib.suppress(OSError):
                    self._sockets.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def attach(self) -> str | None:
        """The DSN of a server that another process runs on this data folder; None where there is none."""
        if not self._password_file.is_file():
            return None
        self._data_dir = self._data_dir.resolve()
        self._home, _ = places.find_home(self._data_dir, self._say)
        pid = _read_pid_file(self._cluster)
        if len(pid) < 8 or pid[7] != "ready" or not self._is_ours(int(pid[0])):
            return None
        self._sockets = Path(pid[4])
        return self._dsn()

    @property
    def _cluster(self) -> Path:
        return self._home / CLUSTER

    @property
    def _log(self) -> Path:
        return self._data_dir / LOG_FILE

    def _start(self) -> None:
        self._data_dir = places.prepare_data_folder(self._data_dir)
        self._home, self._account = places.find_home(self._data_dir, self._say)
        places.make_home(self._home, self._account)
        self._take_lock()
        self._clear_leftover()
        binaries = places.find_binaries(self._account, self._say)
        if not self._cluster.is_dir():
            self._demand_none_of_another_version()
            self._make_cluster(binaries)
        elif not self._password_file.is_file():
            self._renew_password(binaries)
        self._launch(binaries)
        self._await_ready()
        self._ensure_database()

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        path = self._home / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(lock):
            os.close(lock)
            raise ConfigError(
                f"Another Comporta already runs on the data folder {self._data_dir}."
                " Stop it, or choose another folder (COMPORTA_DATA).",
                code="data_folder_in_use",
            )
        places.give(path, self._account)
        self._lock = lock

    def _clear_leftover(self) -> None:
        """End a server that a crash of ours left running, and forget a process id that now is someone else's.

        Only the holder of the lock comes here, so nobody else can mean to keep that server.
        """
        pid = _read_pid_file(self._cluster)
        server = int(pid[0]) if pid else 0
        if server and self._is_ours(server):
            processes.send([server], signal.SIGINT)
            processes.gone([server], STOP_LIMIT_S)
        for number in (signal.SIGQUIT, signal.SIGKILL):
            left = list(processes.working_in(self._cluster))
            processes.send(left, number)
            processes.gone(left, LEFT_LIMIT_S)
        # PostgreSQL takes any living process of that number for a server and would refuse to start.
        if server and processes.recognisable() and processes.alive(server) and not self._is_ours(server):
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            for lock in Path(pid[4]).glob(".s.PGSQL.*.lock") if len(pid) > 4 else ():
                lock.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        return processes.alive(pid) and str(self._cluster) in processes.command_line(pid)

    def _demand_none_of_another_version(self) -> None:
        """An empty database beside the old one would look like the loss of everything."""
        there = places.clusters(self._home)
        if not there:
            return
        if int(there[-1]) > int(CLUSTER):
            raise ConfigError(
                f"The database in {self._home} was made by PostgreSQL {there[-1]}, and this Comporta brings {CLUSTER}:"
                " it belongs to a newer one. Update this one.",
                code="database_too_new",
            )
        raise ConfigError(
            f"The database in {self._home} is one of PostgreSQL {there[-1]}, and this Comporta brings {CLUSTER}."
            " Bring it over once with `comporta upgrade`; the old files are kept.",
            code="database_upgrade_needed",
        )

    def _make_cluster(self, binaries: Path) -> None:
        """Make the database files, in a draft folder first: a start cut short leaves nothing half made."""
        draft = self._home / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        with self._password_for_initdb() as password:
            self._run(
                binaries / "initdb", "-D", draft, "-U", NAME, "-E", "UTF8", "--auth=scram-sha-256", "--pwfile",
                password, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8",
            )  # fmt: skip
        draft.rename(self._cluster)

    @contextlib.contextmanager
    def _password_for_initdb(self) -> Iterator[Path]:
        """The password in a file that the server's user can read, for as long as it is needed."""
        password = self._home / "password"
        password.unlink(missing_ok=True)
        _write_private(password, self._new_password())
        places.give(password, self._account)
        try:
            yield password
        finally:
            password.unlink(missing_ok=True)

    @property
    def _password_file(self) -> Path:
        return self._data_dir / PASSWORD_FILE

    def _new_password(self) -> str:
        password = secrets.token_hex(24)
        self._password_file.unlink(missing_ok=True)
        _write_private(self._password_file, password)
        return password

    def _renew_password(self, binaries: Path) -> None:
        """Set a new password where its file was lost; a server without connections takes it from its own user."""
        self._say(f"The database's password file {self._password_file} was lost; it gets a new one.")
        password = self._new_password()
        try:
            statement = f"alter role {NAME} password '{password}';\n"
            self._run(binaries / "postgres", "--single", "-j", "-D", self._cluster, "postgres", feed=statement)
        except BaseException:
            self._password_file.unlink(missing_ok=True)
            raise

    def _run(self, *argv: str | Path, feed: str = "") -> None:
        """Run one of the programs to its end, as the server's user."""
        account = self._account
        done = subprocess.run(
            argv, input=feed, capture_output=True, text=True, cwd="/", env=_environment(),
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None, preexec_fn=processes.end_with_parent(),
        )  # fmt: skip
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()[-6:]
            raise ConfigError("\n  ".join([f"The embedded database can't be made; {Path(argv[0]).name} says:", *lines]))

    def _launch(self, binaries: Path) -> None:
        self._sockets = places.socket_folder(self._home, self._account)
        settings = {**self._settings, "unix_socket_directories": str(self._sockets)}
        argv = [str(binaries / "postgres"), "-D", str(self._cluster), "-p", str(PORT)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        if self._log.is_file() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._child = Child(argv, account=self._account, log=self._log, env=_environment())
        self._child.start()

    def _await_ready(self) -> None:
        """Wait until it takes connections. After a crash that is when its journal has been replayed."""
        begun = time.monotonic()
        told = False
        while not self._ready():
            waited_s = time.monotonic() - begun
            if not self.alive or waited_s > START_LIMIT_S:
                raise Unavailable("\n  ".join(["The embedded database did not start; its log ends:", *self._log_end()]))
            if waited_s > SAY_AFTER_S and not told:
                self._say(f"The database is still starting (recovering after a crash?); its log is {self._log}.")
                told = True
            time.sleep(POLL_S)

    def _ready(self) -> bool:
        pid = _read_pid_file(self._cluster)
        return len(pid) >= 8 and pid[0] == str(self.pid) and pid[7] == "ready"

    def _log_end(self) -> list[str]:
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 2000))
            return log.read().decode("utf-8", "replace").splitlines()[-6:]
        return []

    def _dsn(self, database: str = NAME) -> str:
        """Where and how to connect; it holds the password, so it is not for logs."""
        password = self._password_file.read_text("utf-8").strip()
        return make_conninfo(host=str(self._sockets), port=PORT, user=NAME, dbname=database, password=password)

    def _ensure_database(self) -> None:
        try:
            with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
                if connection.execute(HAS_DATABASE, [NAME]).fetchone() is None:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(NAME)))
        except psycopg.OperationalError as error:
            raise Unavailable(
                "The embedded database runs but refuses us. If its password file was changed, remove"
                f" {self._password_file} and start again. Its log is {self._log}."
            ) from error


def _locked(lock: int) -> bool:
    """Take the lock; a holder that is just being killed gets a moment to be gone."""
    until = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        else:
            return True


def _read_pid_file(cluster: Path) -> list[str]:
    """The lines of the server's own note on itself; empty where there is none (or it is being written)."""
    try:
        lines = (cluster / "postmaster.pid").read_text("utf-8").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines] if lines and lines[0].strip().isdigit() else []


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)


def _environment() -> dict[str, str]:
    """What the server needs of our environment: neither our secrets nor PG* variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
