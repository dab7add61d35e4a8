"""What holds for every connector. Its test subclasses `ConnectorConformance` and says how to make its items."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import pytest

from connectors.base import Connector, Item, PreparedRequest
from connectors.catalog import BUILT_IN, CatalogEntry, load_catalog
from connectors.description import describe
from connectors.fields import reveal, secret_values
from connectors.masking import Masker
from connectors.messages import OutboundResponse
from connectors.outcomes import MAX_RETRY_AFTER_SECONDS
from connectors.urls import checked_url
from connectors.validation import validated
from domain.errors import InvalidInput
from domain.mappings import Mapping as MappingSpec
from domain.mappings import compile_mapping
from tests.connectors.builders import NOW

# What servers, proxies and vendors answer with on a bad day.
BODIES = [
    b"",
    b"ok",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"text"',
    b"{not json",
    b"\xff\xfe\x00",
    b"<html>502 Bad Gateway</html>",
    b'{"errors": null}',
    b'{"errors": [null, 1, {}]}',
    b'{"error": {"message": 1}}',
    b"[" * 100_000,
    b"1" * 10_000,
]
STATUSES = [
    100,
    200,
    201,
    202,
    204,
    207,
    301,
    304,
    400,
    401,
    403,
    404,
    408,
    409,
    410,
    413,
    422,
    423,
    425,
    429,
    500,
    503,
    599,
]


class ConnectorConformance:
    """`secrets` holds every secret the connector has, each unlike anything else in the requests."""

    connector: ClassVar[Connector]
    settings: ClassVar[Mapping[str, Any]]
    secrets: ClassVar[Mapping[str, Any]]
    key_in_request = True  # False for vendors that take no idempotency key

    def items(self, number: int, *, attempt: int = 1) -> list[Item]:
        """That many items with the delivery ids `d-0`, `d-1`, …"""
        raise NotImplementedError

    def prepared(self, number: int = 1, *, attempt: int = 1, now: datetime = NOW) -> Sequence[PreparedRequest]:
        definition = self.connector.definition
        settings = validated(definition.settings, self.settings, path="settings")
        secrets = validated(definition.credentials, self.secrets, path="credentials")
        return self.connector.build(settings, secrets, self.items(number, attempt=attempt), now=now)

    def test_it_is_in_the_catalogue(self) -> None:
        slug = self.connector.definition.slug
        assert load_catalog().get(slug).definition is self.connector.definition

    def test_its_names_are_in_order(self) -> None:
        definition = self.connector.definition
        slugs = [action.slug for action in definition.actions]
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*(-[a-z0-9]+)*", slug) for slug in [definition.slug, *slugs])
        assert slugs and len(slugs) == len(set(slugs))
        assert definition.documentation_url.startswith("https://")
        assert re.fullmatch(r"[MmLlHhVvCcSsQqTtAaZz0-9 ,.-]+", definition.icon)

    def test_its_description_is_json_and_holds_no_secret(self) -> None:
        text = json.dumps(describe(CatalogEntry(self.connector, BUILT_IN)), allow_nan=False)
        assert not [secret for secret in self._secret_values() if secret in text]

    def test_every_credential_that_is_secret_is_marked_so(self) -> None:
        text = json.dumps(self.connector.definition.credentials.model_json_schema())
        assert text.count('"writeOnly": true') == text.count('"secret": true')
        assert bool(self._secret_values()) == ('"secret": true' in text)

    def test_settings_and_secrets_read_back_as_they_were_written(self) -> None:
        definition = self.connector.definition
        settings = validated(definition.settings, self.settings, path="settings")
        stored = json.loads(settings.model_dump_json())
        assert json.loads(validated(definition.settings, stored, path="s").model_dump_json()) == stored
        secrets = validated(definition.credentials, self.secrets, path="credentials")
        assert validated(definition.credentials, json.loads(json.dumps(reveal(secrets))), path="c") == secrets
        assert not [secret for secret in self._secret_values() if secret in repr(secrets) + str(secrets.model_dump())]

    def test_an_unknown_field_is_refused_without_quoting_its_value(self) -> None:
        definition = self.connector.definition
        for model, data in ((definition.settings, self.settings), (definition.credentials, self.secrets)):
            with pytest.raises(InvalidInput) as refused:
                validated(model, {**data, "surprise": "s3cr3t-value"}, path="x")
            assert [detail.path for detail in refused.value.details] == ["x.surprise"]
            assert "s3cr3t-value" not in str(refused.value)

    def test_every_default_mapping_is_a_mapping(self) -> None:
        for action in self.connector.definition.actions:
            if action.default_mapping is not None:
                compile_mapping(MappingSpec.model_validate({**action.default_mapping, "action": action.slug}))

    def test_every_item_is_carried_once_and_within_the_batch_limit(self) -> None:
        limits = self.connector.definition.batch
        for number in {1, 2, limits.items}:
            prepared = self.prepared(number)
            carried = [item.delivery_id for each in prepared for item in each.items]
            assert sorted(carried) == sorted(f"d-{index}" for index in range(number))
            assert all(len(each.items) <= limits.items for each in prepared)
            if limits.content_bytes is not None:
                assert all(len(each.request.content) <= limits.content_bytes for each in prepared)

    def test_building_twice_gives_the_same(self) -> None:
        assert [each.request for each in self.prepared(2)] == [each.request for each in self.prepared(2)]

    def test_its_requests_go_to_a_web_address_within_a_minute(self) -> None:
        for each in self.prepared():
            checked_url(each.request.url)
            assert 0 < each.request.timeout_seconds <= 60

    def test_the_idempotency_key_is_in_every_attempt(self) -> None:
        if self.key_in_request:
            for attempt in (1, 2, 15):
                [each] = self.prepared(attempt=attempt)
                sent = f"{each.request.url} {each.request.headers} {each.request.content.decode()}"
                assert "d-0" in sent

    def test_no_secret_is_in_the_request_as_shown(self) -> None:
        masker = Masker(self._secret_values())
        for each in self.prepared():
            shown = json.dumps(masker.request(each.request))
            assert not [secret for secret in self._secret_values() if secret in shown]

    @pytest.mark.parametrize("status", STATUSES)
    def test_every_answer_gives_each_item_one_outcome(self, status: int) -> None:
        [each] = self.prepared()
        for body in BODIES:
            for headers in ({}, {"content-type": "application/json"}, {"retry-after": "1e9"}):
                for truncated in (False, True):
                    response = OutboundResponse(status, headers, body, truncated)
                    outcomes = self.connector.classify(each, response, now=NOW)
                    assert len(outcomes) == len(each.items)
                    assert all(outcome.code and outcome.message for outcome in outcomes)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_server_that_asks_for_time_gets_it(self, status: int) -> None:
        [each] = self.prepared()
        [outcome] = self.connector.classify(each, OutboundResponse(status, {"retry-after": "17"}), now=NOW)
        assert (outcome.kind, outcome.retry_after_seconds) == ("retry", 17.0)
        [outcome] = self.connector.classify(each, OutboundResponse(status, {"retry-after": "9" * 30}), now=NOW)
        assert outcome.retry_after_seconds == MAX_RETRY_AFTER_SECONDS

    def _secret_values(self) -> frozenset[str]:
        return secret_values(validated(self.connector.definition.credentials, self.secrets, path="credentials"))
