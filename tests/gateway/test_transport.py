"""The client towards providers, against bare sockets that answer exactly the bytes a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from comporta.errors import UpstreamCut, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from comporta.gateway.transport import HttpTransport, Response
from comporta.providers.base import Request

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Two: a\r\nX-Two: b\r\n\r\n"
    b"5\r\nhello\r\n1;ext=1\r\n \r\n00000005\r\nworld\r\n0\r\nTrailer: x\r\n\r\n"
)


class Site:
    """A server on loopback that counts connections and keeps what it read of each request."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self.closed = 0
        self.port = 0
        self._talking: set[asyncio.Task[None]] = set()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._one(reader, writer))
        self._talking.add(task)
        task.add_done_callback(self._talking.discard)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            self.closed += 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def open(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._talking):
                task.cancel()
            await asyncio.gather(*self._talking, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/x?a=b"


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += await reader.readexactly(int(line.split(b":")[1]))
    return head


def answers(*given: bytes, then: str = "wait") -> Talk:
    """Answer each request of a connection in turn with the next of `given`, cut up as it stands in the list."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for data in given:
            await head_of(reader)
            writer.write(data)
            await writer.drain()
        if then == "wait":
            await reader.read()

    return talk


async def ask(transport: HttpTransport, url: str, timeout_s: float = 60) -> Response:
    return await transport.send(Request(url, b'{"a":1}', {"x-key": "k"}), 60, timeout_s)


async def body(transport: HttpTransport, url: str) -> bytes:
    response = await ask(transport, url)
    try:
        return await response.read(1 << 20)
    finally:
        response.abort()


async def test_a_request_goes_out_whole_and_its_answer_comes_back(transport: HttpTransport) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head_of(reader))
        writer.write(PLAIN)
        await writer.drain()

    async with Site(talk).open() as site:
        response = await ask(transport, site.url)
        assert (response.status, response.headers["content-type"]) == (200, "text/plain")
        assert await response.read(100) == b"hello"
    head, _, sent = seen[0].partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/x?a=b HTTP/1.1"
    assert {b"x-key: k", b"content-length: 7", f"host: 127.0.0.1:{site.port}".encode()} <= set(head.splitlines())
    assert sent == b'{"a":1}'


async def test_wire_5_every_cut_of_an_answers_bytes_gives_the_same_answer(transport: HttpTransport) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(1, len(early + CHUNKED)):
            await head_of(reader)
            for part in ((early + CHUNKED)[:at], (early + CHUNKED)[at:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

    async with Site(talk).open() as site:
        for _ in range(1, len(early + CHUNKED)):
            response = await ask(transport, site.url)
            assert (response.status, response.headers["x-two"]) == (200, "a, b")
            assert await response.read(100) == b"hello world"
        assert site.connections == 1, "an answer that came to its end leaves its connection to the next"


@pytest.mark.parametrize("whole", [PLAIN, CHUNKED])
async def test_wire_5_an_answer_cut_at_any_byte_is_a_failure(transport: HttpTransport, whole: bytes) -> None:
    for at in range(len(whole)):
        async with Site(answers(whole[:at], then="close")).open() as site:
            with pytest.raises((UpstreamCut, UpstreamUnreachable)) as failure:
                await body(transport, site.url)
            assert failure.value.code in ("upstream_cut", "reset")


async def test_what_follows_a_body_is_no_header(transport: HttpTransport) -> None:
    async with Site(answers(CHUNKED)).open() as site:
        response = await ask(transport, site.url)
        assert await response.read(100) == b"hello world"
        assert "trailer" not in response.headers


async def test_an_answer_without_a_length_ends_with_its_connection(transport: HttpTransport) -> None:
    async with Site(answers(b"HTTP/1.0 200 OK\r\n\r\nto the end", then="close")).open() as site:
        assert await body(transport, site.url) == b"to the end"
        assert await body(transport, site.url) == b"to the end"
        assert site.connections == 2


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
     b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n"],
)  # fmt: skip
async def test_garbage_is_a_failure_and_closes_the_connection(transport: HttpTransport, garbage: bytes) -> None:
    async with Site(answers(garbage)).open() as site:
        with pytest.raises((UpstreamCut, UpstreamUnreachable, UpstreamTimeout)):
            response = await ask(transport, site.url, timeout_s=0.5)
            await response.read(100)
        await until(lambda: site.closed == 1)
    assert transport.connections == 0


async def test_a_second_answer_to_one_request_is_never_given_to_the_next(transport: HttpTransport) -> None:
    other = PLAIN.replace(b"hello", b"other")
    async with Site(answers(PLAIN + other)).open() as site:
        with contextlib.suppress(UpstreamCut):
            assert await body(transport, site.url) == b"hello"
        await until(lambda: site.closed == 1)
        with contextlib.suppress(UpstreamCut):
            assert await body(transport, site.url) == b"hello"
        assert site.connections == 2


async def test_the_beginning_of_a_second_answer_is_never_taken_for_the_next(transport: HttpTransport) -> None:
    """With the answer itself, and with what follows one that was read as far as it mattered."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    begun, rest = b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nother"

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(chunked)
        await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n" + begun)
        await head_of(reader)
        writer.write(rest)
        await reader.read()

    async with Site(answers(PLAIN + begun, rest)).open() as site:
        assert await body(transport, site.url) == b"hello"
        assert await body(transport, site.url) == b"hello"
        assert site.connections == 2
    async with Site(late).open() as site:
        for _ in range(2):
            response = await ask(transport, site.url)
            assert await response.chunk() == b"hello"
            response.finish()
            await until(lambda: transport.connections == 0)
        assert site.connections == 2


async def test_a_connection_that_was_held_back_reads_on_for_the_next_call(transport: HttpTransport) -> None:
    """The end of a large answer may come in the same breath as what made the provider wait."""
    size = 400_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await head_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            await writer.drain()

    async with Site(talk).open() as site:
        for _ in range(3):
            response = await ask(transport, site.url)
            await asyncio.sleep(0.05)
            assert len(await response.read(1 << 20)) == size
        assert site.connections == 1


async def test_an_answer_before_its_request_was_out_leaves_no_connection_behind(transport: HttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.Event().wait()

    async with Site(talk).open() as site:
        large = Request(site.url, b"x" * (32 * 1024 * 1024))
        response = await transport.send(large, 60, 60)
        assert (response.status, await response.read(10)) == (413, b"big")
        assert (await ask(transport, site.url)).status == 413
        assert site.connections == 2


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(transport: HttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(PLAIN)
        await asyncio.sleep(0.05)
        writer.write(PLAIN.replace(b"hello", b"other"))
        await reader.read()

    async with Site(talk).open() as site:
        assert await body(transport, site.url) == b"hello"
        await until(lambda: transport.connections == 0)
        assert await body(transport, site.url) == b"hello"
        assert site.connections == 2


async def test_a_kept_connection_that_closes_as_it_is_used_is_replaced(transport: HttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(PLAIN)
        # The next request is read and never answered.
        await head_of(reader)

    async with Site(talk).open() as site:
        for _ in range(3):
            assert await body(transport, site.url) == b"hello"
        assert site.connections == 3


async def test_a_fresh_connection_that_closes_without_an_answer_is_told(transport: HttpTransport) -> None:
    async with Site(answers(b"", then="close")).open() as site:
        with pytest.raises(UpstreamUnreachable) as failure:
            await ask(transport, site.url)
        assert failure.value.code == "reset" and site.connections == 1


async def test_wire_8_leaving_before_the_headers_closes_the_connection_at_once(transport: HttpTransport) -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.read()
        left.set()

    async with Site(talk).open() as site:
        asking = asyncio.ensure_future(ask(transport, site.url))
        await until(lambda: site.connections == 1)
        await asyncio.sleep(0.02)
        asking.cancel()
        async with asyncio.timeout(25):
            await left.wait()


async def test_headers_that_do_not_come_are_a_time_out(transport: HttpTransport) -> None:
    async with Site(answers(b"")).open() as site:
        with pytest.raises(UpstreamTimeout) as failure:
            await ask(transport, site.url, timeout_s=0.05)
        assert failure.value.code == "first_token_timeout"
        await until(lambda: site.closed == 1)


async def test_a_limit_that_strikes_in_the_body_is_what_the_reader_hears(transport: HttpTransport) -> None:
    async with Site(answers(PLAIN[:-2])).open() as site:
        response = await ask(transport, site.url)
        asyncio.get_running_loop().call_later(0.05, response.fail, UpstreamTimeout("late", code="idle_timeout"))
        with pytest.raises(UpstreamTimeout):
            await response.read(100)
        await until(lambda: site.closed == 1)


async def test_an_answer_larger_than_allowed_is_refused_and_closed(transport: HttpTransport) -> None:
    async with Site(answers(PLAIN)).open() as site:
        response = await ask(transport, site.url)
        with pytest.raises(UpstreamFault) as failure:
            await response.read(4)
        assert failure.value.code == "upstream_too_large"


async def test_a_reader_that_takes_its_time_holds_the_provider_back(transport: HttpTransport) -> None:
    size, sent = 64 * 1024 * 1024, 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(64):
            writer.write(b"x" * (1024 * 1024))
            await writer.drain()
            sent += 1024 * 1024

    async with Site(talk).open() as site:
        response = await ask(transport, site.url)
        await asyncio.sleep(0.3)
        assert sent < size / 2
        assert sum([len(data) async for data in pieces(response)]) == size
        response.abort()


async def pieces(response: Response) -> AsyncIterator[bytes]:
    while data := await response.chunk():
        yield data


async def test_what_follows_an_answer_that_said_all_is_awaited_before_the_next(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comporta.gateway.lines._DRAIN_S", 60.0)
    read = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await head_of(reader)
            writer.write(CHUNKED[:-17])
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(CHUNKED[-17:])
            await writer.drain()
            read.set()
        await reader.read()

    async with Site(talk).open() as site:
        for _ in range(2):
            response = await ask(transport, site.url)
            while b"world" not in await response.chunk():
                pass
            response.finish()
            await asyncio.wait_for(read.wait(), 60)
            read.clear()
            # What was written is read within a moment; until then the connection is nobody's.
            await until(lambda: any(transport._idle.values()))
        assert site.connections == 1


async def test_an_answer_that_goes_on_after_its_end_is_cut_off(transport: HttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(CHUNKED[:-5])
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with Site(talk).open() as site:
        response = await ask(transport, site.url)
        await response.chunk()
        response.finish()
        await until(lambda: transport.connections == 0)


async def test_idle_connections_are_closed_after_a_while() -> None:
    transport = HttpTransport(keep_alive_s=0.1)
    async with Site(answers(PLAIN, PLAIN)).open() as site:
        assert await body(transport, site.url) == b"hello"
        assert transport.connections == 1
        await until(lambda: site.closed == 1)
        assert transport.connections == 0
        assert await body(transport, site.url) == b"hello"
        await transport.close()


async def test_calls_side_by_side_have_connections_of_their_own(transport: HttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await head_of(reader)
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + head[-2:])

    async with Site(talk).open() as site:
        requests = [Request(site.url, f"{n:02}".encode()) for n in range(20)]
        responses = await asyncio.gather(*(transport.send(request, 60, 60) for request in requests))
        assert [await r.read(10) for r in responses] == [r.body for r in requests]
        assert site.connections == 20


async def test_a_header_with_a_line_break_is_refused(transport: HttpTransport) -> None:
    for name, value in (("x", "a\r\nhost: evil"), ("x\ny", "a"), ("x", "a\rb")):
        with pytest.raises(UpstreamUnreachable, match="line break"):
            await transport.send(Request("http://127.0.0.1:1/", b"", {name: value}), 1, 1)


async def test_nobody_there_and_no_such_name_are_told_apart(transport: HttpTransport) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable, match="refused"):
            await ask(transport, f"http://127.0.0.1:{free.getsockname()[1]}/")
    with pytest.raises(UpstreamUnreachable, match="name is not known"):
        await ask(transport, "http://nowhere.invalid/")


# ---- TLS and proxies ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of a company's own authority, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Our own authority")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.DNSName("provider.test"),
                 x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ), critical=False,
        ).sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


def listening(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_an_own_authority_is_trusted_where_it_is_named(certificate: Path) -> None:
    async with Site(answers(PLAIN, CHUNKED)).open(listening(certificate)) as site:
        url = f"https://localhost:{site.port}/"
        trusting = HttpTransport(ca_file=str(certificate))
        assert await body(trusting, url) == b"hello"
        assert await body(trusting, url) == b"hello world"
        assert site.connections == 1
        await trusting.close()
        strict = HttpTransport()
        with pytest.raises(UpstreamUnreachable, match="not trusted") as failure:
            await ask(strict, url)
        assert failure.value.code == "certificate"
        await strict.close()


@pytest.mark.parametrize("opened", [b"200 Connection established", b"200", b"200 ", b"204 Fine"])
async def test_a_tls_provider_is_reached_through_a_proxys_tunnel(certificate: Path, opened: bytes) -> None:
    asked: list[bytes] = []
    talk = Site(answers(PLAIN)).open(listening(certificate))
    async with talk as site, Site(tunnel(site, asked, opened)).open() as proxy:
        transport = HttpTransport(proxy=f"http://ana:s%40l@127.0.0.1:{proxy.port}", ca_file=str(certificate))
        assert await body(transport, "https://provider.test/v1") == b"hello"
        await transport.close()
    assert asked[0].startswith(b"CONNECT provider.test:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic YW5hOnNAbA==" in asked[0]


def tunnel(site: Site, asked: list[bytes], opened: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"HTTP/1.1 " + opened + b"\r\n\r\n")
        back = asyncio.ensure_future(pour(far_reader, writer))
        try:
            await pour(reader, far_writer)
        finally:
            back.cancel()
            far_writer.close()
            with contextlib.suppress(OSError):
                await far_writer.wait_closed()

    return talk


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_a_plain_provider_is_asked_for_by_its_whole_address() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head_of(reader))
        writer.write(PLAIN)
        await writer.drain()

    async with Site(talk).open() as proxy:
        transport = HttpTransport(proxy=f"http://ana:pw@127.0.0.1:{proxy.port}")
        assert await body(transport, "http://provider.test:81/v1?x=1") == b"hello"
        await transport.close()
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"POST http://provider.test:81/v1?x=1 HTTP/1.1"
    assert b"proxy-authorization: Basic YW5hOnB3" in lines and b"host: provider.test:81" in lines


async def test_loopback_and_named_hosts_go_round_the_proxy(transport: HttpTransport) -> None:
    async with Site(answers(PLAIN, PLAIN)).open() as site:
        proxied = HttpTransport(proxy="http://127.0.0.1:9", no_proxy=[".corp.test"])
        assert await body(proxied, site.url) == b"hello"
        for url in ("http://models.corp.test/", "http://corp.test/"):
            with pytest.raises(UpstreamUnreachable, match="name is not known"):
                await ask(proxied, url)
        with pytest.raises(UpstreamUnreachable, match="refused"):
            await ask(proxied, "http://notcorp.test/")
        await proxied.close()


async def test_a_proxy_that_refuses_is_named(certificate: Path) -> None:
    async with Site(answers(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")).open() as proxy:
        transport = HttpTransport(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(UpstreamUnreachable, match="407") as failure:
            await ask(transport, "https://provider.test/")
        assert failure.value.code == "proxy_refused"
        await transport.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in another task
            await asyncio.sleep(0.005)
