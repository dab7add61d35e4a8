"""Published revisions, compiled once and kept: a revision never changes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from activities.compilation import CompiledDestination, compile_destination
from connectors.catalog import Catalog
from domain.destinations import DestinationSpec

MAX_KEPT = 1_000  # compiled destinations; one takes some tens of KB


class SpecSource(Protocol):
    async def spec(self, destination_id: str, number: int) -> DestinationSpec: ...


class PublishedDestinations:
    def __init__(self, revisions: SpecSource, catalog: Catalog) -> None:
        self._revisions = revisions
        self._catalog = catalog
        self._kept: OrderedDict[tuple[str, int], CompiledDestination] = OrderedDict()

    async def get(
        self, destination_id: str, revision: int, connector: str, *, source: SpecSource | None = None
    ) -> CompiledDestination:
        """Read from `source` if it is not kept.

        Raises NotFound or InvalidInput when it cannot be used any more, for instance because a connector is gone.
        """
        key = (destination_id, revision)
        found = self._kept.get(key)
        if found is None:
            spec = await (source or self._revisions).spec(destination_id, revision)
            found = self._kept[key] = compile_destination(spec, self._catalog.get(connector))
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found
