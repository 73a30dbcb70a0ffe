"""Comporta in the bench: with everything on, or with many keys, several workers and Redis; and its books."""

from __future__ import annotations

import hashlib
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct

from comporta.routing.settings import RouteSection
from gauge.gateway import Gateway, answers
from gauge.installing import redis_binary
from gauge.processes import GATEWAY_CORE, LOAD_CORE, Started, free_port, pin, wait_for
from gauge.words import INPUT_TOKENS, MODELS, OUTPUT_TOKENS, PLAIN, Check

#: Plain calls on a route whose upstream request runs on when the client has gone.
FINISH = f"{PLAIN}-finish"
#: Whether this Comporta can be told so.
CAN_FINISH = "on_client_gone" in RouteSection.model_fields

#: The least that lets calls through; what its profile measures, too.
COMPORTA_CONFIG = """
providers:
  mock:
    kind: openai
    base_url: http://127.0.0.1:{upstream}/v1
    api_key: sk-bench-upstream
routes:
{routes}
models:
{models}
logging:
  level: warning
"""
_EVERYTHING = """
cache:
  enabled: true
limits:
  - {per: key, requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrent: 1000000}
budgets:
  - {name: bench, limit: $100000000, period: month, team: bench}
"""
_INPUT_MICROUSD, _OUTPUT_MICROUSD = 1, 4
#: What one answer of the mock costs at these prices.
CALL_MICROUSD = INPUT_TOKENS * _INPUT_MICROUSD + OUTPUT_TOKENS * _OUTPUT_MICROUSD


def comporta_config(template: str, upstream: int) -> str:
    routes = "\n".join(f"  {name}: {{model: mock/{name}}}" for name in MODELS)
    price = f"{{input: ${_INPUT_MICROUSD}, output: ${_OUTPUT_MICROUSD}}}"
    models = "\n".join(f"  mock/{name}: {{price: {price}}}" for name in MODELS)
    return template.format(upstream=upstream, routes=routes, models=models)


class Setup(Struct, frozen=True):
    """What a gate is given beside the usual: so many workers, a Redis, more routes, budgets and keys."""

    name: str = "comporta"
    workers: int = 1
    redis: str = ""
    routes: int = 0
    budgets: int = 0
    keys: int = 0


EVERYTHING = Setup()


def written(setup: Setup, upstream: int) -> str:
    """Its configuration."""
    text = comporta_config(COMPORTA_CONFIG, upstream)
    more = [f"  also-{n}: {{model: mock/{PLAIN}}}" for n in range(setup.routes)]
    if CAN_FINISH:
        more.append(f"  {FINISH}: {{model: mock/{PLAIN}, on_client_gone: finish}}")
    text = text.replace("routes:\n", "\n".join(["routes:", *more]) + "\n", 1) + _EVERYTHING
    text += "".join(f"  - {{name: b{n}, limit: $1000, team: team-{n}}}\n" for n in range(setup.budgets))
    if setup.redis:
        text += f"redis: {{url: 'unix://{setup.redis}'}}\nserver: {{workers: {setup.workers}}}\n"
    return text


class Books(Struct, frozen=True):
    """What Comporta's database says of the bench's calls, in micro-dollars."""

    records: int
    refused: int
    cost_microusd: int
    #: The ledger: the sums from which budgets are rebuilt, and what the budget itself says.
    ledger_calls: int
    ledger_microusd: int
    budget_microusd: int


_CALLS = """
select count(*) filter (where status = 200), count(*) filter (where status <> 200),
    coalesce(sum(cost_microusd), 0)::bigint
from call where team = 'bench'
"""
_LEDGER = """
select coalesce(sum(calls), 0)::bigint, coalesce(sum(cost_microusd), 0)::bigint from rollup_hour where team = 'bench'
"""


