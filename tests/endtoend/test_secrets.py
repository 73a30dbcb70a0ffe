"""No secret that a gate is given or told comes out anywhere: logs, answers, tables, files, figures, commands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from comporta.testing.servers import Postgres, short_folder
from comporta.testing.upstream import Step
from support.leaks import Heard, Planted, Said, leaks, left_by
from support.redis import KillableRedis
from support.serving import Fakes, Served
from support.talking import ask, recorded, until

CONFIG = """
server: {{workers: 2}}
database: {{url: "{dsn}"}}
redis: {{url: "{redis}"}}
providers:
  openai:
    base_url: {openai}/v1
    api_key: ${{PLANTED_OPENAI}}
    headers: {{x-tenant-secret: "${{PLANTED_HEADER}}"}}
  anthropic:
    base_url: {anthropic}
    api_key: ${{PLANTED_ANTHROPIC}}
    headers: {{x-tenant-secret: "${{PLANTED_HEADER}}"}}
  gemini:
    base_url: {gemini}
    api_key: ${{PLANTED_GEMINI}}
    headers: {{x-tenant-secret: "${{PLANTED_HEADER}}"}}
  filed:
    kind: openai
    base_url: {openai}/v1
    credentials: [{{name: from-file, file: planted.key}}]
  nobody: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: "${{PLANTED_UNREACHABLE}}"}}
  elsewhere: {{kind: openai, base_url: "http://user:{url_password}@127.0.0.1:9/v1", api_key: none}}
  scripted: {{}}
routes:
  kept: {{model: scripted/echo, content: full}}
