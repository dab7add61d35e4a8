"""Every connector there is: ours, listed here, and those of packages that the operator installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from connectors.base import Connector, Definition
from connectors.webhook import WebhookConnector
from domain.errors import NotFound

__all__ = ["Catalog", "CatalogEntry", "load_catalog"]

ENTRY_POINT_GROUP = "sluice.connectors"
BUILT_IN = "built-in"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """`origin` is `built-in`, or the name and version of the installed package."""

    connector: Connector
    origin: str = BUILT_IN


class Catalog:
    """Connectors by slug. `problems` says in words which installed packages could not be used."""

    def __init__(self, entries: Mapping[str, CatalogEntry], problems: tuple[str, ...] = ()) -> None:
        self._entries = dict(entries)
        self.problems = problems

    def get(self, slug: str) -> Connector:
        """Raises NotFound, naming the connectors there are."""
        return self.entry(slug).connector

    def entry(self, slug: str) -> CatalogEntry:
        if slug not in self._entries:
            raise NotFound(f"no connector {slug!r}; there are {', '.join(sorted(self._entries))}")
        return self._entries[slug]

    def all(self) -> tuple[CatalogEntry, ...]:
        """By name, as people look for them."""
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.connector.definition.name.lower()))


def load_catalog(packages: Iterable[EntryPoint] | None = None) -> Catalog:
    """Ours first; a package can add a connector but not replace one, and a broken package only becomes a problem."""
    entries = {connector.definition.slug: CatalogEntry(connector) for connector in _built_in()}
    problems: list[str] = []
    for point in entry_points(group=ENTRY_POINT_GROUP) if packages is None else packages:
        try:
            entry = CatalogEntry(_installed(point), _origin(point))
            _add(entries, entry)
        except Exception as error:  # whatever a foreign package raises must not stop ours
            problems.append(f"{_origin(point)}: {point.value}: {type(error).__name__}: {error}")
    return Catalog(entries, tuple(problems))


def _built_in() -> tuple[Connector, ...]:
    return (WebhookConnector(),)


def _installed(point: EntryPoint) -> Connector:
    """An entry point names a connector, or a class or function that makes one."""
    loaded = point.load()
    connector: Connector = loaded() if callable(loaded) else loaded
    if not isinstance(getattr(connector, "definition", None), Definition):
        raise TypeError("not a connector: it has no definition")
    if not (callable(getattr(connector, "build", None)) and callable(getattr(connector, "classify", None))):
        raise TypeError("not a connector: it lacks build or classify")
    return connector


def _add(entries: dict[str, CatalogEntry], entry: CatalogEntry) -> None:
    slug = entry.connector.definition.slug
    if slug in entries:
        raise ValueError(f"the slug {slug!r} is already taken by {entries[slug].origin}")
    entries[slug] = entry


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.name
