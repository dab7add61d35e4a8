"""The address guard beneath the HTTP client: what is refused here was never connected to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.addresses import AddressPolicy
from domain.errors import AddressRefused

__all__ = ["SystemResolver", "guarded_connector", "unguarded_connector"]

LOOKUP_THREADS = 32
# Names that hang must not hold up others; aiohttp looks one name up once at a time, so one name takes one thread.
DNS_CACHE_SECONDS = 10
# Spares a burst of new connections a look-up each; addresses are checked again at every connection.
KEEPALIVE_SECONDS = 15
# Below the idle timeout of common servers (nginx 75, ALB 60): fewer requests on a dying connection.


class SystemResolver(AbstractResolver):
    """The operating system's resolver (hosts file, DNS) on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG),
        )
        return [_resolved(host, port, family, proto, str(address[0])) for family, _, proto, _, address in found]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def guarded_connector(policy: AddressPolicy, resolver: AbstractResolver, tls: ssl.SSLContext) -> TCPConnector:
    """Connects only to addresses that `policy` permits; raises AddressRefused, bare or as the cause of an OSError."""
    return _connector(_GuardedResolver(policy, resolver), tls, _guarded_socket(policy))


def unguarded_connector(resolver: AbstractResolver, tls: ssl.SSLContext) -> TCPConnector:
    """For hosts that the operator trusts by name."""
    return _connector(resolver, tls, None)


def _connector(
    resolver: AbstractResolver, tls: ssl.SSLContext, create: Callable[[AddrInfoType], socket.socket] | None
) -> TCPConnector:
    return TCPConnector(
        resolver=resolver,
        ssl=tls,
        socket_factory=create,
        ttl_dns_cache=DNS_CACHE_SECONDS,
        keepalive_timeout=KEEPALIVE_SECONDS,
        limit=0,  # senders are bounded per destination; a shared limit would let one that hangs block the others
    )


class _GuardedResolver(AbstractResolver):
    """Refuses a name as a whole when any of its addresses is refused: a mixed answer is how rebinding starts."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        if not results:
            raise OSError(f"{host} has no address")
        for result in results:
            self._policy.check(result["host"], host=host)
        return results

    async def close(self) -> None:
        """The inner resolver belongs to whoever made it."""


class _RefusedAtConnect(AddressRefused, OSError):
    """aiohappyeyeballs passes on OSErrors only when it races several addresses."""


def _guarded_socket(policy: AddressPolicy) -> Callable[[AddrInfoType], socket.socket]:
    def create(addr_info: AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = addr_info
        try:
            policy.check(str(address[0]), host=str(address[0]))
        except AddressRefused as refused:
            raise _RefusedAtConnect(refused.message) from refused
        return socket.socket(family, kind, proto)

    return create


def _resolved(host: str, port: int, family: int, proto: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=proto, flags=socket.AI_NUMERICHOST
    )
