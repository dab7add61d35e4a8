"""A URL that may be requested, read alike by both parsers on its way to the socket."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import httpx
from yarl import URL

from domain.errors import AddressRefused

__all__ = ["checked_url"]

MAX_URL_CHARACTERS = 16_384  # twice what common servers accept in a request line
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|\d+)", re.IGNORECASE)


@lru_cache(maxsize=1024)  # a tenth of what a request costs, and most destinations have one URL
def checked_url(text: str) -> httpx.URL:
    """An absolute http(s) URL with a host and without user info.

    Raises AddressRefused also for the legacy spellings of an IPv4 address (`2130706433`, `0x7f.1`, `0177.0.0.1`), which
    the operating system would read as an address although they do not look like one.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise AddressRefused(f"the URL is longer than {MAX_URL_CHARACTERS} characters")
    try:
        url = httpx.URL(text)
        connected = URL(str(url))  # as aiohttp reads what httpx hands to it
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise AddressRefused(f"the URL cannot be read: {error}") from error
    _check_shape(url, connected)
    _check_host(url.raw_host.decode("ascii"), connected.raw_host or "")
    return url


def _check_shape(url: httpx.URL, connected: URL) -> None:
    if url.scheme not in ("http", "https") or connected.scheme != url.scheme:
        raise AddressRefused(f"only http and https URLs are requested, not {url.scheme or 'a URL without a scheme'}")
    if url.userinfo or connected.user is not None or connected.password is not None:
        raise AddressRefused("a URL with user info is refused; send credentials in a header")
    if url.port != connected.explicit_port:
        raise AddressRefused("the port of the URL is ambiguous")


def _check_host(host: str, connected: str) -> None:
    if not host:
        raise AddressRefused("the URL has no host")
    if ":" in host:
        if not _same_ipv6(host, connected):
            raise AddressRefused(f"{host} is not a plain IPv6 address")
    elif not _NAME.fullmatch(host) or host.lower() != connected.lower():
        raise AddressRefused(f"{host} is not a host name")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) and not _is_dotted_quad(host):
        raise AddressRefused(f"{host} is not the plain spelling of an IPv4 address")


def _same_ipv6(host: str, connected: str) -> bool:
    try:
        return "%" not in host and IPv6Address(host) == IPv6Address(connected)
    except ValueError:
        return False


def _is_dotted_quad(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
