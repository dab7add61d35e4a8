"""One HTTP exchange as plain data: what is sent, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["USER_AGENT", "OutboundRequest", "OutboundResponse"]

USER_AGENT = "Sluice/0.1"

DEFAULT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """`headers` keep their order and may repeat; `content` is sent as is; the timeout bounds the whole exchange."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = field(default=b"", repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    follow_redirects: bool = False


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """`headers` by lower-cased name, repeats joined by a comma; `body` decoded from gzip or deflate.

    `truncated`: the body went on, but was too long, too slow or cut off. The status stands all the same.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    duration_ms: float = 0.0
