"""The objects that templates and conditions see: `user` (also `profile`), `event`, `changes`, `delivery`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Scope = Mapping[str, Any]

ROOT_FIELDS = (
    "id",
    "userId",
    "anonymousId",
    "email",
    "properties",
    "computedProperties",
    "segments",
    "createdAt",
    "updatedAt",
)

_ROOTS = frozenset(ROOT_FIELDS)


class UserView(Mapping[str, Any]):
    """A profile in which a name that is no root field is looked up in the properties too.

    `email` is the top-level email, else `properties.email`. A root field that is null was never set and counts
    as missing, since a merge patch cannot store a null. Iterating gives the root fields only.
    """

    __slots__ = ("_profile", "_properties")

    def __init__(self, profile: Mapping[str, Any]) -> None:
        self._profile = profile
        self._properties: Mapping[str, Any] = profile.get("properties") or {}

    def __getitem__(self, key: str) -> Any:
        if key not in _ROOTS:
            return self._properties[key]
        value = self._profile.get(key)
        if value is not None:
            return value
        if key == "email":
            return self._properties[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (name for name in ROOT_FIELDS if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def scope(
    *,
    user: Mapping[str, Any],
    event: Mapping[str, Any] | None = None,
    changes: Sequence[Mapping[str, Any]] | None = None,
    delivery: Mapping[str, Any] | None = None,
    now: object = None,
) -> Scope:
    """What one rendering sees. `user` is a profile as stored (see `ROOT_FIELDS`), or already a view of one.

    `now` (a datetime) is what `"now"` and `"today"` mean in a template; without it, the moment of rendering in UTC.
    """
    view = user if isinstance(user, UserView) else UserView(user)
    objects: dict[str, Any] = {"user": view, "profile": view, "event": event, "changes": changes, "delivery": delivery}
    if now is not None:
        objects["now"] = objects["today"] = now
    return objects
