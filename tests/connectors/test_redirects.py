from __future__ import annotations

import pytest
from aiohttp import web

from connectors.http import HttpLimits, OutboundHttp
from connectors.messages import OutboundRequest
from connectors.redirects import next_hop
from domain.errors import AddressRefused, NetworkError
from tests.connectors.servers import LOOPBACK_ALLOWED, Handler, http_server

HEADERS = (
    ("Authorization", "Bearer abc"),
    ("Content-Type", "application/json"),
    ("X-Api-Key", "abc"),
    ("webhook-signature", "v1,abc"),
    ("Idempotency-Key", "d-1"),
)


def _post(url: str, *, follow: bool = True) -> OutboundRequest:
    return OutboundRequest("POST", url, HEADERS, b"{}", follow_redirects=follow)


def _redirecting(status: int, location: str) -> Handler:
    """Redirects `/` and answers every other path."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(status=status, headers={"Location": location})
        return web.Response(text="arrived")

    return answer


async def test_a_redirect_is_an_answer_like_any_other_unless_following_was_asked_for() -> None:
    async with http_server(_redirecting(302, "/next")) as server, OutboundHttp(LOOPBACK_ALLOWED) as http:
        response = await http.send(_post(server.url(), follow=False))
        assert (response.status, response.headers["location"]) == (302, "/next")
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("status", "method", "content"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"{}"), (308, "POST", b"{}")],
)
async def test_each_kind_of_redirect_repeats_or_fetches_as_http_has_it(
    status: int, method: str, content: bytes
) -> None:
    async with http_server(_redirecting(status, "/next?a=b")) as server, OutboundHttp(LOOPBACK_ALLOWED) as http:
        response = await http.send(_post(server.url()))
        assert (response.status, response.body) == (200, b"arrived")
        followed = server.received[1]
    assert (followed.method, followed.path, followed.body) == (method, "/next?a=b", content)
    assert ("content-type" in followed.headers) is bool(content)
    assert followed.headers["authorization"] == "Bearer abc"


async def test_another_origin_sees_no_credential_and_no_signature() -> None:
    async with http_server() as other, http_server(_redirecting(307, other.url("/there"))) as server:
        async with OutboundHttp(LOOPBACK_ALLOWED) as http:
            await http.send(_post(server.url()))
        seen = other.received[0].headers
    assert not {"authorization", "x-api-key", "webhook-signature"} & seen.keys()
    assert (seen["content-type"], seen["idempotency-key"]) == ("application/json", "d-1")


async def test_a_circle_of_redirects_ends() -> None:
    limits = HttpLimits(redirects=3)
    async with http_server(_redirecting(307, "/")) as server, OutboundHttp(LOOPBACK_ALLOWED, limits=limits) as http:
        with pytest.raises(NetworkError) as failure:
            await http.send(_post(server.url()))
        assert failure.value.kind == "too_many_redirects"
        assert len(server.received) == 1 + limits.redirects


async def test_a_redirect_without_a_target_is_an_answer() -> None:
    async def nowhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302)

    async with http_server(nowhere) as server, OutboundHttp(LOOPBACK_ALLOWED) as http:
        assert (await http.send(_post(server.url()))).status == 302


def test_a_redirect_does_not_leave_https() -> None:
    with pytest.raises(AddressRefused, match="https to http"):
        next_hop(_post("https://example.com/a"), 307, "http://example.com/a")
    assert next_hop(_post("http://example.com/a"), 307, "https://example.com/a").url == "https://example.com/a"


@pytest.mark.parametrize("target", ["https://example.com:8443/", "https://www.example.com/", "//other.example/"])
def test_another_port_or_name_is_another_origin(target: str) -> None:
    hop = next_hop(_post("https://example.com/"), 307, target)
    assert [name for name, _ in hop.headers] == ["Content-Type", "Idempotency-Key"]


def test_a_fragment_is_not_sent() -> None:
    assert next_hop(_post("https://example.com/"), 307, "/a#b").url == "https://example.com/a"
