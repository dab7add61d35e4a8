"""The servers that benchmarks run against, and the programs they start: all children of this process, all stopped at the end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from temporalio.client import Client

from runtime.laptop import programs
from runtime.laptop.children import ChildProcess
from runtime.laptop.ports import free_port
from runtime.laptop.postgres import LaptopPostgres
from runtime.laptop.programs import Program
from runtime.laptop.temporal_server import LaptopTemporal
from runtime.laptop.waiting import StopFlag
from runtime.temporal import data_converter, register_search_attributes
from storage.database import Database
from storage.migrations.upgrade import upgrade
from workflows import names

__all__ = ["ADMIN_KEY", "System", "running_system"]

ADMIN_KEY = "sluice_benchmark_of_this_machine"
_READY_SECONDS = 60
_DRAIN_SECONDS = 5  # what is under way when a benchmark ends is nobody's


class System:
    """PostgreSQL and Temporal, started as `make up` starts them. Programs of the product run beside them in `home`."""

    def __init__(self, home: Path) -> None:
        self.postgres, self.temporal = LaptopPostgres(home), LaptopTemporal(home)
        self.client: Client
        self._home = home
        self._programs: list[Program] = []

    async def start(self) -> None:
        self.postgres.start()
        self.temporal.start()
        self.client = await Client.connect(self.temporal.address, data_converter=data_converter({}))
        await register_search_attributes(self.client, [key.name for key in names.SEARCH_ATTRIBUTES])

    async def create_database(self, name: str) -> str:
        """The URL of a new database with the product's tables."""
        url = self.postgres.create_database(name)
        database = Database(url)
        try:
            await upgrade(database)
        finally:
            await database.close()
        return url

    def run(self, name: str, *argv: str, url: str) -> ChildProcess:
        """Start `python <argv>` on the database at `url`."""
        return self._launch(Program(name, *argv, home=self._home, environment=self._environment(url)))

    def run_worker(self, url: str) -> ChildProcess:
        environment = self._environment(url)
        return self._launch(programs.worker(home=self._home, environment=environment, drain_seconds=_DRAIN_SECONDS))

    def run_api(self, url: str, application: str | None = None) -> str:
        """Its URL, once it is ready. `application` is a factory that uvicorn runs in place of the product's."""
        port = free_port()
        if application is None:
            program = programs.api(port, home=self._home, environment=self._environment(url))
        else:
            where = ("--factory", "--host", "127.0.0.1", "--port", str(port))
            how = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")
            argv = ("-m", "uvicorn", application, *where, *how)
            program = Program("ingest", *argv, home=self._home, environment=self._environment(url))
        child = self._launch(program)
        programs.wait_until_ready(port, seconds=_READY_SECONDS, gone=child.obituary, stop=StopFlag())
        return f"http://127.0.0.1:{port}"

    def pids(self) -> dict[str, int]:
        """Of the servers and programs, by name."""
        children = [self.postgres.child, self.temporal.child, *(program.child for program in self._programs)]
        return {child.name: child.pid for child in children}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far, user and system, of each with what it has started."""
        return {name: _cpu_seconds(pid) for name, pid in self.pids().items()}

    def rss_bytes(self, name: str) -> int:
        return int(psutil.Process(self.pids()[name]).memory_info().rss)

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:  # last in, first out, and one that fails does not spare the others
            stack.callback(self.postgres.stop)
            stack.callback(self.temporal.stop)
            for program in self._programs:
                stack.callback(program.stop)

    def _launch(self, program: Program) -> ChildProcess:
        program.launch()
        self._programs.append(program)
        return program.child

    def _environment(self, url: str) -> Mapping[str, str]:
        return {
            **self.temporal.client_environment(),
            "DATABASE_URL": url,
            "SLUICE_TEMPORAL_ADDRESS": self.temporal.address,
            "SLUICE_ADMIN_KEY": ADMIN_KEY,
            "SLUICE_ENCRYPTION_KEYS": "bench:" + "A" * 43 + "=",
            "SLUICE_OUTBOUND_ALLOW": "127.0.0.0/8",
            "SLUICE_WORKER_METRICS_PORT": "0",
            "SLUICE_GRACEFUL_SHUTDOWN_SECONDS": str(_DRAIN_SECONDS),
            "SLUICE_LOG_LEVEL": "warning",
        }


@asynccontextmanager
async def running_system() -> AsyncIterator[System]:
    """PostgreSQL and Temporal in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, PostgreSQL runs as another user
        system = System(home)
        try:
            await system.start()
            yield system
        finally:
            system.stop()


def _cpu_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
