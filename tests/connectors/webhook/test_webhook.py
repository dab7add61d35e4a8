from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, ClassVar

import pytest

from connectors.base import Item, OutboundRequest
from connectors.webhook import WebhookConnector
from domain.errors import DeliveryError, InvalidInput, RenderError
from tests.connectors.builders import NOW, an_item, secrets_of, settings_of
from tests.connectors.conformance import ConnectorConformance

WEBHOOK = WebhookConnector()
KEY = "whsec_" + b64encode(b"a key of thirty-two bytes, fixed").decode()
BODY = {"format": "json", "template": {"order": "{{ event.properties.orderId }}", "total": "event@properties.total"}}


class TestConformance(ConnectorConformance):
    connector = WEBHOOK
    settings: ClassVar = {"url": "https://example.com/{{ event.name }}", "headers": {"X-User": "{{ user.id }}"}}
    secrets: ClassVar = {
        "signing_secret": KEY,
        "previous_signing_secrets": ["whsec_" + b64encode(b"an older key of thirty-two bytes").decode()],
        "secret_headers": {"X-Custom": "custom-secret-1", "Authorization": "Bearer token-secret-2"},
    }

    def items(self, number: int, *, attempt: int = 1) -> list[Item]:
        return [an_item(delivery_id=f"d-{index}", attempt=attempt, body=BODY) for index in range(number)]


def _build(
    item: Item | None = None,
    *,
    secrets: dict[str, Any] | None = None,
    url: str = "https://example.com/",
    **settings: Any,
) -> OutboundRequest:
    read = settings_of(WEBHOOK, url=url, **settings)
    [prepared] = WEBHOOK.build(read, secrets_of(WEBHOOK, **(secrets or {})), [item or an_item(body=BODY)], now=NOW)
    return prepared.request


def _refusals(**settings: Any) -> list[tuple[str, int | None, int | None]]:
    with pytest.raises(InvalidInput) as refused:
        settings_of(WEBHOOK, **settings)
    return [(detail.path, detail.line, detail.column) for detail in refused.value.details]


