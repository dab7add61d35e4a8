"""A connector's icon, also when the connector is not installed any more."""

from __future__ import annotations

from connectors.catalog import Catalog
from domain.errors import NotFound


def icon_of(catalog: Catalog, connector: str) -> str | None:
    """The `d` of an SVG path, or None."""
    try:
        return catalog.get(connector).definition.icon
    except NotFound:
        return None
