"""Brings the files of an older PostgreSQL over to the one that comes with us: `pg_upgrade` on a copy."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from comporta.errors import ConfigError
from comporta.store import places, processes
from comporta.store.embedded import NAME, PASSWORD_FILE
from comporta.store.places import CLUSTER, OLDER_INSTALLS, PORT, Say

_DRAFT = "upgrading"
_WORK = "upgrade"
_START_LIMIT_S = 300
_GONE_S = 30.0
_TOLD_LINES = 8
#: What the copy takes on the disk, and the new server's own files.
_ROOM_SHARE = 1.1
_ROOM_BYTES = 100 << 20
_CLEAN = ("shut down", "shut down in recovery")
_STEP = re.compile(r"^(?P<step>\S.*?)\s+ok$")


class Upgrade:
    """One upgrade of the database of one data folder, which nobody may use meanwhile.

    The old files are read only: whatever goes wrong they can be used as before, by the version that made them.
    """

    def __init__(self, data_dir: Path, say: Say) -> None:
        self._data_dir = data_dir
        self._say = say
        self._home, self._account = places.find_home(data_dir.resolve(), say)
        there = places.clusters(self._home)
        #: The major version to come from; None where there is nothing to do.
        self.old: str | None = there[-1] if there and CLUSTER not in there else None
        if self.old is not None and int(self.old) > int(CLUSTER):
            raise ConfigError(
                f"The database in {self._home} was made by PostgreSQL {self.old}; this Comporta brings {CLUSTER}.",
                code="database_too_new",
            )

    def run(self) -> Path:
        """Make the new database from the old one; the folder of the old files, which stay. Blocks."""
        assert self.old is not None, "there is nothing to upgrade"
        try:
            return self._run_from(self.old, self._home / self.old)
        except OSError as error:
            raise ConfigError(f"The upgrade failed, and the old database is as it was: {error}.") from error
        finally:
            shutil.rmtree(self._home / _DRAFT, ignore_errors=True)
            shutil.rmtree(self._home / _WORK, ignore_errors=True)

    def _run_from(self, major: str, old: Path) -> Path:
        install = OLDER_INSTALLS.get(major)
        if install is None:
            known = ", ".join(OLDER_INSTALLS)
            raise ConfigError(
                f"The database in {old} is one of PostgreSQL {major}, whose programs are not at hand (there are those"
                f" of {known}). Back it up with the Comporta that made it, and restore that here."
            )
        old_bin = places.find_binaries(self._account, self._say, install)
        new_bin = places.find_binaries(self._account, self._say)
        self._demand_room(old)
        self._end_leftover(old)
        self._make_folder(_WORK)
        control = self._control(old_bin, old)
        if control["Database cluster state"] not in _CLEAN:
            self._recover(old_bin, old)
        password = self._password(old_bin, old)
        draft = self._initdb(new_bin, control, password)
        self._upgrade(old_bin, new_bin, old, draft, password)
        new = self._home / CLUSTER
        draft.rename(new)
        return old

    def _demand_room(self, old: Path) -> None:
        needed = int(_folder_bytes(old) * _ROOM_SHARE) + _ROOM_BYTES
        free = shutil.disk_usage(self._home).free
        if free < needed:
            raise ConfigError(
                f"The upgrade works on a copy and needs {needed / 1e9:.1f} GB in {self._home}; {free / 1e9:.1f} GB are"
                " free. Make room, and try again; nothing was changed."
            )

    def _end_leftover(self, old: Path) -> None:
        """A server that a crash left running would go on writing."""
        left = list(processes.working_in(old))
        processes.send(left, 2)
        if not processes.gone(left, _GONE_S):
            raise ConfigError(f"Another server still runs on {old} (pid {left[0]}). Stop it, and try again.")

    def _control(self, old_bin: Path, old: Path) -> Mapping[str, str]:
        lines = self._run([old_bin / "pg_controldata", "-D", old]).splitlines()
        return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _recover(self, old_bin: Path, old: Path) -> None:
        self._say("The old database was not stopped in good order: it is started once to recover.")
        sockets = places.socket_folder(self._home, self._account)
        options = f"-c listen_addresses= -c unix_socket_directories='{sockets}' -p {PORT}"
        log = self._home / _WORK / "recovery.log"
        common: list[str | Path] = [old_bin / "pg_ctl", "-D", old, "-w", "-t", str(_START_LIMIT_S)]
        self._run([*common, "-o", options, "-l", log, "start"])
        self._run([*common, "-m", "fast", "stop"])

    def _password(self, old_bin: Path, old: Path) -> str:
        file = self._data_dir / PASSWORD_FILE
        if file.is_file():
            return file.read_text("utf-8").strip()
        password = secrets.token_hex(24)
        statement = f"alter role {NAME} password '{password}';\n"
        self._run([old_bin / "postgres", "--single", "-j", "-D", old, "postgres"], feed=statement)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as written:
            written.write(password + "\n")
        return password

    def _initdb(self, new_bin: Path, control: Mapping[str, str], password: str) -> Path:
        draft = self._home / _DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        file = self._home / _WORK / "password"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as written:
            written.write(password + "\n")
        places.give(file, self._account)
        # The two must agree in what can't be changed by copying.
        checksums = (
            "--data-checksums" if control.get("Data page checksum version", "0") != "0" else "--no-data-checksums"
        )
        segment = int(control["Bytes per WAL segment"]) >> 20
        self._run(
            [new_bin / "initdb", "-D", draft, "-U", NAME, "-E", "UTF8", "--auth=scram-sha-256", "--pwfile", file,
             "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", checksums,
             f"--wal-segsize={segment}"]
        )  # fmt: skip
        file.unlink()
        return draft

    def _upgrade(self, old_bin: Path, new_bin: Path, old: Path, new: Path, password: str) -> None:
        sockets = places.socket_folder(self._home, self._account)
        self._run(
            [new_bin / "pg_upgrade", "-b", old_bin, "-B", new_bin, "-d", old, "-D", new, "-U", NAME, "-s", sockets,
             "-p", str(PORT), "-P", str(PORT), "-j", "2"],
            password=password, tell=True,
        )  # fmt: skip

    def _make_folder(self, name: str) -> None:
        folder = self._home / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        places.give(folder, self._account)

    def _run(self, argv: Sequence[str | Path], *, feed: str = "", password: str = "", tell: bool = False) -> str:
        """Run a program to its end as the database's user; what it said."""
        account = self._account
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {"LC_ALL": "C", "TZ": "UTC", **({"PGPASSWORD": password} if password else {})}
        process = subprocess.Popen(
            argv, text=True, errors="replace", env=environment, cwd=self._home / _WORK,
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None, preexec_fn=processes.end_with_parent(),
        )  # fmt: skip
        with process:
            if process.stdin is not None:
                process.stdin.write(feed)
                process.stdin.close()
            lines = self._heard(process, tell)
        if process.returncode != 0:
            said = [line for line in lines if line.strip()][-_TOLD_LINES:]
            raise ConfigError(
                "\n  ".join(
                    ["The upgrade failed, and the old database is as it was;", f"{Path(argv[0]).name} says:", *said]
                )
            )
        return "\n".join(lines)

    def _heard(self, process: subprocess.Popen[str], tell: bool) -> list[str]:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            step = _STEP.match(lines[-1])
            if tell and step is not None:
                self._say(f"  {step['step']}")
        return lines


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        if path.is_file():
            total += path.stat().st_size
    return total
