"""The forms in which hosts hand out a PostgreSQL address, brought to one."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")


def postgresql_url(text: str) -> str:
    """Return `postgresql://…` with the TLS option under its asyncpg name. Its ValueError does not echo it."""
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with postgresql:// or postgres://")
    if not parts.path.strip("/"):
        raise ValueError("must name a database: postgresql://user:password@host:5432/name")
    # libpq spells it sslmode, asyncpg's SQLAlchemy dialect spells it ssl; the values are the same.
    query = urlencode([("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)])
    return f"postgresql://{parts.netloc}{parts.path}{'?' if query else ''}{query}"
