"""Requests, answers and error texts as they may be stored and shown: without the secrets that were in them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from connectors.messages import OutboundRequest, OutboundResponse

__all__ = ["Masker"]

MASK = "***"
MAX_EXCERPT_CHARACTERS = 16 * 1024  # enough to read what went wrong; a row of attempts stays small
MIN_SECRET_CHARACTERS = 4
# A shorter secret would blank out every "1" or "ab" of the log. It is masked where it is a whole header value, no more.
MIN_WORD_CHARACTERS = 8  # longer than `Bearer`, `Basic` and `Token`

_PERCENT = re.compile("%[0-9A-F]{2}")
_LEFT_BARE = ("", "/", "/:", "/:@!$&'()*+,;=~")  # what common encoders leave as it is in a path or a query
_SENSITIVE_HEADER = re.compile(
    r"(?:^|[-_])(?:authorization|auth|cookie2?|api-?key|access-?key|token|secret|password|passwd|session)(?:$|[-_])"
    r"|^(?:proxy-)?authenticate$",
    re.IGNORECASE,
)
_SENSITIVE_PARAMETER = re.compile(
    r"([?&](?:access_token|api_?key|auth|key|password|secret|sig|signature|token)=)[^&#\s]+", re.IGNORECASE
)
_USER_INFO = re.compile(r"(?<=://)[^/?#@\s\"'<>,]*@")


class Masker:
    """Replaces the given secrets, and every spelling of them that a URL, a header or a body may use, by `***`.

    Making one costs more than using it: keep it as long as the credentials.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secret for secret in secrets if secret)
        spellings = {each for secret in self._secrets for part in _parts(secret) for each in _spellings(part)}
        # Longest first: a secret that another one begins with must not leave the other's rest behind.
        self._spellings = sorted(spellings, key=len, reverse=True)
        self._longest = max(map(len, spellings), default=0)

    def text(self, text: str) -> str:
        """Any text, such as an error's message; without NUL and lone surrogates, which PostgreSQL does not store."""
        if "@" in text:
            text = _USER_INFO.sub(f"{MASK}@", text)
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)  # plain search: most texts hold none, and many of these are short
        if "\0" in text:
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text if text.isascii() else text.encode(errors="replace").decode()

    def request(self, request: OutboundRequest) -> dict[str, Any]:
        """JSON data `{method, url, headers, body}`; the body is an excerpt."""
        return {
            "method": request.method,
            "url": _SENSITIVE_PARAMETER.sub(rf"\1{MASK}", self.text(request.url)),
            "headers": self._headers(request.headers),
            "body": self._excerpt(request.content),
        }

    def response(self, response: OutboundResponse) -> dict[str, Any]:
        """JSON data `{status, headers, body, truncated}`; the body is an excerpt."""
        return {
            "status": response.status,
            "headers": self._headers(response.headers.items()),
            "body": self._excerpt(response.body),
            "truncated": response.truncated or len(response.body) > MAX_EXCERPT_CHARACTERS,
        }

    def _headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        masked: dict[str, str] = {}
        for name, value in headers:
            shown = self._header(name, value)
            masked[name] = f"{masked[name]}, {shown}" if name in masked else shown
        return masked

    def _header(self, name: str, value: str) -> str:
        if _SENSITIVE_HEADER.search(name) or value in self._secrets:
            return MASK
        return self.text(value)

    def _excerpt(self, content: bytes) -> str:
        # More than is shown is searched, so that a secret across the cut is seen whole; UTF-8 has at most four bytes
        # a character.
        window = content[: 4 * (MAX_EXCERPT_CHARACTERS + self._longest)].decode("utf-8", "replace")
        return self.text(window)[:MAX_EXCERPT_CHARACTERS]


def _parts(secret: str) -> Iterator[str]:
    """The secret, and the words of one like `Bearer …`, since an answer may quote the token alone."""
    yield secret
    yield from (word for word in secret.split() if len(word) >= MIN_WORD_CHARACTERS)


def _spellings(secret: str) -> Iterator[str]:
    if len(secret) < MIN_SECRET_CHARACTERS:
        return
    yield secret
    yield html.escape(secret)
    for escaped in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        yield from (escaped[1:-1], escaped[1:-1].replace("/", "\\/"))
    for encoded in (quote_plus(secret), *(quote(secret, safe=safe) for safe in _LEFT_BARE)):
        yield from (encoded, _PERCENT.sub(lambda match: match[0].lower(), encoded))
    for offset in range(3):
        yield from _base64_at(secret.encode(), offset)


def _base64_at(secret: bytes, offset: int) -> Iterator[str]:
    """What base64 of a text holds when the secret starts at this offset (mod 3) in it, as in `Basic user:password`."""
    encoded = base64.b64encode(bytes(offset) + secret).decode()
    first, last = -(-8 * offset // 6), 8 * (offset + len(secret)) // 6  # the characters made of the secret's bits alone
    core = encoded[first:last]
    if len(core) >= MIN_SECRET_CHARACTERS:
        yield from (core, core.replace("+", "-").replace("/", "_"))
