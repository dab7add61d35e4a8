"""One child process: it has a log file and a pid file, and does not outlive us even when we are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from runtime.laptop.logfiles import LogFile
from runtime.laptop.parent_death import die_with_parent
from runtime.laptop.waiting import POLL_SECONDS

__all__ = ["ChildProcess"]


_DYING_SECONDS = 5  # after SIGKILL it takes the kernel milliseconds, unless the disk hangs


class ChildProcess:
    """`start` may be called again after it has ended. `home` receives `logs/<name>.log` and `run/<name>.json`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        home: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_seconds: float = 10,
    ) -> None:
        self.name = name
        self.log = LogFile(home / "logs" / f"{name}.log")
        self._argv = list(argv)
        self._environment = environment
        self._folder = folder
        self._user = user
        self._stop_signal = stop_signal
        self._stop_seconds = stop_seconds
        self._pid_file = home / "run" / f"{name}.json"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll() if self._process else None

    def obituary(self) -> str | None:
        """None while it runs, else who died, of what, and its last words."""
        code = self.exit_code
        if code is None:
            return None
        cause = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {cause}. The end of {self.log.path}:\n{self.log.tail()}"

    def start(self) -> None:
        with self.log.opened() as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,  # Ctrl-C reaches us only: we stop the children, in order
                preexec_fn=die_with_parent(self._stop_signal),  # noqa: PLW1509  (we start no threads)
            )
        self._record()

    def stop(self) -> None:
        """Ask, wait, and insist. Returns when it and everything it started have ended."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._stop_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to its process group; returns when it has ended."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._wait_for_group(self._process.pid)
        self._pid_file.unlink(missing_ok=True)

    def _wait_for_group(self, group: int) -> None:
        deadline = time.monotonic() + _DYING_SECONDS
        while _members(group) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _record(self) -> None:
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            record = {
                "pid": self.pid,
                "created": psutil.Process(self.pid).create_time(),
                "argv": self._argv,
                "stop_signal": int(self._stop_signal),
            }
            self._pid_file.write_text(json.dumps(record))


def _members(group: int) -> list[int]:
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members