retry: {{attempts: 1}}
breaker: {{failures: 100000, share: 100%, of: 100000}}
records: {{content: off}}
logging: {{format: json, level: debug}}
"""


HEADER = "secret in a provider's header"


class Place(Served):
    """A gate with everything planted that can be, what was said by it, and how to look through all of it."""

    def __init__(self, folder: Path, fakes: Fakes, postgres: Postgres) -> None:
        self.fakes, self.planted, self.heard = fakes, Planted(), Heard()
        plant = self.planted.plant
        environment = {
            "PLANTED_OPENAI": plant("openai key", "sk-proj-"), "PLANTED_ANTHROPIC": plant("anthropic key", "sk-ant-"),
            "PLANTED_GEMINI": plant("gemini key", "AIza"), "PLANTED_HEADER": plant(HEADER),
            "PLANTED_UNREACHABLE": plant("key of an unreachable provider"),
        }  # fmt: skip
        (folder / "planted.key").write_text(plant("key in a file"))
        self.dsn = postgres.create_database(migrated=False)
        self.redis = KillableRedis(folder, plant("redis password"))
        config = CONFIG.format(
            dsn=self._database_user(postgres, plant("database password")), redis=self.redis.url,
            openai=fakes.openai.url, anthropic=fakes.anthropic.url, gemini=fakes.gemini.url,
            url_password=plant("password in a provider's address"),
        )  # fmt: skip
        super().__init__(folder, config, environment)

    def _database_user(self, postgres: Postgres, password: str) -> str:
        """A DSN with a user of its own and this password."""
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute("drop role if exists planted")
            statement = sql.SQL("create role planted superuser login password {}")
            connection.execute(statement.format(sql.Literal(password)))
        return make_conninfo(self.dsn, user="planted", password=password)

    def say(self, where: str, path: str, body: Any = None, *but: str, key: str | None = None, **more: str) -> Any:
        """One request, and the answer noted; `key` as in `ask`, else the administrator's."""
        answer = ask(self, path, body, key="admin" if key is None else key, **more)
        return self.heard.answer(f"{where} ({answer.status})", answer, *but)

    def chat(self, where: str, model: str, text: str = "Hello", *but: str, key: str | None = None, **more: Any) -> Any:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.say(where, "/v1/chat/completions", body, *but, key=key)

    def command(self, *words: str, **environment: str) -> None:
        """One `comporta` command, and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "comporta.cli.main", *words], env={**self.environment, **environment},
            cwd=self.folder, capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.heard.output(f"comporta {' '.join(words)}", done.stdout + b"\n" + done.stderr)

    def commands(self, *commands: tuple[str, ...]) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda words: self.command(*words), commands))

    def leaks(self) -> list[str]:
        return leaks(self.planted, [*self.heard.said, *left_by(self, self.dsn)])


@pytest.fixture(scope="module")
def place(fakes: Fakes, postgres: Postgres) -> Iterator[Place]:
    with short_folder() as folder:
        made = Place(folder, fakes, postgres)
        made.redis.start()
        try:
            made.start()
            made.planted.plant("admin key", value=made.key)
            yield made
            code = made.stop()
        finally:
            made.redis.kill()
        assert code == 0, made.output
        assert leaks(made.planted, [Said("all logs to the end", made.output.partition("Ctrl-C")[2].encode())]) == []


def test_nothing_that_is_planted_comes_out_anywhere(place: Place) -> None:
    exercised(place)
    # What was called is recorded by now, and what is asked late is asked after it.
    last = place.chat("the last call", "scripted/echo")
    assert until(lambda: recorded(place, last.call))
    figures(place)
    assert "\n".join(place.leaks()) == ""
    assert len(place.heard.said) > 60, "it was worth looking"


def exercised(place: Place) -> None:
    virtual_keys(place)
    good_calls(place)
    refused_calls(place)
    upstream_failures(place)
    admin_mistakes(place)
    bad_configurations(place)
    redis_away(place)
    commands(place)


def virtual_keys(place: Place) -> None:
    made = place.say("making a key", "/admin/keys", {"name": "planted", "team": "t"}, "virtual key")
    place.planted.plant("virtual key", value=made.json["secret"])
    turned = place.say("rotating", f"/admin/keys/{made.json['id']}/rotate", {"overlap_s": 60}, "rotated key")
    assert turned.status == 200, turned.body
    place.planted.plant("rotated key", value=turned.json["secret"])
    assert until(lambda: ask(place, "/v1/models", key=place.planted["rotated key"]).status == 200)


def good_calls(place: Place) -> None:
    """With content capture off, what people write is a secret, too."""
    word = place.planted.plant("word in a message")
    for provider in ("openai", "anthropic", "gemini", "filed", "scripted"):
        for stream in (False, True):
            key = place.planted["rotated key"]
            # An echo says it back to who said it.
            but = ("word in a message",) if provider == "scripted" else ()
            answer = place.chat(f"{provider}, stream={stream}", f"{provider}/said", word, *but, key=key, stream=stream)
            assert answer.status == 200, answer.body
    tool = {"type": "function", "function": {"name": "f", "description": word, "parameters": {"type": "object"}}}
    for path, body in (
        ("/v1/messages", {"max_tokens": 5, "system": word, "messages": [{"role": "user", "content": word}]}),
        ("/v1/responses", {"input": word, "instructions": word}),
        ("/v1/embeddings", {"input": [word]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": word}], "tools": [tool], "stop": [word]}),
    ):
        place.say(path, path, {"model": "openai/said", **body}, "word in a message")
    # Left in mid-answer, and never read to its end.
    place.chat("too long for the model", "openai/said", word, max_tokens=-1)


def refused_calls(place: Place) -> None:
    plant = place.planted.plant
    for name, like in (("unknown key", "cmp-"), ("somebody's provider key", "sk-live-"), ("a password as key", "")):
        place.chat(name, "scripted/echo", key=plant(name, like))
    place.say("a key in a header", "/v1/models", None, key="nobody", x_api_key=plant("key in x-api-key"))
    place.say("a cookie", "/v1/models", None, cookie=f"session={plant('secret in a cookie')}")
    query = f"api_key={plant('secret in a query')}"
    for path in (f"/v1/models?{query}", f"/nowhere?{query}", f"/metrics/llm?{query}", f"/admin/calls?{query}"):
        place.say(path.partition("?")[0], path)
    place.say("POST with a query", f"/v1/chat/completions?{query}", {"model": "scripted/echo", "messages": []})
    body = plant("word in a bad body")
    for bad in (
        {"model": "scripted/echo", "messages": [{"role": body, "content": "x"}]},
        {"model": "scripted/echo", "messages": body}, {"model": "openai/x", "messages": [{"role": "user"}], body: 1},
        {"model": "scripted/echo", "messages": [{"role": "user", "content": "x"}], "temperature": body},
    ):  # fmt: skip
        # Who wrote it may read it again.
        place.say("a bad body", "/v1/chat/completions", bad, "word in a bad body")


def upstream_failures(place: Place) -> None:
    """Providers that quote what they were sent: keys, headers, all of it."""
    planted = place.planted
    for provider in ("openai", "anthropic", "gemini"):
        told = f"Incorrect API key provided: {planted[f'{provider} key']}. Or is it {planted[HEADER]}?"
        for number, step in enumerate(failures(told, planted)):
            for stream in (False, True):
                getattr(place.fakes, provider).script(step, model="failing")
                answer = place.chat(f"failure {number} of {provider}", f"{provider}/failing", stream=stream)
                # A connection that was kept and is dropped at once is only tried again.
                assert answer.status >= 400 or b'"error"' in answer.body or step.drop, answer.body
    place.fakes.openai.script(Step(status=401, message=planted["key in a file"]), model="failing")
    place.chat("key of a file", "filed/failing")
    place.chat("unreachable", "nobody/x")
    place.chat("a password in an address", "elsewhere/x")


def failures(told: str, planted: Planted) -> Iterator[Step]:
    for status in (400, 401, 403, 404, 422, 429, 500, 503):
        yield Step(status=status, message=told, error=None)
    yield Step(status=500, error=planted["openai key"], message=told)
    yield Step(status=302, body=told.encode(), headers={"Location": f"http://127.0.0.1:9/{planted['openai key']}"})
    yield Step(status=500, body=b"<html>" + told.encode(), content_type="text/html", headers={"X-Key": told})
    yield Step(error_after=0, status=200, message=told)
    yield Step(text="one two three", error_after=2, message=told)
    yield Step(body=told.encode(), content_type="text/plain")
    yield Step(body=json.dumps({"choices": told}).encode())
    yield Step(text="one two three", cut_after=3)
    yield Step(drop=True)


def admin_mistakes(place: Place) -> None:
    word = place.planted.plant("word in an admin body")
    for path, body in (
        ("/admin/keys", {"name": 5, "secret": word}), ("/admin/keys", {"nam": word}), ("/admin/keys", [word]),
        ("/admin/models", {"name": "x", "provider": "openai", "model": "m", "api_key": word}),
        ("/admin/budgets", {"name": "x", "limit_microusd": word}), ("/admin/nothing", {"x": word}),
    ):  # fmt: skip
        answer = place.say(f"a mistake at {path}", path, body, "word in an admin body")
        assert answer.status >= 400
    for path in ("/admin/keys", "/admin/models", "/admin/routes", "/admin/budgets", "/admin/status", "/admin/calls"):
        assert place.say(path, path).status == 200
    place.say("a key that is no admin's", "/admin/keys", key=place.planted["rotated key"])


def bad_configurations(place: Place) -> None:
    """A file that is changed for the worse while the gate runs, and one that nothing can start on."""
    good = place.config.read_text()
    word = place.planted.plant("secret in a bad file", "sk-")
    try:
        for bad in (
            f"providers: [{word}\n", good.replace("scripted: {}", f"scripted: {{api_kye: {word}}}"),
            good.replace('"${PLANTED_HEADER}"', f"[{word}]"),
            good.replace("routes:", f"outgoing: {{proxy: 'https://user:{word}@127.0.0.1:9'}}\nroutes:"),
        ):  # fmt: skip
            start = len(place.output)
            place.config.write_text(bad)
            assert until(lambda start=start: '"config.refused"' in place.output[start:]), bad  # type: ignore[misc]
            place.commands(("config", "check"), ("config", "show"))
    finally:
        place.config.write_text(good)
    assert until(lambda: place.chat("after bad files", "scripted/echo").status == 200)


def redis_away(place: Place) -> None:
    """Tracebacks and reasons of a connection that was made with a password."""
    place.redis.kill()
    for _ in range(4):
        place.chat("Redis away", "scripted/echo")
        time.sleep(0.1)
    place.redis.start()
    assert until(lambda: place.chat("Redis back", "scripted/echo").status == 200)


def commands(place: Place) -> None:
    place.commands(
        ("doctor",), ("doctor", "--json"), ("config", "check"), ("config", "show", "--origins"), ("key", "list"),
        ("call", "Hello", "--model", "scripted/echo"), ("call", "Hello", "--model", "nobody/x"),
        ("key", "revoke", "nobody"),
    )  # fmt: skip
    wrong = place.planted.plant("wrong key of a command", "cmp-")
    place.command("key", "list", COMPORTA_URL=place.url, COMPORTA_KEY=wrong)
    place.command("key", "list", COMPORTA_URL=f"http://u:{wrong}@127.0.0.1:9", COMPORTA_KEY=wrong, COMPORTA_DEBUG="1")
    password = place.planted["database password"]
    nowhere = place.folder / "nowhere.yaml"
    nowhere.write_text(f"database: {{url: 'postgresql://u:{password}@127.0.0.1:9/x'}}\n")
    port = {"COMPORTA_DATA": str(place.folder / "nowhere"), "COMPORTA_CONFIG": str(nowhere), "COMPORTA_DEBUG": "1"}
    place.command("serve", **port)
    place.command("doctor", **port)
    assert not (place.folder / "nowhere" / "run.json").exists()


def figures(place: Place) -> None:
    for path in ("/metrics", "/metrics/llm?window=1h", "/health/ready", "/v1/models", "/admin/calls", "/admin/summary"):
        answer = place.say(path, path)
        assert answer.status == 200, (path, answer.body)
    for call in place.say("calls", "/admin/calls?limit=200").json["data"]:
        place.say("a call", f"/admin/calls/{call['id']}")


# ---- that it can fail -----------------------------------------------------------------------------------------------


def test_a_leak_planted_in_each_place_is_found(place: Place) -> None:
    """The control: the same look finds a secret where there is one, however it is spelled."""
    word = place.planted.plant("leaked word", "really secret é&")
    try:
        shown = ask(place, "/v1/chat/completions", {"model": "kept", "messages": [{"role": "user", "content": word}]})
        assert until(lambda: word in json.dumps(recorded(place, shown.call), ensure_ascii=False))
        place.heard.answer("the control", shown)
        (place.data / "spool" / "control").write_bytes(b"\0" + json.dumps(word).encode())
        with (place.folder / "output.txt").open("a") as log:
            log.write(f"https://127.0.0.1/?key={word.replace('é&', '%C3%A9%26')}\n")
        found = place.leaks()
    finally:
        (place.data / "spool" / "control").unlink()
        place.planted.forget("leaked word")
    assert [leak for leak in found if "leaked word" not in leak] == []
    where = {leak.removeprefix("leaked word in ") for leak in found}
    assert {"answer to the control", "log", "file spool/control", "table public.call"} <= where, where


def test_a_secret_is_known_in_every_spelling() -> None:
    planted = Planted()
    value = planted.plant("x", value='pass"word/with+odd=characters & more of them')
    for text in (value, json.dumps(value), value[10:40]):
        assert leaks(planted, [Said("somewhere", f"before {text} after".encode())]) == ["x in somewhere"]
    assert leaks(planted, [Said("somewhere", b"..." + value[-4:].encode())]) == []
    assert leaks(planted, [Said("somewhere", value.encode(), frozenset({"x"}))]) == []
