"""The gateways that come as Python packages, each in a virtual environment of its own below bench/, made once."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

BENCH = Path(__file__).parents[1]
_MARK = ".installed"
_LIMIT_S = 900


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
        return (self.folder / _MARK).exists()

    def install(self) -> None:
        """Raises RuntimeError with the end of what pip said."""
        if self.installed:
            return
        venv.EnvBuilder(with_pip=True, clear=True).create(self.folder)
        argv = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", *self.packages]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"pip did not install {self.packages[0]} within {_LIMIT_S} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise RuntimeError(f"{self.packages[0]} could not be installed: {last}")
        (self.folder / _MARK).touch()

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        done = subprocess.run([str(self.bin / "python"), "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unknown version"


LITELLM = Environment("litellm", "litellm[proxy]")
TENSORZERO = Environment("tensorzero", "tensorzero", "openai")


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
