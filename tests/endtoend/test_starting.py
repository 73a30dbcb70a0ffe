"""How a gate starts: on what is there, on what the environment says, with several workers, or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from comporta.providers.rows import ROWS
from comporta.testing.servers import Postgres, short_folder
from comporta.testing.upstream import Step
from support.serving import Fakes, Served, free_port
from support.talking import ask, chat, recorded, until

#: Nothing of this machine's own may be found.
BARE = {name: "" for row in ROWS.values() for name in (*row.env, *row.url_env)} | {"OLLAMA_HOST": "127.0.0.1:9"}
ECHO = "providers: {scripted: {}}\nroutes:\n  echo: {model: scripted/echo}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def names(gate: Served, key: str = "admin") -> set[str]:
    return {model["id"] for model in ask(gate, "/v1/models", key=key).json["data"]}


def stopped(gate: Served) -> None:
    assert gate.stop() == 0, gate.output
    assert not gate.processes()


# ---- with no configuration ------------------------------------------------------------------------------------------


def test_with_nothing_at_all_the_offline_model_answers_and_says_so_until_a_key_comes(
    folder: Path, fakes: Fakes
) -> None:
    # A variable that is set, though to nothing, would win over what `.env` says.
    gate = Served(folder, None, {name: value for name, value in BARE.items() if not name.startswith("OPENAI")})
    gate.start()
    try:
        context = {"role": "system", "content": "The sluice stands by the old mill. Bread is sold at noon."}
        question = {"role": "user", "content": "Where does the sluice stand?"}
        answer = ask(gate, "/v1/chat/completions", {"model": "default", "messages": [context, question]})
        assert answer.status == 200
        assert "The sluice stands by the old mill." in answer.text and "offline" in answer.text.lower()
        assert answer.headers["x-comporta-provider"] == "offline"
        assert {"default", "offline/extractive"} <= names(gate)
        assert chat(gate, "gpt-4o-mini").status == 404
        # What comes while it runs is found like what was there at the start.
        (folder / ".env").write_text(
            f"OPENAI_API_KEY=sk-from-dot-env-0000000000\nOPENAI_BASE_URL={fakes.openai.url}/v1\n"
        )
        assert until(lambda: chat(gate, "gpt-4o-mini").status == 200)
        assert fakes.openai.seen[-1].headers["authorization"] == "Bearer sk-from-dot-env-0000000000"
        assert chat(gate, "default").headers["x-comporta-provider"] == "openai"
        (folder / "comporta.yaml").write_text(ECHO)
        assert until(lambda: chat(gate, "echo", "configured").status == 200)
    finally:
        stopped(gate)


def test_a_key_in_the_environment_is_enough(folder: Path, fakes: Fakes) -> None:
    found = {"OPENAI_API_KEY": "sk-from-the-environment-0000", "OPENAI_BASE_URL": f"{fakes.openai.url}/v1"}
    gate = Served(folder, None, {**{k: v for k, v in BARE.items() if k not in found}, **found})
    gate.start()
    try:
        for model in ("default", "gpt-4o-mini", "openai/gpt-4o-mini"):
            fakes.openai.script(Step(text=f"Hello from {model}."))
            answer = chat(gate, model)
            assert (answer.status, answer.headers["x-comporta-provider"]) == (200, "openai")
            assert answer.text == f"Hello from {model}."
            assert fakes.openai.seen[-1].headers["authorization"] == "Bearer sk-from-the-environment-0000"
        assert fakes.openai.seen[-1].json["model"] == "gpt-4o-mini"
        record = recorded(gate, answer.call)["call"]
        assert record["provider"] == "openai" and record["cost_microusd"] is not None
        assert "openai/gpt-4o-mini" in names(gate)
        assert not any(name.startswith("anthropic/") for name in names(gate))
    finally:
        stopped(gate)


def test_an_ollama_is_found_with_its_models_on_its_usual_port_or_as_configured(folder: Path, fakes: Fakes) -> None:
    host = fakes.ollama.url.removeprefix("http://")
    gate = Served(folder, None, {**BARE, "OLLAMA_HOST": host})
    gate.start()
    try:
        assert {"ollama/llama3.2:3b", "ollama/nomic-embed-text:latest"} <= names(gate)
        for model in ("default", "llama3.2:3b", "ollama/llama3.2:3b"):
            answer = chat(gate, model)
            assert (answer.status, answer.headers["x-comporta-model"]) == (200, "llama3.2:3b"), answer.body
        (folder / "comporta.yaml").write_text(
            f"providers: {{house: {{kind: ollama, base_url: '{fakes.ollama.url}'}}}}\n"
        )
        assert until(lambda: "house/llama3.2:3b" in names(gate))
        assert chat(gate, "llama3.2:3b").headers["x-comporta-provider"] == "house"
    finally:
        stopped(gate)


# ---- what the environment says --------------------------------------------------------------------------------------


def test_the_environment_moves_things_and_names_the_overlay(folder: Path) -> None:
    config = folder / "elsewhere" / "gate.yaml"
    config.parent.mkdir()
    config.write_text(ECHO + "  base: {model: scripted/echo}\nserver: {port: 1, host: 127.0.0.1}\n")
    config.with_name("gate.staging.yaml").write_text(
        "routes:\n  echo: {model: 'scripted/echo?tokens=3'}\n  extra: {model: scripted/echo}\n"
    )
    environment = {
        **BARE, "COMPORTA_CONFIG": str(config), "COMPORTA_ENV": "staging", "COMPORTA_HOST": "0.0.0.0",
        "COMPORTA_DATA": str(folder / "kept here"),
    }  # fmt: skip
    gate = Served(folder, None, environment)
    gate.data = folder / "kept here"
    gate.start()
    try:
        assert {"base", "echo", "extra"} <= names(gate)
        assert len(chat(gate, "echo", "one two").text.split()) == 3
        assert chat(gate, "base", "one two").text == "one two"
        assert (gate.data / "admin.key").stat().st_mode & 0o777 == 0o600
        # All addresses were asked for, and what is printed can be pasted.
        assert f"http://127.0.0.1:{gate.port}/v1" in gate.output
        assert listens_on(gate.port) == {"00000000"}
    finally:
        stopped(gate)


def listens_on(port: int) -> set[str]:
    """The addresses on which a TCP port is listened on, as /proc writes them (state 0A)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


