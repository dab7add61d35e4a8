"""What a connector is: a definition, and two pure functions around one exchange.

    items ── build ──▶ requests ── OutboundHttp ──▶ response ── classify ──▶ one outcome per item

A connector reads no clock, opens no client and keeps no state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from connectors.messages import OutboundRequest, OutboundResponse
from connectors.outcomes import Outcome
from domain.bodies import RenderedBody

__all__ = [
    "Action",
    "BatchLimits",
    "Checkable",
    "Connector",
    "Definition",
    "Item",
    "OutboundRequest",
    "OutboundResponse",
    "Outcome",
    "PreparedRequest",
]

Category = Literal[
    "webhook", "messaging", "email", "crm", "support", "analytics", "advertising", "marketing", "queue", "warehouse"
]
Mode = Literal["cloud", "web"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a mapping can do at the destination.

    `inputs` are the named inputs it takes (their defaults may be templates); None: the mapping's body is what is sent.
    `default_mapping` is a mapping as in the API, without id and action, that a new destination is offered.
    """

    slug: str
    name: str
    description: str
    inputs: type[BaseModel] | None = None
    default_mapping: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Most items, and most bytes of content, that one `build` is given or one of its requests may hold."""

    items: int = 1
    content_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """A connector as data; it serves validation, the API and the console's forms. A slug is never renamed.

    `settings` and `credentials` are pydantic models made of plain fields and those of `connectors/fields.py`; `icon` is
    the `d` of an SVG path in a 24 × 24 box. The first action is the default.
    """

    slug: str
    name: str
    icon: str
    category: Category
    documentation_url: str
    settings: type[BaseModel]
    credentials: type[BaseModel]
    actions: tuple[Action, ...]
    modes: tuple[Mode, ...] = ("cloud",)
    batch: BatchLimits = field(default_factory=BatchLimits)

    def action(self, slug: str) -> Action | None:
        return next((action for action in self.actions if action.slug == slug), None)


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery to make. `attempt` counts from 1; `rendered` is what its mapping made of `scope`.

    `delivery_id` is the idempotency key: the same on every attempt.
    """

    delivery_id: str
    attempt: int
    mapping_id: str
    action: str
    rendered: RenderedBody | Mapping[str, Any] | None
    scope: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request and the items it carries, in the order in which `classify` answers for them."""

    request: OutboundRequest
    items: tuple[Item, ...]


class Connector(Protocol):
    @property
    def definition(self) -> Definition: ...

    def build(self, settings: Any, secrets: Any, items: Sequence[Item], *, now: datetime) -> Sequence[PreparedRequest]:
        """Requests that carry every item once; `settings` and `secrets` are instances of the definition's models.

        Raises DeliveryError (RenderError among them) for what cannot be sent; `connectors/preparing.py` finds whose
        fault it was when there are several items.
        """

    def classify(self, prepared: PreparedRequest, response: OutboundResponse, *, now: datetime) -> Sequence[Outcome]:
        """One outcome per item of `prepared`, in order. Never raises, whatever the server answered."""


@runtime_checkable
class Checkable(Protocol):
    """A connector that can ask its vendor whether the credentials work, without an effect."""

    def check(self, settings: Any, secrets: Any, *, now: datetime) -> OutboundRequest: ...

    def classify_check(self, response: OutboundResponse, *, now: datetime) -> Outcome: ...
