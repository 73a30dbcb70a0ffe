"""The whole product as real processes with fake providers behind it, for end-to-end tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_gemini import FakeGemini
from comporta.testing.fake_ollama import FakeOllama
from comporta.testing.fake_openai import FakeOpenAI

T = TypeVar("T")

SECRETS = {
    "OPENAI_API_KEY": "sk-test-planted-openai-secret-000000000000",
    "ANTHROPIC_API_KEY": "sk-ant-planted-anthropic-secret-0000000000",
    "GEMINI_API_KEY": "AIzaPlantedGeminiSecret0000000000000000000",
}

CONFIG = """
providers:
  openai:
    base_url: {openai}/v1
    api_key: ${{OPENAI_API_KEY}}
    timeouts: {{first_token: 4s, idle: 4s, total: 60s, connect: 10s}}
  anthropic:
    base_url: {anthropic}
    api_key: ${{ANTHROPIC_API_KEY}}
    timeouts: {{first_token: 4s, idle: 4s, total: 60s, connect: 10s}}
  # Whoever waits for this one gives up before the gate does.
  patient:
    kind: openai
    base_url: {openai}/v1
    api_key: ${{OPENAI_API_KEY}}
    timeouts: {{first_token: 100s, idle: 100s, total: 100s}}
  gemini:
    base_url: {gemini}
    api_key: ${{GEMINI_API_KEY}}
  ollama:
    base_url: {ollama}
  scripted: {{}}
  offline: {{}}
  nobody:
    kind: openai
    base_url: http://127.0.0.1:9/v1
    api_key: none
routes:
  support:
    variants:
      - model: openai/support-a
        weight: 1
        params: {{temperature: 0.3}}
  think:
    model: anthropic/claude-think
  hashed:
    model: openai/hashed
    content: hashed
  silent:
    model: openai/silent
    content: off
# One attempt each: these tests look at single failures. Retry and fallback have tests of their own.
retry:
  attempts: 1
breaker:
  failures: 1000
  share: 100%
logging:
  format: json
"""


class Fakes:
    """The fake providers, on an event loop in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.openai = FakeOpenAI()
        self.anthropic = FakeAnthropic()
        self.gemini = FakeGemini()
        self.ollama = FakeOllama()
        for fake in (self.openai, self.anthropic, self.gemini, self.ollama):
            self.run(fake.start())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, run on the fakes' own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(90)

    def close(self) -> None:
        for fake in (self.openai, self.anthropic, self.gemini, self.ollama):
            self.run(fake.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def free_port() -> int:
    """A port that nothing listens on, of those that the system gives nobody by itself: it is still free soon after."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # The order of tests is drawn with a seed, which every process of the run has: ports are drawn without.
    draw = random.SystemRandom()
    for _ in range(1000):
        port = draw.randrange(10_240, max(lowest, 20_480))
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Served:
    """A running `comporta serve` on a folder of its own."""

    def __init__(self, folder: Path, config: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("COMPORTA", "OPENAI", "ANTHROPIC"))},
            "COMPORTA_DATA": str(self.data),
            "COMPORTA_PORT": str(self.port),
            # It starts a second process that most tests don't look at; those that do say so.
            "COMPORTA_CONSOLE": "0",
            **(environment or {}),
        }
        if config is not None:
            self.config = folder / "comporta.yaml"
            self.config.write_text(config)
            self.environment["COMPORTA_CONFIG"] = str(self.config)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text(errors="replace")

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()

    def start(self, within_s: float = 90.0) -> float:
        """Start and wait until it is ready; seconds that took."""
        started_s = time.monotonic()
        with (self.folder / "output.txt").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "comporta.cli.main", "serve"], env=self.environment, cwd=self.folder,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        while time.monotonic() - started_s < within_s:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.output}")
            if self.ready():
                return time.monotonic() - started_s
            time.sleep(0.03)
        raise AssertionError(f"serve was not ready within {within_s} s:\n{self.output}")

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=10) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, number: int = signal.SIGTERM, within_s: float = 60.0) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def processes(self) -> dict[int, str]:
        """Every living process that belongs to this gate, by pid, with its command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environ = (entry / "environ").read_bytes()
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if str(self.data).encode() in environ + command.encode() and command:
                    found[int(entry.name)] = command
        return found
