"""Signatures as a receiver checks them, with the specification's own library, on what really arrived."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from connectors.http import OutboundHttp
from connectors.webhook import WebhookConnector
from connectors.webhook.signature import signing_key
from tests.connectors.builders import an_item, secrets_of, settings_of
from tests.connectors.servers import LOOPBACK_ALLOWED, Received, http_server

WEBHOOK = WebhookConnector()
BODY = {"format": "json", "template": {"name": "{{ user.fullName }} 👋", "plan": "profile@plan"}}


def _key(letter: str) -> str:
    return "whsec_" + b64encode(letter.encode() * 32).decode()


async def _received(secrets: dict[str, Any], *, now: datetime | None = None, body: Any = BODY) -> Received:
    async with http_server() as server, OutboundHttp(LOOPBACK_ALLOWED) as http:
        settings = settings_of(WEBHOOK, url=server.url("/hook"))
        item = an_item(delivery_id="0199d0a2-0000-7000-8000-000000000001", body=body)
        [prepared] = WEBHOOK.build(settings, secrets_of(WEBHOOK, **secrets), [item], now=now or datetime.now(UTC))
        response = await http.send(prepared.request)
        [outcome] = WEBHOOK.classify(prepared, response, now=datetime.now(UTC))
        assert outcome.kind == "delivered"
        return server.received[0]


async def test_the_receiver_can_verify_the_signature_over_the_bytes_it_got() -> None:
    received = await _received({"signing_secret": _key("a")})
    payload = Webhook(_key("a")).verify(received.body, received.headers)
    assert payload == {"name": "Ada Lovelace 👋", "plan": "pro"}
    assert (
        received.headers["webhook-id"] == received.headers["idempotency-key"] == "0199d0a2-0000-7000-8000-000000000001"
    )


async def test_during_a_rotation_the_old_and_the_new_secret_both_verify() -> None:
    received = await _received({"signing_secret": _key("n"), "previous_signing_secrets": [_key("o"), _key("p")]})
    for letter in "nop":
        Webhook(_key(letter)).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(_key("x")).verify(received.body, received.headers)


async def test_a_changed_body_id_or_time_does_not_verify() -> None:
    received = await _received({"signing_secret": _key("a")})
    receiver = Webhook(_key("a"))
    receiver.verify(received.body, received.headers)
    later = str(int(received.headers["webhook-timestamp"]) + 1)
    for body, headers in [
        (received.body + b" ", received.headers),
        (received.body, {**received.headers, "webhook-id": "another"}),
        (received.body, {**received.headers, "webhook-timestamp": later}),
    ]:
        with pytest.raises(WebhookVerificationError):
            receiver.verify(body, headers)


async def test_an_old_attempt_cannot_be_replayed() -> None:
    received = await _received({"signing_secret": _key("a")}, now=datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(_key("a")).verify(received.body, received.headers)


async def test_a_request_without_a_body_is_signed_too() -> None:
    received = await _received({"signing_secret": _key("a")}, body=None)
    assert received.body == b""
    Webhook(_key("a")).verify(received.body, received.headers, json_parse=False)


async def test_without_a_signing_secret_nothing_is_signed() -> None:
    received = await _received({})
    assert not [name for name in received.headers if name.startswith("webhook-")]


def test_a_signing_secret_is_24_to_64_bytes_of_base64_behind_its_prefix() -> None:
    assert signing_key(_key("a")) == b"a" * 32
    for wrong in ("a" * 32, "whsec_", "whsec_!!!!", "whsec_" + b64encode(b"a" * 23).decode()):
        with pytest.raises(ValueError, match="signing secret") as refused:
            signing_key(wrong)
        assert wrong.removeprefix("whsec_") not in str(refused.value) or wrong == "whsec_"
