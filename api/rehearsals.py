"""Everything before the sending, for one destination and one subject: what a preview shows and a test then sends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from activities.compilation import CompiledDestination, compile_destination
from activities.explaining import Explanation, explain_prerequisite
from activities.rehearsing import Rehearsal, rehearse
from activities.secrets import OpenedSecrets, SecretsOf
from activities.subjects import Subject
from api.aside import Aside
from api.subjects import SubjectBody, Subjects
from connectors.catalog import Catalog
from domain.errors import Conflict, InvalidInput, NotFound, SluiceError, Unavailable
from storage.declarations import Declaration, Declarations


class Unusable(Conflict):
    """What was saved does not fit the installed connector any more; `details` says where."""

    code = "destination_unusable"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """`secrets` are None where they could not be opened; `prerequisite` is None where none is declared."""

    declaration: Declaration
    compiled: CompiledDestination
    subject: Subject
    secrets: OpenedSecrets | None
    prerequisite: Explanation | None
    mappings: list[Rehearsal]


class Rehearsals:
    def __init__(
        self, declarations: Declarations, catalog: Catalog, subjects: Subjects, secrets: SecretsOf, aside: Aside
    ) -> None:
        self._declarations = declarations
        self._catalog = catalog
        self._subjects = subjects
        self._secrets = secrets
        self._aside = aside

    async def of(self, destination_id: str, body: SubjectBody, *, draft: bool | None) -> Rehearsed:
        """Raises NotFound, Conflict (of the draft, or Unusable) and TooManyRequests; people's mistakes are in the answer."""
        declaration = await self._declarations.get(destination_id, draft=draft)
        subject = await self._subjects.find(body, destination_id=destination_id)
        compiled = await self._aside.run(lambda: self._compile(declaration))
        secrets = await self._open(compiled)
        prerequisite, mappings = await self._aside.run(lambda: _rehearse(compiled, destination_id, subject, secrets))
        opened = secrets if isinstance(secrets, OpenedSecrets) else None
        return Rehearsed(declaration, compiled, subject, opened, prerequisite, mappings)

    def _compile(self, declaration: Declaration) -> CompiledDestination:
        try:
            return compile_destination(declaration.spec, self._catalog.get(declaration.connector))
        except (InvalidInput, NotFound) as error:
            raise Unusable(f"the destination cannot be used: {error.message}", details=error.details) from error

    async def _open(self, compiled: CompiledDestination) -> OpenedSecrets | SluiceError:
        try:
            return await self._secrets.open(compiled.spec.credentials, compiled.connector.definition.credentials)
        except Unavailable:
            raise
        except SluiceError as error:  # a mapping that does not match is explained all the same
            return error


def _rehearse(
    compiled: CompiledDestination, destination_id: str, subject: Subject, secrets: OpenedSecrets | SluiceError
) -> tuple[Explanation | None, list[Rehearsal]]:
    prerequisite = None
    if compiled.prerequisite is not None:
        view = subject.scope(destination_id=destination_id, mapping_id="", delivery_id="")
        prerequisite = explain_prerequisite(compiled, view, now=datetime.now(UTC))
    return prerequisite, rehearse(compiled, destination_id, subject, secrets)
