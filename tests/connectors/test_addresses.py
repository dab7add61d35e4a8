from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.addresses import AddressPolicy
from domain.errors import AddressRefused

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "shared"),
    ("100.127.255.254", "shared"),
    ("100.100.100.200", "metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "reserved"),
    ("192.0.0.192", "metadata"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::808:808", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:0:127.0.0.1", "loopback"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a9fe:a9fe", "metadata"),
    ("64:ff9b:1::1", "NAT64"),
    ("100::1", "reserved"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff::1", "documentation"),
    ("5f00::1", "reserved"),
    ("4000::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fdff::1", "private"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("nonsense", "not an IP address"),
    ("", "not an IP address"),
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "2001:4860:4860::8888",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_a_special_address_is_refused_and_named_for_what_it_is(address: str, kind: str) -> None:
    with pytest.raises(AddressRefused, match=kind):
        AddressPolicy().check(address, host="example.com")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    AddressPolicy().check(address, host="example.com")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_ipv6_embeds_it(address: object) -> None:
    assert _refused(str(address)) == _refused(f"::ffff:{address}") == _refused(f"64:ff9b::{address}")


@given(st.ip_addresses())
def test_what_python_knows_to_be_private_is_never_permitted(address: object) -> None:
    assert _refused(str(address)) or not address.is_private or str(address).startswith(("64:ff9b", "::ffff"))  # type: ignore[attr-defined]


def test_the_refusal_names_the_host_its_address_and_the_way_out() -> None:
    with pytest.raises(AddressRefused, match=r"api\.internal \(10\.0\.0\.7\) is private; an operator can allow"):
        AddressPolicy().check("10.0.0.7", host="api.internal")


def test_an_allowed_network_is_permitted_and_its_neighbour_is_not() -> None:
    policy = AddressPolicy.of(networks=["10.1.0.0/16", "fd12::/32"])
    policy.check("10.1.255.255", host="a")
    policy.check("::ffff:10.1.0.1", host="a")
    policy.check("fd12::1", host="a")
    for address in ("10.2.0.0", "fd13::1", "127.0.0.1"):
        with pytest.raises(AddressRefused):
            policy.check(address, host="a")


def test_an_allowed_host_is_matched_whole_whatever_its_case_and_trailing_dot() -> None:
    policy = AddressPolicy.of(hosts=["API.internal", "[::1]"])
    assert policy.trusts("api.internal") and policy.trusts("Api.Internal.") and policy.trusts("::1")
    assert not policy.trusts("x.api.internal") and not policy.trusts("api.internal.example.com")


def test_a_network_that_is_none_is_refused_when_the_policy_is_made() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        AddressPolicy.of(networks=["10.0.0.1/8"])


def _refused(address: str) -> bool:
    try:
        AddressPolicy().check(address, host=address)
    except AddressRefused:
        return True
    return False
