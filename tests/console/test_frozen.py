"""A database that stands still rather than going away: its connections hang, and none is refused."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from comporta.testing.servers import short_folder
from console.conftest import CONFIG, Opened
from support.freezing import frozen_database
from support.serving import Served, free_port

#: A page says within five seconds that the database is silent, of which a busy machine may make more; it was eighteen.
SOON_S = 14.0


@pytest.fixture
def alone() -> Iterator[Opened]:
    """A console whose database nobody else needs."""
    port = free_port()
    with short_folder() as folder:
        served = Served(folder, CONFIG, {"COMPORTA_CONSOLE": "1", "COMPORTA_CONSOLE_PORT": str(port)})
        served.start(within_s=120)
        opened = Opened(served, port)
        opened.wait(60)
        yield opened
        served.stop()


def ask(console: Opened, method: str, path: str, body: str = "", cookie: str = "") -> tuple[int, str, dict[str, str]]:
    """Status, text and headers; a hundred seconds are waited for them."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(console.url).netloc, timeout=100)
    headers = {"origin": console.url, "content-type": "application/x-www-form-urlencoded", "cookie": cookie}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        return response.status, text, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_a_frozen_database_is_told_soon_and_pages_come_again_once_it_thaws(alone: Opened) -> None:
    form = urllib.parse.urlencode({"name": "admin", "password": alone.password, "next": "/"})
    cookie = ask(alone, "POST", "/sign-in", form)[2]["set-cookie"].partition(";")[0]
    assert ask(alone, "GET", "/calls", cookie=cookie)[0] == 200
    with frozen_database(alone.served):
        # The second finds no connection in the pool that was not given up.
        for _ in range(2):
            begun_s = time.monotonic()
            status, text, headers = ask(alone, "GET", "/calls", cookie=cookie)
            assert (status, headers["refresh"]) == (503, "5") and "does not answer" in text
            assert time.monotonic() - begun_s < SOON_S
        begun_s = time.monotonic()
        assert ask(alone, "GET", "/sign-in")[0] == 200, "what needs no database waits for none"
        assert ask(alone, "POST", "/sign-in", form)[0] == 503
        assert time.monotonic() - begun_s < SOON_S
    until_s = time.monotonic() + 60
    while ask(alone, "GET", "/calls", cookie=cookie)[0] != 200:
        assert time.monotonic() < until_s, "the database is back, and its pages are not"
