"""Published revisions, compiled once and kept: a revision never changes."""

from __future__ import annotations

from collections import OrderedDict

from activities.compilation import CompiledDestination, compile_destination
from connectors.catalog import Catalog
from storage.revisions import Revisions

MAX_KEPT = 1_000  # compiled destinations; one takes some tens of KB


class PublishedDestinations:
    def __init__(self, revisions: Revisions, catalog: Catalog) -> None:
        self._revisions = revisions
        self._catalog = catalog
        self._kept: OrderedDict[tuple[str, int], CompiledDestination] = OrderedDict()

    async def get(self, destination_id: str, revision: int, connector: str) -> CompiledDestination:
        """Raises NotFound or InvalidInput when it cannot be used any more, for instance because a connector is gone."""
        key = (destination_id, revision)
        found = self._kept.get(key)
        if found is None:
            spec = await self._revisions.spec(destination_id, revision)
            found = self._kept[key] = compile_destination(spec, self._catalog.get(connector))
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found
