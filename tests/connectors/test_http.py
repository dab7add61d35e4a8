"""The outbound client against real servers, well-behaved and not."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from aiohttp import web

from connectors.http import HttpLimits, OutboundHttp
from connectors.messages import OutboundRequest
from connectors.network_errors import UNKNOWN_OUTCOME
from domain.errors import DeliveryError, NetworkError
from tests.connectors.certificates import self_signed
from tests.connectors.resolvers import HangingResolver, ScriptedResolver
from tests.connectors.servers import LOOPBACK_ALLOWED, http_server, raw_server, saying

SHORT = 0.3  # seconds, for servers that never answer


def _http(**options: object) -> OutboundHttp:
    return OutboundHttp(LOOPBACK_ALLOWED, **options)  # type: ignore[arg-type]


def _get(url: str, **options: object) -> OutboundRequest:
    return OutboundRequest("GET", url, **options)  # type: ignore[arg-type]


async def _failure(url: str, *, timeout: float = 5.0, **options: object) -> NetworkError:
    async with _http(**options) as http:
        with pytest.raises(NetworkError) as failure:
            await http.send(_get(url, timeout_seconds=timeout))
    return failure.value


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_arrives_as_it_was_built(method: str) -> None:
    content = b'{"name": "\xc3\x9c", "raw": "\x00\xff"}'
    headers = (("Content-Type", "application/json"), ("X-Name", "Grüße"), ("x-empty", ""))
    async with http_server() as server, _http() as http:
        response = await http.send(OutboundRequest(method, server.url("/a%2Fb?c=d%20e&f"), headers, content))
        assert (response.status, response.body, response.truncated) == (200, b"ok", False)
        received = server.received[0]
    assert (received.method, received.path, received.body) == (method, "/a%2Fb?c=d%20e&f", content)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-name"] == "Grüße"
    assert received.headers["x-empty"] == ""
    assert received.headers["content-length"] == str(len(content))
    assert received.headers["user-agent"].startswith("Sluice/")


async def test_a_request_without_content_says_nothing_about_its_type() -> None:
    async with http_server() as server, _http() as http:
        await http.send(_get(server.url()))
        assert "content-type" not in server.received[0].headers


async def test_response_headers_are_lower_cased_and_repeats_joined() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(saying(answer)) as server, _http() as http:
        assert (await http.send(_get(server.url()))).headers["x-a"] == "1, 2"


async def test_connections_are_kept_and_used_again() -> None:
    async with http_server() as server, _http() as http:
        for _ in range(5):
            await http.send(_get(server.url()))
        assert len(server.connections) == 1


async def test_cookies_are_not_kept() -> None:
    async def set_cookie(request: web.Request) -> web.StreamResponse:
        response = web.Response()
        response.set_cookie("session", "abc")
        return response

    async with http_server(set_cookie) as server, _http() as http:
        await http.send(_get(server.url(host="localhost")))
        await http.send(_get(server.url(host="localhost")))
        assert "cookie" not in server.received[1].headers


async def test_a_long_body_is_cut_and_its_connection_not_used_again() -> None:
    async def long(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 5_000_000)

    async with http_server(long) as server, _http(limits=HttpLimits(body_bytes=1000)) as http:
        for _ in range(2):
            response = await http.send(_get(server.url()))
            assert (response.status, response.body, response.truncated) == (200, b"x" * 1000, True)
        assert len(server.connections) == 2


async def test_a_body_of_just_the_limit_is_whole() -> None:
    async def exact(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 1000)

    async with http_server(exact) as server, _http(limits=HttpLimits(body_bytes=1000)) as http:
        response = await http.send(_get(server.url()))
        assert (len(response.body), response.truncated) == (1000, False)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_read_and_a_bomb_is_cut(encoding: str, compress: object) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = b"hello" if request.path == "/small" else bytes(50_000_000)
        return web.Response(body=compress(body), headers={"Content-Encoding": encoding})  # type: ignore[operator]

    async with http_server(answer) as server, _http() as http:
        small = await http.send(_get(server.url("/small")))
        bomb = await http.send(_get(server.url("/bomb")))
    assert (small.body, small.truncated) == (b"hello", False)
    assert (len(bomb.body), bomb.truncated) == (HttpLimits().body_bytes, True)


async def test_a_body_that_is_not_what_its_encoding_says_is_shown_as_it_came() -> None:
    answer = b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"
    async with raw_server(saying(answer)) as server, _http() as http:
        response = await http.send(_get(server.url()))
    assert (response.status, response.body) == (500, b"plain")


async def test_an_answer_whose_body_breaks_off_is_still_an_answer() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    async with raw_server(saying(answer)) as server, _http() as http:
        response = await http.send(_get(server.url()))
    assert (response.status, response.body, response.truncated) == (200, b"part", True)


async def test_an_answer_whose_body_never_ends_is_still_an_answer() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    async with raw_server(saying(answer, then_wait=True)) as server, _http() as http:
        response = await http.send(_get(server.url(), timeout_seconds=SHORT))
    assert (response.status, response.body, response.truncated) == (200, b"part", True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 200 OK\r\nX-Cut", "connection_reset"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 1000 + b"\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_response"),
    ],
)
async def test_a_server_that_does_not_answer_properly_leaves_the_outcome_unknown(answer: bytes, kind: str) -> None:
    async with raw_server(saying(answer)) as server:
        failure = await _failure(server.url())
    assert failure.kind == kind
    assert UNKNOWN_OUTCOME in failure.message


async def test_a_server_that_never_answers_times_out_with_its_outcome_unknown() -> None:
    async with raw_server(saying(b"", then_wait=True)) as server:
        failure = await _failure(server.url(), timeout=SHORT)
    assert failure.kind == "timeout"
    assert UNKNOWN_OUTCOME in failure.message


async def test_a_port_where_nobody_listens_is_a_failed_connection_and_nothing_was_sent() -> None:
    async with raw_server(saying(b"")) as server:
        url = server.url()
    failure = await _failure(url)
    assert failure.kind == "connect_failed"
    assert UNKNOWN_OUTCOME not in failure.message


async def test_a_name_that_does_not_exist_is_a_failed_lookup() -> None:
    failure = await _failure("http://name.invalid/")
    assert failure.kind == "dns_failed"
    assert UNKNOWN_OUTCOME not in failure.message


async def test_a_name_without_addresses_is_a_failed_lookup() -> None:
    assert (await _failure("http://empty.example/", resolver=ScriptedResolver([]))).kind == "dns_failed"


async def test_a_look_up_that_hangs_times_out_alone_and_nothing_was_sent() -> None:
    limits = HttpLimits(connect_seconds=SHORT)
    async with http_server() as server, _http(limits=limits, resolver=HangingResolver()) as http:
        hanging = [asyncio.ensure_future(http.send(_get(f"http://hang-{number}.example/"))) for number in range(200)]
        assert (await http.send(_get(server.url(host="quick.example")))).status == 200
        for failure in await asyncio.gather(*hanging, return_exceptions=True):
            assert isinstance(failure, NetworkError) and failure.kind == "connect_timeout"
            assert UNKNOWN_OUTCOME not in failure.message


async def test_a_server_that_accepts_and_then_says_nothing_holds_up_no_other() -> None:
    async with raw_server(saying(b"", then_wait=True)) as silent, http_server() as server, _http() as http:
        hanging = [asyncio.ensure_future(http.send(_get(silent.url(), timeout_seconds=SHORT))) for _ in range(200)]
        assert (await http.send(_get(server.url()))).status == 200
        assert all(isinstance(each, NetworkError) for each in await asyncio.gather(*hanging, return_exceptions=True))


async def test_a_tls_handshake_that_never_ends_is_a_connection_not_made_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_server(silent) as server:
        failure = await _failure(server.url(scheme="https"), limits=HttpLimits(connect_seconds=SHORT))
    assert failure.kind == "connect_timeout"
    assert UNKNOWN_OUTCOME not in failure.message


async def test_a_cancelled_request_closes_its_connection() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()  # until the other side closes
        closed.set()

    async with raw_server(silent) as server, _http() as http:
        sending = asyncio.ensure_future(http.send(_get(server.url())))
        async with asyncio.timeout(5):
            await asked.wait()
            sending.cancel()
            await closed.wait()
        assert (await asyncio.gather(sending, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_the_number_of_response_headers_is_bounded() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 20 + b"Content-Length: 0\r\n\r\n"
    async with raw_server(saying(answer)) as server:
        assert (await _failure(server.url(), limits=HttpLimits(header_fields=10))).kind == "bad_response"


async def test_tls_with_a_server_that_speaks_none_fails() -> None:
    async with http_server() as server:
        failure = await _failure(server.url(scheme="https"))
        assert not server.received
    assert failure.kind == "tls_failed"


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted() -> None:
    serving, trusting = self_signed("localhost")
    async with http_server(tls=serving) as server:
        failure = await _failure(server.url(host="localhost", scheme="https"))
        assert failure.kind == "tls_failed" and not server.received
        async with _http(tls=trusting) as http:
            assert (await http.send(_get(server.url(host="localhost", scheme="https")))).status == 200


async def test_a_certificate_for_another_name_is_not_accepted() -> None:
    serving, trusting = self_signed("other.example")
    async with http_server(tls=serving) as server:
        assert (await _failure(server.url(host="localhost", scheme="https"), tls=trusting)).kind == "tls_failed"


@pytest.mark.parametrize(
    "header", [("X-A", "b\r\nX-Injected: c"), ("X-A", "b\0"), ("X A", "b"), ("X\r\nA", "b"), ("Ü", "b")]
)
async def test_a_header_that_would_break_the_request_is_not_sent(header: tuple[str, str]) -> None:
    async with http_server() as server, _http() as http:
        with pytest.raises(DeliveryError) as failure:
            await http.send(_get(server.url(), headers=(header,)))
        assert not failure.value.retryable
        assert not server.received


async def test_closing_the_client_closes_its_connections() -> None:
    closed = asyncio.Event()

    async def answer_and_listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(reader, writer)
        await reader.read()  # until the other side closes
        closed.set()

    async with raw_server(answer_and_listen) as server:
        async with _http() as http:
            await http.send(_get(server.url()))
        async with asyncio.timeout(5):
            await closed.wait()
