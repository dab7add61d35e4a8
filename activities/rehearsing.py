"""rehearse: everything a delivery does but the sending, for each mapping of a destination. Nothing is stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import uuid_utils.compat as uuid

from activities.building import build, render_item
from activities.compilation import CompiledDestination
from activities.explaining import Explanation, explain, failure
from activities.secrets import OpenedSecrets
from activities.subjects import Subject
from connectors.base import PreparedRequest
from connectors.masking import Masker
from domain.errors import DeliveryError, SluiceError
from domain.mappings import Mapping as MappingSpec
from domain.objects import Scope

PREVIEW_TIMEOUT = "preview_timeout"
REHEARSAL_SECONDS = 10.0  # of one core, for all mappings together; a usual one takes well under a millisecond

_TOO_SLOW = Explanation(
    "failed", PREVIEW_TIMEOUT, f"the mappings before this one took more than {REHEARSAL_SECONDS:g} seconds"
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One mapping, up to the moment of sending. `request` is `prepared` as it may be shown; both None if nothing would be sent.

    `matched`: the mapping takes it, even if no request could be made of it, which `explanation` then says.
    `changes`: what changed since this mapping's last delivery of the profile, None for events.
    """

    delivery_id: str
    mapping: MappingSpec
    explanation: Explanation
    matched: bool = False
    changes: Sequence[Mapping[str, Any]] | None = None
    prepared: PreparedRequest | None = None
    request: dict[str, Any] | None = None


def rehearse(
    compiled: CompiledDestination, destination_id: str, subject: Subject, secrets: OpenedSecrets | SluiceError
) -> list[Rehearsal]:
    """In the order of the mappings, disabled ones included. `secrets` may be the reason why there are none.

    Takes up to `REHEARSAL_SECONDS` and a little: for a thread. Never raises for what people wrote.
    """
    deadline = time.monotonic() + REHEARSAL_SECONDS
    done = []
    for mapping_id, mapping in compiled.mappings.items():
        delivery_id = str(uuid.uuid7())
        if time.monotonic() > deadline:
            done.append(Rehearsal(delivery_id, mapping.mapping, _TOO_SLOW))
            continue
        view = subject.scope(
            destination_id=destination_id,
            mapping_id=mapping_id,
            delivery_id=delivery_id,
            source=mapping.mapping.source,
        )
        done.append(
            _rehearsal(
                compiled, Rehearsal(delivery_id, mapping.mapping, _TOO_SLOW, changes=view["changes"]), view, secrets
            )
        )
    return done


def _rehearsal(
    compiled: CompiledDestination, blank: Rehearsal, view: Scope, secrets: OpenedSecrets | SluiceError
) -> Rehearsal:
    now = datetime.now(UTC)
    explanation = explain(compiled, blank.mapping.id, view, now=now)
    if explanation.status != "matched":
        return replace(blank, explanation=explanation)
    blank = replace(blank, matched=True)
    try:
        item = render_item(compiled, blank.mapping.id, view)
        if isinstance(secrets, SluiceError):
            return replace(blank, explanation=failure(secrets, path="credentials"))
        prepared = build(compiled, secrets, item, now=now)
    except DeliveryError as error:
        masker = secrets.masker if isinstance(secrets, OpenedSecrets) else Masker(())
        return replace(blank, explanation=_masked(failure(error), masker))
    request = secrets.masker.request(prepared.request)
    return replace(blank, explanation=explanation, prepared=prepared, request=request)


def _masked(explanation: Explanation, masker: Masker) -> Explanation:
    """A connector's message may quote what it was given."""
    error = explanation.error
    return replace(
        explanation,
        message=masker.text(explanation.message or ""),
        error=error and replace(error, message=masker.text(error.message)),
    )
