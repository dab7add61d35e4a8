"""From a mapping and what it sees to the request that would be sent: the same steps for a delivery, a test and a preview."""

from __future__ import annotations

from datetime import datetime

from activities.compilation import CompiledDestination
from activities.secrets import OpenedSecrets
from connectors.base import Item, PreparedRequest
from domain.errors import DeliveryError
from domain.objects import Scope

__all__ = ["ConnectorFault", "build", "render_item"]


class ConnectorFault(DeliveryError):
    """The connector's own code failed; whose package it is can be seen in the catalogue."""

    code = "connector_error"


def render_item(compiled: CompiledDestination, mapping_id: str, scope: Scope) -> Item:
    """What the mapping makes of `scope`, whose `delivery` names the delivery and counts its attempts. Raises RenderError."""
    mapping = compiled.mappings[mapping_id]
    return Item(
        delivery_id=scope["delivery"]["id"],
        attempt=scope["delivery"]["attempt"],
        mapping_id=mapping_id,
        action=mapping.mapping.action,
        rendered=mapping.render(scope),
        scope=scope,
    )


def build(compiled: CompiledDestination, secrets: OpenedSecrets, item: Item, *, now: datetime) -> PreparedRequest:
    """The request that carries the item. Raises DeliveryError, RenderError among them, whatever the connector does."""
    connector = compiled.connector
    try:
        built = connector.build(compiled.settings, secrets.model, [item], now=now)
    except DeliveryError:
        raise
    except Exception as error:  # a message of foreign code might quote a secret, so only its kind is told
        slug = connector.definition.slug
        raise ConnectorFault(f"the connector {slug} could not build a request: {type(error).__name__}") from error
    if len(built) != 1:
        raise ConnectorFault(f"the connector {connector.definition.slug} built {len(built)} requests for one item")
    return built[0]
