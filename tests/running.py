"""The whole system as `make up` starts it, on free ports and in a home of its own: for tests of what users do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.laptop.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
READY = "Ctrl-C stops it."


@contextmanager
def running_system(**more: str) -> Iterator[dict[str, str]]:
    """The environment in which the user's next command finds the system, which runs until the end of the block.

    `more` are further variables for it.
    """
    # Not tmp_path: pytest closes its folders to other users, and as root PostgreSQL runs as one.
    home = Path(tempfile.mkdtemp(prefix="sluice-home-"))
    environment = {**_environment(home), **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_until_ready(process)
        yield environment
    finally:
        process.terminate()
        process.communicate(timeout=120)
        shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    ours = ("SLUICE_", "TEMPORAL_", "DATABASE_URL")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "SLUICE_HOME": str(home),
        "SLUICE_API_PORT": str(free_port()),
        "SLUICE_TEMPORAL_PORT": str(free_port()),
        "SLUICE_TEMPORAL_UI_PORT": str(free_port()),
    }


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if READY in line:
            return
    raise AssertionError(f"`make up` ended before it was ready:\n{said}")
