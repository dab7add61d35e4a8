"""The whole product as a person runs it: `python -m runtime.up` as a process, in a home and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

from runtime.laptop.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = ("API", "worker", "Temporal", "PostgreSQL")
READY = "Ctrl-C stops it."
READY_SECONDS = 120  # a first start on a busy machine; a usual one takes ten
OUR_VARIABLES = ("SLUICE_", "TEMPORAL_", "DATABASE_URL")


class System:
    """`start` returns once it says that it is ready. `kill` is SIGKILL to children by the names they go by in the logs."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Not pytest's folder, which is closed to other users: as root, PostgreSQL runs as one.
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-system-"))
        self.home = self.folder / "home"
        self.api_port, self.temporal_port, self.ui_port = free_port(), free_port(), free_port()
        self.environment = dict(environment or {})
        self._output = self.folder / "said"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def temporal_address(self) -> str:
        return f"127.0.0.1:{self.temporal_port}"

    @property
    def said(self) -> str:
        """What the last `start` printed, so far."""
        return self._output.read_text()

    @property
    def admin_key(self) -> str:
        return self.environment.get("SLUICE_ADMIN_KEY") or str(
            json.loads(self.home.joinpath("keys.json").read_text())["admin_key"]
        )

    def start(self, *arguments: str) -> None:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime.up", *arguments],
                cwd=ROOT,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_said(READY)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(90)

    def pid(self, name: str) -> int:
        return int(json.loads((self.home / "run" / f"{name}.json").read_text())["pid"])

    def pids(self) -> dict[str, int]:
        """Of the children that have a pid file now."""
        found = {}
        for name in CHILDREN:
            try:
                found[name] = self.pid(name)
            except (FileNotFoundError, json.JSONDecodeError):
                continue
        return found

    def kill(self, *names: str, supervisor: bool = False) -> dict[str, int]:
        """All of them as nearly at once as a loop can. Returns their pids."""
        pids = {name: self.pid(name) for name in names}
        if supervisor:
            assert self._process is not None
            self._process.kill()
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        if supervisor and self._process:
            self._process.wait()
        return pids

    async def is_back(self, killed: Mapping[str, int]) -> bool:
        """Whether every child in `killed` (name → old pid) runs anew, and the product says that it is ready."""
        pids = self.pids()
        if any(pids.get(name, old) == old for name, old in killed.items()):
            return False
        async with httpx.AsyncClient(timeout=5) as http:
            try:
                return (await http.get(f"{self.api_url}/readyz")).is_success
            except httpx.TransportError:
                return False

    def processes(self) -> list[psutil.Process]:
        """Every process that has this system's folder in its environment, command line or working directory."""
        return [process for process in psutil.process_iter() if _concerns(process, str(self.folder))]

    def remove(self) -> None:
        """Ends what still runs and deletes the home."""
        if self._process and self._process.poll() is None:
            self.interrupt()
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
        return {
            **inherited,
            "SLUICE_HOME": str(self.home),
            "SLUICE_API_PORT": str(self.api_port),
            "SLUICE_TEMPORAL_PORT": str(self.temporal_port),
            "SLUICE_TEMPORAL_UI_PORT": str(self.ui_port),
            **self.environment,
        }

    def _wait_until_said(self, words: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while words not in self.said:
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}:\n{self.said}")
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not say {words!r} in {READY_SECONDS} s:\n{self.said}")
            time.sleep(0.1)


def _concerns(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = (process.cwd(), *process.cmdline(), process.environ().get("SLUICE_HOME", ""))
        return any(folder in word for word in words)
    except psutil.Error:
        return False
