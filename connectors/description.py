"""A connector as the API and the console's forms show it."""

from __future__ import annotations

from typing import Any

from connectors.base import Action, Checkable
from connectors.catalog import CatalogEntry

__all__ = ["describe"]


def describe(entry: CatalogEntry) -> dict[str, Any]:
    """JSON data; `settings`, `credentials` and each action's `inputs` are JSON Schemas."""
    definition = entry.connector.definition
    return {
        "slug": definition.slug,
        "name": definition.name,
        "icon": definition.icon,
        "category": definition.category,
        "documentation_url": definition.documentation_url,
        "origin": entry.origin,
        "modes": list(definition.modes),
        "settings": definition.settings.model_json_schema(),
        "credentials": definition.credentials.model_json_schema(),
        "actions": [_action(action) for action in definition.actions],
        "batch": {"items": definition.batch.items, "content_bytes": definition.batch.content_bytes},
        "checkable": isinstance(entry.connector, Checkable),
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "slug": action.slug,
        "name": action.name,
        "description": action.description,
        "inputs": action.inputs.model_json_schema() if action.inputs else None,
        "default_mapping": dict(action.default_mapping) if action.default_mapping is not None else None,
    }