def test_the_body_of_the_mapping_is_posted_as_it_was_rendered() -> None:
    request = _build()
    assert (request.method, request.url, request.timeout_seconds) == ("POST", "https://example.com/", 30.0)
    assert json.loads(request.content) == {"order": "o/1", "total": 0}
    headers = dict(request.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "d-1"
    assert headers["User-Agent"].startswith("Sluice/")
    assert not request.follow_redirects


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_can_be_used(method: str) -> None:
    assert _build(method=method).method == method


def test_values_in_the_url_cannot_add_a_segment_or_a_parameter() -> None:
    request = _build(
        an_item(event={"name": "a/b?c=d&e#f g"}), url="https://example.com/{{ event.name }}?x={{ event.name }}"
    )
    assert request.url == "https://example.com/a%2Fb%3Fc%3Dd%26e%23f%20g?x=a%2Fb%3Fc%3Dd%26e%23f%20g"


@pytest.mark.parametrize("host", ["evil.example/", "user@evil.example", "evil.example:80", "a b", "evil.example#"])
def test_values_in_the_host_cannot_lead_elsewhere(host: str) -> None:
    request = _build(an_item(event={"name": host}), url="https://{{ event.name }}.example.com/hook")
    assert request.url.endswith(".example.com/hook")
    assert "@" not in request.url and request.url.count("/") == 3 and "#" not in request.url


def test_a_query_body_is_added_to_what_the_url_has() -> None:
    body = {"format": "query", "template": {"q": "a b&c", "list": ["1", "2"]}}
    expected = "q=a%20b%26c&list=1&list=2"
    for url, joined in [
        ("https://example.com/", f"https://example.com/?{expected}"),
        ("https://example.com/?x=1", f"https://example.com/?x=1&{expected}"),
        ("https://example.com/?", f"https://example.com/?{expected}"),
        ("https://example.com/?x=1#part", f"https://example.com/?x=1&{expected}#part"),
    ]:
        request = _build(an_item(body=body), url=url, method="GET")
        assert (request.url, request.content) == (joined, b"")
        assert "Content-Type" not in dict(request.headers)


def test_a_form_body_keeps_its_type() -> None:
    request = _build(an_item(body={"format": "form", "template": {"a": "b c"}}))
    assert dict(request.headers)["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.content == b"a=b+c"


def test_a_mapping_without_a_body_sends_none() -> None:
    request = _build(an_item())
    assert request.content == b""
    assert "Content-Type" not in dict(request.headers)


def test_named_inputs_are_not_what_a_webhook_takes() -> None:
    with pytest.raises(DeliveryError, match="named inputs"):
        _build(an_item(rendered={"text": "hello"}))


def test_headers_render_and_the_more_important_of_two_wins_whatever_their_case() -> None:
    request = _build(
        headers={"X-User": "{{ user.email }}", "x-token": "public", "user-agent": "Ours", "content-type": "text/json"},
        secrets={"secret_headers": {"X-Token": "secret"}},
    )
    assert dict(request.headers) == {
        "X-User": "ada@example.com",
        "X-Token": "secret",
        "user-agent": "Ours",
        "content-type": "text/json",
        "Idempotency-Key": "d-1",
    }


def test_a_setting_cannot_displace_the_idempotency_key() -> None:
    request = _build(headers={"idempotency-key": "mine"})
    assert [value for name, value in request.headers if name.lower() == "idempotency-key"] == ["d-1"]


def test_the_idempotency_header_can_be_renamed_or_left_out() -> None:
    assert dict(_build(idempotency_header="X-Delivery").headers)["X-Delivery"] == "d-1"
    assert "d-1" not in dict(_build(idempotency_header=None).headers).values()


def test_a_line_break_in_a_header_fails_the_delivery_and_names_the_setting() -> None:
    with pytest.raises(RenderError) as failure:
        _build(an_item(event={"name": "a\r\nX-Injected: b"}), headers={"X-Event": "{{ event.name }}"})
    assert failure.value.path == "settings.headers"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "{{ user.url }}",
        "http://",
        "https:///path",
        "https://user:pass@example.com/",
        "https://{{ user.id }}@example.com/",
        "https://127.1/",
        "https://a b/",
        "http+unix://%2Frun%2Fx/",
    ],
)
def test_a_url_that_could_never_be_called_is_refused_when_it_is_saved(url: str) -> None:
    assert _refusals(url=url) == [("settings.url", None, None)]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://api.internal/order",
        "HTTPS://example.com/{{ user.email }}",
        "https://{{ user.region }}.example.com/",
        "https://{{ user.host }}/",
        "https://example.com/?email={{ user.email | default: 'a@b.c' }}",
        "http://10.0.0.7:8080/",
    ],
)
def test_a_url_whose_address_is_decided_later_is_accepted(url: str) -> None:
    assert settings_of(WEBHOOK, url=url).url.text == url


def test_a_template_that_does_not_compile_is_refused_with_its_position() -> None:
    refusals = _refusals(url="https://example.com/\n{{ user.id ", headers={"X-A": "{% nope %}", "X-B": "fine"})
    assert [path for path, _, _ in refusals] == ["settings.url", "settings.headers.X-A"]
    assert refusals[0][1] == 2 and all(line and column for _, line, column in refusals)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "TRACE"),
        ("timeout_seconds", 0),
        ("timeout_seconds", 61),
        ("timeout_seconds", "nan"),
        ("idempotency_header", "not a name"),
        ("idempotency_header", "webhook-id"),
        ("headers", {"Host": "x"}),
        ("headers", {"Content-Length": "1"}),
        ("headers", {"webhook-signature": "v1,x"}),
        ("headers", {"X\nY": "1"}),
        ("headers", {f"X-{number}": "" for number in range(51)}),
        ("surprise", 1),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    assert all(path.startswith(f"settings.{field}") for path, _, _ in _refusals(url="https://e.com/", **{field: value}))


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        ({"signing_secret": "plain-text-secret"}, "credentials.signing_secret"),
        ({"signing_secret": "whsec_***"}, "credentials.signing_secret"),
        ({"signing_secret": "whsec_" + b64encode(b"short").decode()}, "credentials.signing_secret"),
        ({"previous_signing_secrets": ["nope-nope"]}, "credentials.previous_signing_secrets.0"),
        ({"secret_headers": {"X-Key": "two\r\nlines"}}, "credentials.secret_headers.X-Key"),
    ],
)
def test_a_credential_that_cannot_work_is_refused_without_quoting_it(secrets: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        secrets_of(WEBHOOK, **secrets)
    assert [detail.path for detail in refused.value.details] == [path]
    for value in ("plain-text-secret", "nope-nope", "two"):
        assert value not in str(refused.value) + str(refused.value.details)
