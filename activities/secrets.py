"""The secrets that an attempt signs in with, decrypted for it and for nothing else."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from connectors.fields import secret_values
from connectors.masking import Masker
from connectors.validation import validated
from storage.credentials import Credentials

PREVIOUS = "previous_"
MAX_MASKERS = 1_000  # one is dear to make and holds a few KB


@dataclass(frozen=True, slots=True)
class OpenedSecrets:
    """`model` is the connector's own credentials model; `masker` hides every secret in it."""

    model: Any
    masker: Masker


class SecretsOf:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._maskers: OrderedDict[tuple[str, int, bool], Masker] = OrderedDict()

    async def open(self, credentials_id: str | None, model: type[BaseModel]) -> OpenedSecrets:
        """Raises NotFound, SecretsUnreadable, InvalidInput."""
        if credentials_id is None:
            return OpenedSecrets(validated(model, {}, path="credentials"), Masker(()))
        secrets = await self._credentials.secrets(credentials_id)
        opened = validated(model, with_previous(secrets.current, secrets.previous, model), path="credentials")
        return OpenedSecrets(opened, self._masker((credentials_id, secrets.version, bool(secrets.previous)), opened))

    def _masker(self, key: tuple[str, int, bool], opened: BaseModel) -> Masker:
        if key not in self._maskers:
            self._maskers[key] = Masker(secret_values(opened))
            if len(self._maskers) > MAX_MASKERS:
                self._maskers.popitem(last=False)
        return self._maskers[key]


def with_previous(current: dict[str, Any], previous: dict[str, Any] | None, model: type[BaseModel]) -> dict[str, Any]:
    """During a rotation's grace period, a model's `previous_<name>s` takes what `<name>` was before."""
    merged = dict(current)
    for field in model.model_fields:
        name = field.removeprefix(PREVIOUS).removesuffix("s")
        if previous and field.startswith(PREVIOUS) and previous.get(name) and previous[name] != current.get(name):
            merged[field] = [*merged.get(field, ()), previous[name]]
    return merged
