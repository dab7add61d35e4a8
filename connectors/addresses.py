"""Which addresses an outbound request may reach.

The rule is about the address that is about to be connected to, whatever the URL called it: a name that resolves to it,
another spelling, a redirect. `connectors/sockets.py` applies it beneath the HTTP client.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from domain.errors import AddressRefused

__all__ = ["AddressPolicy"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# IANA IPv4 and IPv6 special-purpose address registries, and the clouds' metadata services outside them.
_SPECIAL = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.169.254/32", "a metadata service"),
        ("168.63.129.16/32", "a metadata service"),  # Azure's, the one metadata service at a public address
        ("100.100.100.200/32", "a metadata service"),
        ("192.0.0.192/32", "a metadata service"),
        ("fd00:ec2::254/128", "a metadata service"),
        ("fd20:ce::254/128", "a metadata service"),
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarking"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "a local NAT64 translation"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001:2::/48", "for benchmarking"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # the only block IANA assigns public IPv6 addresses from
_EMBEDS_V4 = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped: the kernel connects to the IPv4 address itself
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated
    IPv6Network("64:ff9b::/96"),  # NAT64: the gateway connects to the IPv4 address
)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Every special range is refused, except what the operator lists here.

    `allowed_hosts` are exact names (or literal addresses), lower-cased, whose addresses are not looked at;
    `allowed_networks` are ranges that any name may resolve to.
    """

    allowed_hosts: frozenset[str] = frozenset()
    allowed_networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, hosts: Iterable[str] = (), networks: Iterable[str] = ()) -> AddressPolicy:
        """From text as an operator writes it; ValueError names a network that is none."""
        return cls(frozenset(map(_plain, hosts)), tuple(ip_network(network.strip()) for network in networks))

    def trusts(self, host: str) -> bool:
        return _plain(host) in self.allowed_hosts

    def check(self, address: str, *, host: str) -> None:
        """Raises AddressRefused when `address`, which `host` stands for, must not be connected to."""
        kind = _special_kind(address)
        if kind is not None and not self._allows(address):
            named = host if host == address else f"{host} ({address})"
            raise AddressRefused(f"{named} is {kind}; an operator can allow the host or its network")

    def _allows(self, address: str) -> bool:
        candidates = _readings(address)
        return any(each in network for network in self.allowed_networks for each in candidates)


def _plain(host: str) -> str:
    return host.strip().lower().strip("[]").rstrip(".")


def _readings(address: str) -> tuple[Address, ...]:
    """The address, and the IPv4 address it embeds if any; nothing for what is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ()
    if isinstance(parsed, IPv6Address) and any(parsed in network for network in _EMBEDS_V4):
        return parsed, IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return (parsed,)


@lru_cache(maxsize=4096)
def _special_kind(address: str) -> str | None:
    """In words, what makes the address special; None for a public one."""
    readings = _readings(address)
    if not readings:
        return "not an IP address"
    reading = readings[-1]
    for network, kind in _SPECIAL:
        if reading in network:
            return kind
    if isinstance(reading, IPv6Address) and reading not in _GLOBAL_UNICAST_V6:
        return "reserved"
    return None
