"""What a mapping is tried on: a profile, or an event and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from domain.mappings import differences
from domain.objects import Scope, scope


@dataclass(frozen=True, slots=True)
class Subject:
    """`event` is None for a profile change. `delivered`: the user as each mapping last delivered it, by mapping id.

    `profile_version` is None for a profile that is not stored. `changes_profile`: the event is a change of the profile too,
    already made in `user`, and mappings of profile changes see it as one.
    """

    user: Mapping[str, Any]
    profile_id: str
    profile_version: int | None = None
    event: Mapping[str, Any] | None = None
    changes_profile: bool = False
    delivered: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def scope(
        self, *, destination_id: str, mapping_id: str, delivery_id: str, source: Literal["profile", "events"] = "events"
    ) -> Scope:
        """As the first attempt of that delivery would see it. `source` is the mapping's."""
        delivered = self.delivered.get(mapping_id)
        event = None if self.changes_profile and source == "profile" else self.event
        return scope(
            user=self.user,
            event=event,
            changes=differences(delivered, self.user) if event is None else None,
            delivery={
                "id": delivery_id,
                "attempt": 1,
                "destination": {"id": destination_id},
                "mapping": {"id": mapping_id},
            },
        )
