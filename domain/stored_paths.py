"""Where a field that a condition reads would stand in a stored profile."""

from __future__ import annotations

from domain.condition_nodes import Field
from domain.objects import ROOT_FIELDS

__all__ = ["ALWAYS_THERE", "PROFILE_SOURCES", "stored_paths"]

Path = tuple[str, ...]

PROFILE_SOURCES = ("profile", "user")
ALWAYS_THERE = frozenset({"id", "userId", "properties", "computedProperties", "segments", "createdAt", "updatedAt"})
"""Root fields that every profile has, whatever was stored of it."""


def stored_paths(field: Field) -> tuple[Path, ...]:
    """The paths into a profile's document that the field may be found at; none for what is always there, and for events."""
    root, *_ = field.segments
    if field.source not in PROFILE_SOURCES or field.segments in {(name,) for name in ALWAYS_THERE}:
        return ()
    if root not in ROOT_FIELDS:
        return (("properties", *field.segments),)
    return (field.segments, ("properties", *field.segments)) if root == "email" else (field.segments,)
