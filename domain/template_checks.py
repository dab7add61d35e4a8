"""What a rendered URL and a rendered header value must not hold."""

from __future__ import annotations

_FORBIDDEN_IN_HEADERS = frozenset(map(chr, range(32))) - {"\t"} | {"\x7f"}
_FORBIDDEN_IN_URLS = frozenset(map(chr, range(33))) | {"\x7f"}


def url_fault(url: str, template: str) -> str | None:
    """What is wrong with the URL, in words."""
    if not _FORBIDDEN_IN_URLS.isdisjoint(url):
        return "a URL cannot hold spaces or control characters"
    if _dot_segments(url) > _dot_segments(template):
        return 'a value would make a path segment "." or "..", which steps out of the path'
    return None


def header_fault(value: str) -> str | None:
    """What is wrong with the header's value, in words."""
    if not _FORBIDDEN_IN_HEADERS.isdisjoint(value):
        return "a header value cannot hold line breaks or control characters"
    return None


def _dot_segments(url: str) -> int:
    path = url.split("?", 1)[0].split("#", 1)[0]
    return sum(segment in (".", "..") for segment in path.split("/"))