# ---- not at all -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "environment", "told"),
    [
        (ECHO + "server: {workers: 2}\n", {}, r"2 workers need Redis.*redis\.url"),
        (ECHO + "srver: {port: 1}\n", {}, r"comporta\.yaml:4: .*server"),
        (ECHO + "  broken: {model: opnai/x}\n", {}, r"comporta\.yaml:4: routes\.broken\.model: .*'opnai'"),
        ("providers: {openai: {api_key: '${NOT_THERE_AT_ALL}'}}\n", {}, r"comporta\.yaml:1: .*NOT_THERE_AT_ALL"),
        (ECHO, {"COMPORTA_ENV": "no/such"}, r"COMPORTA_ENV"),
        (ECHO, {"COMPORTA_PORT": "99999"}, r"COMPORTA_PORT.*65535"),
        (ECHO, {"COMPORTA_DATA": "/proc/nowhere"}, r"/proc/nowhere"),
    ],
    ids=["workers", "shape", "rooms", "variable", "overlay", "port", "folder"],
)
def test_what_can_not_work_is_refused_at_the_start_with_the_reason(
    folder: Path, config: str, environment: dict[str, str], told: str
) -> None:
    gate = Served(folder, config, {**BARE, **environment})
    with pytest.raises(AssertionError, match=r"serve ended with [12]"):
        gate.start()
    assert re.search(told, gate.output, re.DOTALL), gate.output
    assert "Traceback" not in gate.output
    assert not gate.processes()


def test_a_database_that_is_not_there_is_told_without_its_password(folder: Path) -> None:
    url = f"postgresql://joe:planted-password-1@127.0.0.1:{free_port()}/records"
    gate = Served(folder, ECHO + f"database: {{url: '{url}'}}\n", BARE)
    with pytest.raises(AssertionError, match="serve ended with 1"):
        gate.start(within_s=60)
    assert "records on 127.0.0.1" in gate.output and "database.url" in gate.output
    assert "planted-password-1" not in gate.output and "Traceback" not in gate.output


