"""A folder with the real runtime/ and stand-ins for the programs it starts, so that their deaths can be arranged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from runtime.laptop.ports import free_port

ROOT = Path(__file__).resolve().parents[2]

API = """
import os, pathlib
from contextlib import asynccontextmanager
from fastapi import FastAPI
from runtime.settings import load_settings

note = pathlib.Path(os.environ["SLUICE_HOME"]) / "order"

@asynccontextmanager
async def lifespan(app):
    yield
    with note.open("a") as file:
        file.write("API ended\\n")

def create_app():
    settings = load_settings()
    app = FastAPI(lifespan=lifespan)
    app.get("/readyz")(lambda: {})
    app.post("/die")(lambda: os._exit(7))
    app.get("/told")(lambda: {
        "hosts": settings.outbound_hosts, "networks": [str(network) for network in settings.outbound_networks],
        "keys": list(settings.encryption_key_ring), "temporal": settings.temporal_address,
        "database": settings.database_url, "admin_key": settings.admin_key.get_secret_value(),
        "profile": [name for name in os.environ if name.startswith("TEMPORAL_") and name != "TEMPORAL_CONFIG_FILE"],
    })
    return app
"""

WORKER = """
import os, pathlib, signal, socket, sys
from urllib.parse import urlsplit
note = pathlib.Path(os.environ["SLUICE_HOME"]) / "order"

def ended(number, frame):
    database = urlsplit(os.environ["DATABASE_URL"]).netloc.rpartition("@")[2]
    for address in (database, os.environ["SLUICE_TEMPORAL_ADDRESS"]):
        host, _, port = address.partition(":")
        socket.create_connection((host, int(port))).close()
    with note.open("a") as file:
        file.write("worker drained, both servers up\\n")
    sys.exit(0)

signal.signal(signal.SIGTERM, ended)
print("worker up", flush=True)
while True:
    signal.pause()
"""

MIGRATIONS = "import os, pathlib; (pathlib.Path(os.environ['SLUICE_HOME']) / 'order').write_text('migrated\\n')"


class Product:
    """`start` runs `python -m runtime.up` on free ports; `say_until` reads what it prints."""

    def __init__(self, folder: Path, *, api: str = API, worker: str = WORKER, migrations: str = MIGRATIONS) -> None:
        self.folder = folder / "product"
        self.home = folder / "state"
        self.api_port, self.temporal_port, self.ui_port = free_port(), free_port(), free_port()
        for package in ("runtime", "domain"):
            shutil.copytree(ROOT / package, self.folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for path, text in {
            "api/__init__.py": "",
            "api/app.py": api,
            "worker.py": worker,
            "storage/__init__.py": "",
            "storage/migrations/__init__.py": "",
            "storage/migrations/__main__.py": migrations,
        }.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        self.process: subprocess.Popen[str] | None = None

    def environment(self) -> dict[str, str]:
        # MAKE…: what `make test` was given is not meant for a make that a test starts.
        others = ("SLUICE_", "TEMPORAL_", "MAKE", "MFLAGS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return {
            **inherited,
            "SLUICE_HOME": str(self.home),
            "SLUICE_API_PORT": str(self.api_port),
            "SLUICE_TEMPORAL_PORT": str(self.temporal_port),
            "SLUICE_TEMPORAL_UI_PORT": str(self.ui_port),
        }

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None, parent: Sequence[str] = ()) -> None:
        """`parent`: a command that runs the one appended to it, as make does."""
        self.process = subprocess.Popen(
            [*parent, sys.executable, "-m", "runtime.up", *arguments],
            cwd=self.folder,
            env={**self.environment(), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def say_until(self, words: str) -> str:
        """What it printed up to the line with `words`. Raises AssertionError when it ends before."""
        assert self.process is not None
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if words in line:
                return said
        raise AssertionError(f"ended without saying {words!r}:\n{said}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit code and the rest of what it said."""
        assert self.process is not None
        said, _ = self.process.communicate(timeout=120)
        return self.process.returncode, said

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this product's folders, the supervisor included."""
        return [process for process in psutil.process_iter() if _works_in(process, str(self.folder.parent))]


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.cwd().startswith(folder) or any(folder in word for word in process.cmdline())
    except psutil.Error:
        return False
