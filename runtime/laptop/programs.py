"""Our own programs as children: migrations, worker, API."""

from __future__ import annotations

import contextlib
import http.client
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from runtime.laptop.children import ChildProcess
from runtime.laptop.waiting import StartError, StopFlag, wait_until

__all__ = ["Program", "api", "migrate", "wait_until_ready", "worker"]

_ROOT = Path(__file__).resolve().parents[2]
_MIGRATION_SECONDS = 300  # an index on a large table; the first run takes two
_API_DRAIN_SECONDS = 5  # its requests take milliseconds; longer ones are streams, which clients open again
_PROBE_SECONDS = 5


class Program:
    """A child that is ready as far as we can see once it runs; readiness is the API's to tell (`wait_until_ready`)."""

    def __init__(
        self, name: str, *argv: str, home: Path, environment: Mapping[str, str], stop_seconds: float = 10
    ) -> None:
        self.child = ChildProcess(
            name,
            [sys.executable, *argv],
            home=home,
            environment={**environment, "PYTHONUNBUFFERED": "1"},
            folder=_ROOT,
            stop_seconds=stop_seconds,
        )

    def launch(self) -> None:
        self.child.start()

    def wait_ready(self) -> None:
        """Nothing to wait for."""

    def stop(self) -> None:
        self.child.stop()


def api(port: int, *, home: Path, environment: Mapping[str, str]) -> Program:
    server = ("-m", "uvicorn", "api.app:create_app", "--factory", "--loop", "uvloop", "--http", "httptools")
    where = ("--host", "127.0.0.1", "--port", str(port))
    ending = ("--no-access-log", "--timeout-graceful-shutdown", str(_API_DRAIN_SECONDS))
    stop_seconds = _API_DRAIN_SECONDS + 10
    return Program("API", *server, *where, *ending, home=home, environment=environment, stop_seconds=stop_seconds)


def worker(*, home: Path, environment: Mapping[str, str], drain_seconds: float) -> Program:
    return Program("worker", "worker.py", home=home, environment=environment, stop_seconds=drain_seconds + 10)


def migrate(*, home: Path, environment: Mapping[str, str], stop: StopFlag) -> None:
    """Bring the schema up to date. Raises StartError with the end of the log."""
    program = Program("migrations", "-m", "storage.migrations", home=home, environment=environment)
    program.launch()
    try:
        ended = program.child
        wait_until(lambda: ended.exit_code is not None, ended.name, seconds=_MIGRATION_SECONDS, gone=_never, stop=stop)
        if ended.exit_code:
            raise StartError(ended.obituary() or ended.name)
    finally:
        program.stop()


def wait_until_ready(port: int, *, seconds: float, gone: Callable[[], str | None], stop: StopFlag) -> None:
    """Return once `/readyz` answers 200. Raises StartError with what it last answered."""
    last = "no answer"

    def ready() -> bool:
        nonlocal last
        try:
            status, last = _probe(port)
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
            return False
        return status == http.HTTPStatus.OK

    try:
        wait_until(ready, "/readyz", seconds=seconds, gone=gone, stop=stop)
    except StartError as error:
        raise StartError(f"{error}\n/readyz last said: {last}") from None


def _probe(port: int) -> tuple[int, str]:
    # Not urllib: it would ask an HTTP proxy from the environment for our own loopback.
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)) as connection:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, f"{answer.status} {answer.read(2000).decode(errors='replace')}"


def _never() -> None:
    return None