# ---- two workers, Redis, and a PostgreSQL of one's own --------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(postgres: Postgres, redis_session_url: str) -> Iterator[tuple[Served, str]]:
    """A gate of two workers, and the DSN of its database, which was empty."""
    dsn = postgres.create_database(migrated=False)
    config = ECHO + f"database: {{url: \"{dsn}\"}}\nredis: {{url: '{redis_session_url}'}}\nserver: {{workers: 2}}\n"
    with short_folder() as folder:
        gate = Served(folder, config, BARE)
        gate.start()
        yield gate, dsn
        stopped(gate)
    postgres.drop_database(dsn)


def statuses(gate: Served, key: str, count: int, model: str = "echo") -> list[int]:
    """The statuses of calls on as many connections, some of them at the same time: both workers answer."""
    with ThreadPoolExecutor(4) as pool:
        return [answer.status for answer in pool.map(lambda n: chat(gate, model, f"call {n}", key=key), range(count))]


def counted(gate: Served, route: str) -> int:
    """The calls of a route, by `/metrics`."""
    text = ask(gate, "/metrics").body.decode()
    lines = [
        line for line in text.splitlines() if line.startswith("comporta_calls_total{") and f'route="{route}"' in line
    ]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def test_a_key_that_one_worker_made_is_known_to_both_and_revoked_for_both(pair: tuple[Served, str]) -> None:
    gate, _ = pair
    made = ask(gate, "/admin/keys", {"name": "shared"}).json
    assert until(lambda: statuses(gate, made["secret"], 24) == [200] * 24)
    assert ask(gate, f"/admin/keys/{made['id']}/revoke", {}).status == 200
    assert until(lambda: statuses(gate, made["secret"], 24) == [401] * 24)


def test_a_model_that_one_worker_registered_is_known_to_both(pair: tuple[Served, str]) -> None:
    gate, _ = pair
    assert ask(gate, "/admin/models", {"name": "ours", "provider": "scripted", "model": "echo"}).status == 201
    assert until(lambda: statuses(gate, "admin", 24, "ours") == [200] * 24)
    assert ask(gate, "/admin/models/ours", method="DELETE").status == 200
    assert until(lambda: statuses(gate, "admin", 24, "ours") == [404] * 24)


def test_both_workers_counts_are_in_the_metrics_of_each(pair: tuple[Served, str]) -> None:
    gate, _ = pair
    assert ask(gate, "/admin/models", {"name": "sums", "provider": "scripted", "model": "echo"}).status == 201
    answered = 0

    def both_know() -> bool:
        nonlocal answered
        found = statuses(gate, "admin", 20, "sums")
        answered += found.count(200)
        return found == [200] * 20

    assert until(both_know)
    assert until(lambda: [counted(gate, "sums") for _ in range(12)] == [answered] * 12), counted(gate, "sums")
    workers = {line for line in gate.processes().values() if "gate_process" in line or "spawn_main" in line}
    assert workers, gate.processes()


def test_a_reload_reaches_both_workers(pair: tuple[Served, str]) -> None:
    gate, _ = pair
    before = gate.config.read_text()
    gate.config.write_text(before.replace("routes:\n", "routes:\n  later: {model: scripted/echo}\n"))
    try:
        assert until(lambda: statuses(gate, "admin", 12, "later") == [200] * 12)
    finally:
        gate.config.write_text(before)
    assert until(lambda: statuses(gate, "admin", 12, "later") == [404] * 12)


def test_records_go_to_the_database_that_was_named_and_none_of_our_own_is_started(pair: tuple[Served, str]) -> None:
    gate, dsn = pair
    call = chat(gate, "echo", "kept elsewhere").call
    recorded(gate, call)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select prompt from call where id = %s", [call]).fetchall()
    assert len(rows) == 1 and "kept elsewhere" in json.dumps(rows[0])
    assert not (gate.data / "postgres").exists()
    status: Any = ask(gate, "/admin/status").json
    assert (status["workers"], status["database"]["embedded"], status["database"]["reachable"]) == (2, False, True)
