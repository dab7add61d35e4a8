"""The address guard, proved on real sockets: what is refused never sees a connection."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from connectors.addresses import AddressPolicy
from connectors.http import OutboundHttp
from connectors.messages import OutboundRequest
from domain.errors import AddressRefused, NetworkError
from tests.connectors.resolvers import RebindingResolver, ScriptedResolver
from tests.connectors.servers import LOOPBACK_ALLOWED, http_server

SPELLINGS_OF_LOOPBACK = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.2:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1\\@example.com:{port}/",
    "unix://127.0.0.1:{port}/run/docker.sock",
    "http+unix://127.0.0.1:{port}/",
]


def _get(url: str, *, follow: bool = False) -> OutboundRequest:
    return OutboundRequest("GET", url, (("Authorization", "Bearer abc"),), timeout_seconds=5, follow_redirects=follow)


async def _refused(
    url: str,
    *,
    policy: AddressPolicy | None = None,
    resolver: AbstractResolver | None = None,
    follow: bool = False,
) -> str:
    async with OutboundHttp(policy, resolver=resolver) as http:
        with pytest.raises(AddressRefused) as refused:
            await http.send(_get(url, follow=follow))
    return refused.value.message


@pytest.mark.parametrize("spelling", SPELLINGS_OF_LOOPBACK)
async def test_no_spelling_of_loopback_reaches_a_listening_server(spelling: str) -> None:
    async with http_server(host="0.0.0.0") as server, OutboundHttp() as http:
        # "localhost." resolves on some systems and not on others; both end without a connection.
        with pytest.raises((AddressRefused, NetworkError)) as failure:
            await http.send(_get(spelling.format(port=server.port)))
        assert not isinstance(failure.value, NetworkError) or failure.value.kind == "dns_failed"
        assert not server.received


async def test_a_name_that_resolves_to_a_private_address_is_refused_with_both_named() -> None:
    message = await _refused("http://rebind.example:80/", resolver=ScriptedResolver(["10.0.0.7"]))
    assert "rebind.example (10.0.0.7) is private" in message


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:127.0.0.1", "fe80::1"])
async def test_a_name_is_refused_as_a_whole_when_one_of_its_addresses_is_special(address: str) -> None:
    async with http_server() as server:
        await _refused(f"http://mixed.example:{server.port}/", resolver=ScriptedResolver(["93.184.216.34", address]))
        assert not server.received


async def test_a_name_that_changes_its_mind_between_two_requests_is_refused_the_second_time() -> None:
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    policy = AddressPolicy.of(networks=["127.0.0.1/32"])
    async with http_server(host="0.0.0.0") as one, http_server(host="0.0.0.0") as other:
        async with OutboundHttp(policy, resolver=resolver) as http:
            assert (await http.send(_get(one.url(host="fickle.example")))).status == 200
            with pytest.raises(AddressRefused, match=r"127\.0\.0\.2"):
                await http.send(_get(other.url(host="fickle.example")))
        assert len(one.received) == 1 and not other.received


async def test_an_address_that_changes_between_the_check_and_the_connection_is_refused_at_the_socket() -> None:
    async with http_server() as server:
        resolver = RebindingResolver(["93.184.216.34", "127.0.0.1"])
        assert "127.0.0.1" in await _refused(server.url(host="rebind.example"), resolver=resolver)
        assert not server.received


async def test_racing_several_addresses_does_not_weaken_the_check_at_the_socket() -> None:
    async with http_server(host="0.0.0.0") as server:
        shifts = (["93.184.216.34", "127.0.0.1"], ["2606:4700::1", "::1"], ["93.184.216.35", "127.0.0.2"])
        await _refused(server.url(host="rebind.example"), resolver=RebindingResolver(*shifts))
        assert not server.received


async def test_a_redirect_to_a_special_address_is_refused_on_the_hop_that_leads_there() -> None:
    async def to_metadata(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")

    async with http_server(to_metadata) as server:
        message = await _refused(server.url(), policy=LOOPBACK_ALLOWED, follow=True)
        assert "169.254.169.254 is a metadata service" in message
        assert len(server.received) == 1


@pytest.mark.parametrize(
    "target",
    ["http://2130706433/", "//127.1/", "ftp://example.com/", "file:///etc/passwd", "http://user:pass@127.0.0.1/"],
)
async def test_a_redirect_is_checked_like_any_url(target: str) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    async with http_server(redirect) as server:
        await _refused(server.url(), policy=LOOPBACK_ALLOWED, follow=True)
        assert len(server.received) == 1


async def test_a_redirect_through_a_name_that_resolves_to_loopback_is_refused() -> None:
    async with http_server() as inner:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(inner.url(host="inner.example"))

        async with http_server(redirect) as outer:
            policy = AddressPolicy.of(hosts=["outer.example"])
            resolver = ScriptedResolver(["127.0.0.1"])
            await _refused(outer.url(host="outer.example"), policy=policy, resolver=resolver, follow=True)
            assert len(outer.received) == 1 and not inner.received


async def test_a_host_that_the_operator_allows_is_reached_at_a_private_address() -> None:
    policy = AddressPolicy.of(hosts=["api.internal"])
    async with http_server() as server:
        async with OutboundHttp(policy, resolver=ScriptedResolver(["127.0.0.1"])) as http:
            assert (await http.send(_get(server.url("/order", host="API.internal.")))).status == 200
        assert server.received[0].path == "/order"


async def test_the_pool_of_an_allowed_host_is_not_open_to_another_name_of_the_same_address() -> None:
    policy = AddressPolicy.of(hosts=["api.internal"])
    async with http_server() as server, OutboundHttp(policy, resolver=ScriptedResolver(["127.0.0.1"])) as http:
        await http.send(_get(server.url(host="api.internal")))
        for host in ("other.internal", "127.0.0.1", "api.internal.example"):
            with pytest.raises(AddressRefused):
                await http.send(_get(server.url(host=host)))
        assert len(server.received) == 1


async def test_a_client_with_another_policy_shares_no_connection() -> None:
    async with http_server() as server, OutboundHttp(LOOPBACK_ALLOWED) as open_, OutboundHttp() as strict:
        await open_.send(_get(server.url()))
        with pytest.raises(AddressRefused):
            await strict.send(_get(server.url()))
        assert len(server.received) == 1


async def test_an_allowed_network_lets_the_literal_address_and_names_through() -> None:
    async with http_server() as server, OutboundHttp(LOOPBACK_ALLOWED) as http:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            assert (await http.send(_get(server.url(host=host)))).status == 200


async def test_a_proxy_from_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_server() as proxy, http_server() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        async with OutboundHttp(LOOPBACK_ALLOWED) as http:
            await http.send(_get(server.url()))
        assert len(server.received) == 1 and not proxy.received
