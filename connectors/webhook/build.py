"""From one item to one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import quote, urlencode

from connectors.base import Item, OutboundRequest
from connectors.messages import USER_AGENT
from connectors.webhook.definition import WebhookCredentials, WebhookSettings
from connectors.webhook.signature import signature_headers
from domain.bodies import RenderedBody
from domain.errors import DeliveryError

__all__ = ["build_request"]

Header = tuple[str, str]


def build_request(
    settings: WebhookSettings, secrets: WebhookCredentials, item: Item, *, now: datetime
) -> OutboundRequest:
    """Raises RenderError when the URL or a header does not render."""
    body = _body(item)
    content = body.content or b""
    headers = [
        ("User-Agent", USER_AGENT),
        *([("Content-Type", body.content_type)] if body.content_type else []),
        *_configured_headers(settings, secrets, item),
        *_signature(secrets, item, content, now),
    ]
    return OutboundRequest(
        method=settings.method,
        url=_with_query(settings.url.render_url(item.scope), body.query),
        headers=_last_of_each(headers),
        content=content,
        timeout_seconds=settings.timeout_seconds,
        follow_redirects=settings.follow_redirects,
    )


def _body(item: Item) -> RenderedBody:
    if item.rendered is None:
        return RenderedBody(value=None)
    if not isinstance(item.rendered, RenderedBody):
        raise DeliveryError("a webhook sends its mapping's body; it takes no named inputs")
    return item.rendered


def _configured_headers(settings: WebhookSettings, secrets: WebhookCredentials, item: Item) -> Iterator[Header]:
    """In rising precedence, so that no setting displaces a secret or the delivery's identity."""
    for name, template in settings.headers.items():
        yield name, template.render_header(item.scope)
    for name, secret in secrets.secret_headers.items():
        yield name, secret.get_secret_value()
    if settings.idempotency_header:
        yield settings.idempotency_header, item.delivery_id


def _signature(secrets: WebhookCredentials, item: Item, content: bytes, now: datetime) -> tuple[Header, ...]:
    current = [secrets.signing_secret] if secrets.signing_secret else []
    keys = [secret.get_secret_value() for secret in (*current, *secrets.previous_signing_secrets)]
    return signature_headers(keys, message_id=item.delivery_id, now=now, content=content) if keys else ()


def _last_of_each(headers: Iterable[Header]) -> tuple[Header, ...]:
    """One header per name; the later wins."""
    return tuple({name.lower(): (name, value) for name, value in headers}.values())


def _with_query(url: str, pairs: tuple[Header, ...]) -> str:
    if not pairs:
        return url
    before, mark, fragment = url.partition("#")
    joint = "" if before.endswith(("?", "&")) else "&" if "?" in before else "?"
    return f"{before}{joint}{urlencode(pairs, quote_via=quote)}{mark}{fragment}"
