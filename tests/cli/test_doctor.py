"""`comporta doctor`: each check on its own, and all of them with and without a gate."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.conftest import Type
from comporta.app.folder import Folder, Running
from comporta.cli import place
from comporta.cli.checks import clock, here, ollama, providers, stores
from comporta.cli.checks.gpus import Gpu, parse_gpus
from comporta.cli.checks.site import Finding, Site
from comporta.cli.doctor import examine
from comporta.store.database import Database
from comporta.telemetry import partitions
from support.serving import Served

GIB = 1024**3


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def site_of(folder: Path, http: aiohttp.ClientSession, config: str | None = None, **more: Any) -> Site:
    data = folder / "data"
    if config is not None:
        file = folder / "comporta.yaml"
        file.write_text(config)
        loaded = place.load(file, data)
        more |= {"loaded": loaded, "known": place.known(loaded, data)}
    return Site(folder=Folder(data), environment={}, http=http, **more)


def the(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_with_a_gate_all_is_well_and_the_code_is_0(
    typed: Type, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPORTA_DATA", str(served.data))
    monkeypatch.setenv("COMPORTA_CONFIG", str(served.config))
    result = typed("doctor", "--json")
    found = {one["name"]: one for one in json.loads(result.out)}
    assert result.code == 0, found
    for name in ("configuration", "data folder", "admin key", "gate", "database", "pgvector", "migrations"):
        assert found[name]["state"] == "ok", found[name]
    assert served.url in found["gate"]["text"]


def test_without_a_gate_it_still_looks_and_says_what_to_type(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "comporta.yaml"
    file.write_text("server:\n  prot: 5\n")
    monkeypatch.setenv("COMPORTA_DATA", str(tmp_path / "data"))
    result = typed("doctor", "-c", str(file))
    assert result.code == 1
    assert "failed  configuration" in result.out and "comporta.yaml:2" in result.out
    assert "→ comporta config check" in result.out
    assert "→ comporta serve" in result.out
    assert not (tmp_path / "data").exists()


async def test_a_check_that_hangs_or_breaks_is_a_finding_and_holds_up_no_other(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async def slow_thing(site: Site) -> list[Finding]:
        await asyncio.sleep(60)
        return []

    async def broken(site: Site) -> list[Finding]:
        raise ValueError("oops")

    async def good(site: Site) -> list[Finding]:
        return [Finding("good", "ok", "fine")]

    found = await examine(site_of(tmp_path, http), (slow_thing, broken, good), limit_s=0.05)
    assert [(one.name, one.state) for one in found] == [("slow thing", "failed"), ("broken", "failed"), ("good", "ok")]
    assert "0.05 s" in found[0].text and "oops" in found[1].text


# ---- this machine ---------------------------------------------------------------------------------------------------


async def test_a_data_folder_open_to_others_is_a_warning(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    site = site_of(tmp_path, http)
    site.folder.path.mkdir(mode=0o755)
    site.folder.path.chmod(0o755)
    finding = the(await here.data_folder(site))
    assert (finding.state, finding.mend) == ("warning", f"chmod go-rw {site.folder.path}")
    site.folder.path.chmod(0o700)
    assert the(await here.data_folder(site)).state == "ok"


async def test_a_data_folder_that_is_a_file_fails(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    (tmp_path / "data").write_text("")
    assert the(await here.data_folder(site_of(tmp_path, http))).state == "failed"


async def test_an_admin_key_that_others_can_read_fails_with_the_command(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    site = site_of(tmp_path, http)
    site.folder.path.mkdir()
    assert the(await here.admin_key(site)).state == "skipped"
    site.folder.admin_key.write_text("cmp-x")
    site.folder.admin_key.chmod(0o644)
    finding = the(await here.admin_key(site))
    assert (finding.state, finding.mend) == ("failed", f"chmod 600 {site.folder.admin_key}")
    site.folder.admin_key.chmod(0o600)
    assert the(await here.admin_key(site)).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(100 * 1024**2, "failed"), (GIB // 2, "warning"), (5 * GIB, "ok")])
async def test_the_disk_is_judged_by_what_is_free(
    tmp_path: Path, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    class Usage:
        total = 10 * GIB

    Usage.free = free  # type: ignore[attr-defined]
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    assert the(await here.disk(site_of(tmp_path, http))).state == state


@pytest.mark.parametrize(("available", "state"), [(GIB // 8, "failed"), (GIB // 3, "warning"), (2 * GIB, "ok")])
async def test_memory_is_judged_by_what_is_available(
    tmp_path: Path, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, available: int, state: str
) -> None:
    monkeypatch.setattr(here, "read_memory", lambda: (4 * GIB, available))
    assert the(await here.memory(site_of(tmp_path, http))).state == state


async def test_a_taken_port_fails_with_a_free_one_to_type(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        finding = the(await here.port(site_of(tmp_path, http, port=number)))
    assert finding.state == "failed"
    assert finding.mend is not None and finding.mend.startswith("comporta serve --port")
    assert the(await here.port(site_of(tmp_path, http, port=number))).state == "ok"


async def test_a_gate_that_does_not_answer_fails(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    site = site_of(tmp_path, http, running=Running("http://127.0.0.1:9", 1, "dsn"))
    assert the(await here.gate(site)).state == "failed"


# ---- database, redis, clock -----------------------------------------------------------------------------------------


async def test_a_configured_database_is_looked_at(
    tmp_path: Path, http: aiohttp.ClientSession, database_dsn: str
) -> None:
    config = "database:\n  url: " + json.dumps(database_dsn) + "\n"
    site = site_of(tmp_path, http, config)
    found = {one.name: one for one in await stores.database(site)}
    assert {one.state for one in found.values()} == {"ok"}
    assert "PostgreSQL" in found["database"].text
    assert the(await clock.clock(site)).state == "ok"


async def test_records_near_their_bound_are_a_warning(
    tmp_path: Path, http: aiohttp.ClientSession, database_dsn: str
) -> None:
    config = "database:\n  url: " + json.dumps(database_dsn) + "\nrecords: {max_size: 10MB}\n"
    async with Database(database_dsn) as database:
        await partitions.ensure_partitions(database)
        found = {one.name: one for one in await stores.database(site_of(tmp_path, http, config))}
        assert (found["records"].state, "of 0.0 GiB" in found["records"].text) == ("ok", True)
        day = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
        async with database.connection() as connection:
            # Bytes on the disk are what counts, whatever is in them.
            await connection.execute(f"alter table span_{day} alter column attributes set storage external".encode())
            await connection.execute(
                "insert into span select now(), gen_random_uuid(), n, 'x', 0, 0, 0, null, to_jsonb(repeat('y', 100000))"
                " from generate_series(1, 100) n"
            )
        found = {one.name: one for one in await stores.database(site_of(tmp_path, http, config))}
    assert found["records"].state == "warning" and "the oldest days go" in found["records"].text


async def test_a_spool_near_its_bound_fails(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    site = site_of(tmp_path, http, "records: {spool: {max_size: 1MiB, on_full: refuse}}\n")
    folder = site.folder.spool / "1-a"
    folder.mkdir(parents=True)
    (folder / "000000000001.records").write_bytes(bytes(1_000_000))
    finding = the(await here.spool(site))
    assert finding.state == "failed" and "of at most 1" in finding.text and "refused" in finding.text


async def test_a_database_that_is_away_fails(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    site = site_of(tmp_path, http, "database:\n  url: postgresql://u:hidden-word@127.0.0.1:9/x\n")
    finding = the(await stores.database(site))
    assert finding.state == "failed"
    assert "hidden-word" not in finding.text


async def test_redis_is_asked_where_it_is_configured(
    tmp_path: Path, http: aiohttp.ClientSession, redis_url: str
) -> None:
    assert the(await stores.redis_server(site_of(tmp_path, http, "redis:\n  url: " + redis_url))).state == "ok"
    away = site_of(tmp_path, http, "redis:\n  url: redis://127.0.0.1:9\n")
    assert the(await stores.redis_server(away)).state == "failed"
    needed = site_of(tmp_path, http, "server:\n  workers: 2\n")
    assert the(await stores.redis_server(needed)).state == "failed"
    assert the(await stores.redis_server(site_of(tmp_path, http, ""))).state == "skipped"


@pytest.mark.parametrize(
    ("ahead_s", "state"), [(0.4, "ok"), (-4.0, "ok"), (7.0, "warning"), (-30.0, "warning"), (90.0, "failed")]
)
def test_the_clock_is_judged_by_how_far_it_is_off(ahead_s: float, state: str) -> None:
    assert the(clock.judged("the database", ahead_s)).state == state


# ---- providers and Ollama -------------------------------------------------------------------------------------------


@pytest.fixture
async def upstream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """A provider that says what the test puts into `status`, `body` and `headers`; `url` is where it is."""
    told: dict[str, Any] = {"status": 200, "body": {"data": [{"id": "m"}]}, "headers": {}}

    async def answer(request: web.Request) -> web.Response:
        told["asked"] = (request.method, request.path, request.headers.get("authorization"))
        return web.json_response(told["body"], status=told["status"], headers=told["headers"])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        told["url"] = str(server.make_url("")).rstrip("/")
        yield told


def openai_at(url: str, key: str = "sk-x") -> str:
    return f"providers:\n  house:\n    kind: openai\n    base_url: {url}/v1\n    api_key: {key}\n"


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (200, "ok", "takes the key"),
        (401, "failed", "refuses the key"),
        (429, "warning", "used up"),
        (500, "warning", ""),
    ],
)
async def test_a_provider_is_judged_by_its_answer(
    tmp_path: Path, http: aiohttp.ClientSession, upstream: dict[str, Any], status: int, state: str, told: str
) -> None:
    upstream["status"] = status
    finding = the(await providers.providers(site_of(tmp_path, http, openai_at(upstream["url"]))))
    assert (finding.name, finding.state) == ("provider house", state)
    assert told in finding.text
    assert upstream["asked"] == ("GET", "/v1/models", "Bearer sk-x")


async def test_rate_limits_that_a_provider_tells_are_told_on(
    tmp_path: Path, http: aiohttp.ClientSession, upstream: dict[str, Any]
) -> None:
    upstream["headers"] = {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "3"}
    finding = the(await providers.providers(site_of(tmp_path, http, openai_at(upstream["url"]))))
    assert finding.state == "warning"
    assert "3 of 500 requests" in finding.text


async def test_a_call_of_one_token_is_sent_only_when_asked_for(
    tmp_path: Path, http: aiohttp.ClientSession, upstream: dict[str, Any]
) -> None:
    site = site_of(tmp_path, http, openai_at(upstream["url"]), ask=True)
    await providers.providers(site)
    assert upstream["asked"][:2] == ("POST", "/v1/chat/completions")


async def test_a_provider_out_of_reach_fails(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    finding = the(await providers.providers(site_of(tmp_path, http, openai_at("http://127.0.0.1:9"))))
    assert finding.state == "failed" and "can't be reached" in finding.text


def test_rate_limits_of_anthropic_are_read_too() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-input-tokens-remaining": "7", "x-ratelimit-remaining-tokens": "soon",
    }  # fmt: skip
    assert providers.rate_limits(headers) == {"requests": (49, 50), "input-tokens": (7, 0)}


async def test_ollamas_models_are_held_against_memory(
    tmp_path: Path, http: aiohttp.ClientSession, upstream: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream["body"] = {"models": [{"name": "small", "size": GIB}, {"name": "huge", "size": 400 * GIB}]}
    monkeypatch.setattr(ollama, "read_memory", lambda: (8 * GIB, 4 * GIB))
    config = f"providers:\n  ollama:\n    base_url: {upstream['url']}\n"
    found = {one.name: one for one in await ollama.ollama(site_of(tmp_path, http, config))}
    assert found["ollama"].state == "ok" and "2 models" in found["ollama"].text
    assert found["ollama small"].state == "ok"
    assert found["ollama huge"].state == "warning" and found["ollama huge"].mend is not None


async def test_a_configured_ollama_that_is_away_fails_with_the_command(
    tmp_path: Path, http: aiohttp.ClientSession, upstream: dict[str, Any]
) -> None:
    away = site_of(tmp_path, http, "providers:\n  ollama:\n    base_url: http://127.0.0.1:9\n")
    finding = the(await ollama.ollama(away))
    assert (finding.state, finding.mend) == ("failed", "ollama serve")
    other = site_of(tmp_path, http, f"providers:\n  ollama:\n    base_url: {upstream['url']}\n")
    assert "no Ollama" in the(await ollama.ollama(other)).text


def test_a_model_goes_to_the_gpu_where_it_fits() -> None:
    cards = list(parse_gpus("NVIDIA H200, 143771, 143000\nNVIDIA GB10, [N/A], [N/A]\n"))
    assert cards == [Gpu("NVIDIA H200", 143771 * 1024**2, 143000 * 1024**2)]
    assert "the GPU has" in ollama.fits("m", 40 * GIB, 64 * GIB, cards).text
    assert "runs slowly" in ollama.fits("m", 130 * GIB, 512 * GIB, cards).text
    assert ollama.fits("m", 130 * GIB, None, cards).state == "skipped"


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ("", []),
        ("cache: {enabled: true, semantic: {enabled: true}}\n", ["warning"]),
        ("providers: {openai: {}}\nroutes: {a: {model: openai/x, cache: {semantic: {enabled: true}}}}\n", ["warning"]),
        (
            "providers: {openai: {}}\ncache: {enabled: true, semantic: {enabled: true, "
            "embedder: openai/text-embedding-3-small, multilingual: true}}\n",
            ["ok"],
        ),
    ],
)
async def test_a_semantic_cache_of_english_alone_is_told_with_the_lines_that_change_it(
    tmp_path: Path, http: aiohttp.ClientSession, more: str, states: list[str]
) -> None:
    found = [one for one in await here.embedding(site_of(tmp_path, http, more)) if one.name == "semantic cache"]
    assert [one.state for one in found] == states
    assert all("multilingual: true" in one.text for one in found if one.state == "warning")
