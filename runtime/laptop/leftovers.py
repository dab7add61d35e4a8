"""One supervisor per home, and no process left over from one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from runtime.laptop.waiting import StartError

__all__ = ["end_leftovers", "sole_user"]

_PATIENCE_SECONDS = 10  # they lost their supervisor; what is unfinished is in the database
_CLOCK_STEP_SECONDS = 60  # the start time of a process is reckoned from the boot time, which moves with the clock


@contextlib.contextmanager
def sole_user(home: Path) -> Iterator[None]:
    """Hold the home's lock. The kernel releases it however we end. Raises StartError when another process holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise StartError(
                f"Sluice is already running from {home} (pid {owner}). Stop it, or set SLUICE_HOME."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def end_leftovers(home: Path) -> list[str]:
    """End what a killed supervisor left running; returns the names. A pid now used by another program is left alone."""
    ended = []
    for pid_file in sorted((home / "run").glob("*.json")):
        with contextlib.suppress(psutil.NoSuchProcess, OSError, ValueError, KeyError):
            if _end(json.loads(pid_file.read_text())):
                ended.append(pid_file.stem)
        pid_file.unlink(missing_ok=True)
    return ended


def _end(record: dict[str, object]) -> bool:
    process = psutil.Process(int(str(record["pid"])))
    started = float(str(record["created"]))
    if process.cmdline() != record["argv"] or abs(process.create_time() - started) > _CLOCK_STEP_SECONDS:
        return False
    family = [process, *process.children(recursive=True)]
    process.send_signal(int(str(record["stop_signal"])))
    _, alive = psutil.wait_procs(family, timeout=_PATIENCE_SECONDS)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    psutil.wait_procs(alive, timeout=_PATIENCE_SECONDS)
    return True