class Comporta(Gateway):
    """The product as `comporta serve` runs it, everything on."""

    def __init__(self, setup: Setup, port: int, process: Started, home: Path, note: str = "") -> None:
        super().__init__(setup.name, port, process, note=note)
        self.setup = setup
        self._url = f"http://127.0.0.1:{port}"
        self._dsn = str(json.loads((home / "run.json").read_text())["dsn"])
        self._admin_key = (home / "admin.key").read_text().strip()
        if setup.keys:
            self._add_keys(setup.keys)
        made = self._admin("POST", "/admin/keys", {"name": "bench", "team": "bench", "environment": "load"})
        self.key = str(made["secret"])
        self.place_postgres(LOAD_CORE)

    def check(self, model: str, *, hit: bool = False) -> Check:
        return Check(model, [b"x-comporta-cache: hit" if hit else b"x-comporta-cache: miss"])

    def place_postgres(self, core: int) -> None:
        pin(self.process.postgres(), core)

    def idle(self) -> bool:
        """Whether all records are in the database."""
        if self.setup.workers > 1:
            # Each worker knows of its own spool only.
            return self._row(_LEDGER)[0] >= self.answered
        return bool(_json(f"{self._url}/health/ready")["spool_bytes"] == 0)

    def books(self) -> Books:
        budgets = self._admin("GET", "/admin/budgets")["data"]
        spent = next(budget["spent_microusd"] for budget in budgets if budget["name"] == "bench")
        records, refused, cost_microusd = self._row(_CALLS)
        ledger_calls, ledger_microusd = self._row(_LEDGER)
        return Books(records, refused, cost_microusd, ledger_calls, ledger_microusd, int(spent))

    def _row(self, query: str) -> tuple[int, ...]:
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None, "a sum is always a row"
        return tuple(row)

    def _add_keys(self, count: int) -> None:
        """Straight into the database; the gate hears of them with the next key that it makes itself."""
        with psycopg.connect(self._dsn) as connection, connection.cursor() as cursor:
            with cursor.copy("copy virtual_key (id, name, prefix, last4, team) from stdin") as copy:
                for n in range(count):
                    copy.write_row((f"many-{n}", f"many-{n}", "cmp-", f"{n % 10_000:04}", f"team-{n % 200}"))
            with cursor.copy("copy virtual_key_secret (sha256, key_id) from stdin with (format binary)") as copy:
                copy.set_types(["bytea", "text"])
                for n in range(count):
                    copy.write_row((hashlib.sha256(many_secret(n).encode()).digest(), f"many-{n}"))

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._admin_key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self._url}{path}", data=data, headers=headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


def many_secret(number: int) -> str:
    return f"cmp-{number:043}"


def start(folder: Path, upstream: int, setup: Setup = EVERYTHING) -> Comporta:
    """A gate that answers. Raises RuntimeError where it does not."""
    port = free_port()
    home = folder / setup.name
    config = folder / f"{setup.name}.yaml"
    config.write_text(written(setup, upstream))
    argv = [
        sys.executable, "-m", "comporta.cli.main", "serve", "--data", str(home), "--port", str(port),
        "--config", str(config),
    ]  # fmt: skip
    folder.chmod(0o711)
    process = Started(argv, GATEWAY_CORE, folder, setup.name, {})
    wait_for(lambda: _up(f"http://127.0.0.1:{port}/health/ready"), process, 90)
    try:
        gate = Comporta(setup, port, process, home, note=_NOTE)
        wait_for(lambda: answers(gate), process, 20)
        # From now on, the answer to this one is in its cache.
        answers(gate, same=True)
        if setup.keys:
            _prove_last_key(gate)
    except (OSError, LookupError, psycopg.Error) as error:
        process.stop()
        raise RuntimeError(f"{setup.name} did not get ready: {type(error).__name__}: {error}") from error
    return gate


def _prove_last_key(gate: Comporta) -> None:
    """Raises RuntimeError where the gate does not know the keys it was given."""
    ours, gate.key = gate.key, many_secret(gate.setup.keys - 1)
    before = gate.answered
    try:
        wait_for(lambda: answers(gate), gate.process, 10)
    finally:
        # Another team's call stands in other books.
        gate.key, gate.answered = ours, before


_NOTE = (
    "as `comporta serve` runs it, with everything on: virtual key; limits on requests, tokens and calls at once; a "
    "budget; retries and breakers; an exact-cache look-up in each call (none found); price; full content of each call "
    "recorded to PostgreSQL. Its gate process, worker and job worker run on core 0"
)


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _up(url: str) -> bool:
    try:
        _json(url)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


class Redis:
    """A Redis server on a Unix socket, on the load's core."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "redis.sock"
        argv = [
            str(redis_binary()), "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no",
            "--dir", str(folder),
        ]  # fmt: skip
        self.process = Started(argv, LOAD_CORE, folder, "redis", {})
        wait_for(self.path.exists, self.process, 10)
