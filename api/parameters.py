"""Parameters that many routes take. What cannot be an id is refused before it reaches the database."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.paths import restored
from domain.destinations import Slug
from domain.profiles import MAX_ID_LENGTH
from storage.cursors import MAX_CURSOR_CHARS

MAX_LIMIT = 500
T = TypeVar("T")

DestinationId = Annotated[Slug, Path(examples=["crm"])]
CredentialsId = Annotated[Slug, Path(examples=["crm-production"])]
ConnectorSlug = Annotated[Slug, Path(examples=["webhook"])]
DeliveryId = Annotated[UUID, Path(examples=["0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"])]
KeyId = Annotated[UUID, Path()]
# PostgreSQL's integer; no destination comes near it.
RevisionNumber = Annotated[int, Path(ge=1, le=2_147_483_647, examples=[1])]
ProfileIdPath = Annotated[
    str,
    BeforeValidator(restored),
    Path(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["user-1"]),
]


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


Text = Annotated[str, AfterValidator(_storable)]


class PageQuery(BaseModel):
    """Unknown query parameters are refused: a misspelt filter would otherwise return everything."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the page before")
    limit: int = Field(100, ge=1, le=MAX_LIMIT)


class NoQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Listed(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page."""

    data: list[T]
    next_cursor: str | None
