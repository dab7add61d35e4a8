# ruff: noqa: S101
from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from sluice_ntfy import NtfyConnector

from connectors.base import Item
from domain.errors import DeliveryError
from tests.connectors.builders import an_item
from tests.connectors.conformance import ConnectorConformance


class TestNtfy(ConnectorConformance):
    connector = NtfyConnector()
    settings: ClassVar = {"topic": "sign-ups"}
    secrets: ClassVar = {"token": "tk_only_for_this_test"}

    def items(self, number: int, *, attempt: int = 1, **inputs: Any) -> list[Item]:
        rendered = {"message": "ada@example.com", **inputs}
        return [
            an_item(delivery_id=f"d-{index}", attempt=attempt, action="notify", rendered=rendered)
            for index in range(number)
        ]

    def test_it_sends_what_the_mapping_filled_in(self) -> None:
        [prepared] = self.prepared()
        assert prepared.request.url == "https://ntfy.sh/"
        assert json.loads(prepared.request.content) == {
            "topic": "sign-ups",
            "message": "ada@example.com",
            "title": "",
            "priority": 3,
        }
        assert ("Authorization", f"Bearer {self.secrets['token']}") in prepared.request.headers

    def test_a_notification_without_a_message_fails_alone(self) -> None:
        settings = self.connector.definition.settings(topic="sign-ups")
        with pytest.raises(DeliveryError, match=r"inputs.message"):
            self.connector.build(settings, self.connector.definition.credentials(), self.items(1, message=""), now=None)
