"""What may become a draft or a revision: everything in it compiles, and inline credentials fit the connector."""

from __future__ import annotations

from typing import Any

from activities.compilation import compile_destination
from api.destination_bodies import InlineCredentials, WriteDraft
from connectors.base import Connector
from connectors.catalog import Catalog
from connectors.fields import reveal
from connectors.validation import validated
from domain.destinations import DestinationSpec
from domain.errors import ErrorDetail, InvalidInput, NotFound
from storage.credentials import Credentials, SealedCredentials


class Admission:
    """Callable with a connector's slug and a spec, as storage wants it."""

    def __init__(self, catalog: Catalog, credentials: Credentials) -> None:
        self._catalog = catalog
        self._credentials = credentials

    def __call__(self, connector: str, spec: DestinationSpec) -> None:
        """Raises InvalidInput with the path of every mistake."""
        compile_destination(spec, self.connector(connector))

    def read(self, body: WriteDraft, connector: str) -> tuple[DestinationSpec, SealedCredentials | None]:
        """The spec with its credentials' id, and the credentials themselves if they were given inline.

        Raises InvalidInput with the path of every mistake.
        """
        inline, sealed = body.credentials, None
        credentials_id = inline
        if isinstance(inline, InlineCredentials):
            sealed = self._credentials.seal(
                name=inline.name or body.name,
                connector=connector,
                secrets=self.secrets(connector, inline.secrets, path="credentials.secrets"),
                environment=inline.environment,
            )
            credentials_id = sealed.id
        fields = {name: getattr(body, name) for name in DestinationSpec.model_fields}
        # Not validated again: every field was when the body was read.
        spec = DestinationSpec.model_construct(**{**fields, "credentials": credentials_id})
        self(connector, spec)
        return spec, sealed

    def secrets(self, connector: str, secrets: dict[str, Any], *, path: str = "secrets") -> dict[str, Any]:
        """The secrets as the connector reads them. Raises InvalidInput, which never holds a value."""
        return reveal(validated(self.connector(connector).definition.credentials, secrets, path=path))

    def connector(self, slug: str) -> Connector:
        try:
            return self._catalog.get(slug)
        except NotFound as error:
            raise InvalidInput(error.message, details=[ErrorDetail("connector", error.message)]) from None
