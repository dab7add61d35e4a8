"""The keys of a laptop's installation: made once, readable by their owner only."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from pathlib import Path

from pydantic import BaseModel

__all__ = ["LaptopKeys"]


class LaptopKeys(BaseModel):
    admin_key: str
    encryption_keys: str
    postgres_password: str

    @classmethod
    def of(cls, home: Path) -> LaptopKeys:
        """Read `keys.json`, made first if it is not there."""
        home.mkdir(parents=True, exist_ok=True)
        path = home / "keys.json"
        with contextlib.suppress(FileNotFoundError):
            return cls.model_validate_json(path.read_text())
        _write_private(path, _generated().model_dump_json(indent=2))
        return cls.model_validate_json(path.read_text())


def _generated() -> LaptopKeys:
    return LaptopKeys(
        admin_key=f"sluice_{secrets.token_urlsafe(32)}",
        encryption_keys=f"laptop:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        postgres_password=secrets.token_urlsafe(24),
    )


def _write_private(path: Path, text: str) -> None:
    # Linked into place only when complete: what is encrypted with a half-written key would be lost.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
