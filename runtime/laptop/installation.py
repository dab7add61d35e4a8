"""Everything on one machine: which servers are ours to start, and what the programs are told about them."""

from __future__ import annotations

from pathlib import Path

from runtime.laptop.keys import LaptopKeys
from runtime.laptop.ports import free_port, require_free
from runtime.laptop.postgres import LaptopPostgres
from runtime.laptop.temporal_server import LaptopTemporal
from runtime.laptop.waiting import StopFlag
from runtime.settings import LaptopSettings, inherited_environment

__all__ = ["Installation"]

_LOOPBACK = ("localhost", "127.0.0.0/8", "::1/128")  # so that a first destination can be a server of one's own
_METRICS_PORT = 9464  # the default of Settings


class Installation:
    """Raises StartError when a port is in use."""

    def __init__(self, settings: LaptopSettings, stop: StopFlag) -> None:
        self.home = settings.home.resolve()
        self._settings = settings
        self._keys = LaptopKeys.of(self.home)
        require_free(self._fixed_ports())
        self.postgres = None if settings.database_url else self._postgres(self.home, stop)
        self.temporal = None if settings.temporal_address else self._temporal(self.home, stop)

    @property
    def api_url(self) -> str:
        return f"http://localhost:{self._settings.api_port}"

    @property
    def temporal_ui_url(self) -> str | None:
        return self._settings.temporal_ui_url or (self.temporal.ui_url if self.temporal else None)

    @property
    def admin_key(self) -> str:
        given = self._settings.admin_key
        return given.get_secret_value() if given else self._keys.admin_key

    def environment(self) -> dict[str, str]:
        """For the children: what was inherited, with our servers, keys and ports filled in."""
        settings = self._settings
        given_keys = settings.encryption_keys
        ours = {
            "DATABASE_URL": self.postgres.url if self.postgres else settings.database_url,
            "SLUICE_TEMPORAL_ADDRESS": self.temporal.address if self.temporal else settings.temporal_address,
            "SLUICE_TEMPORAL_UI_URL": self.temporal_ui_url,
            "SLUICE_API_HOST": "127.0.0.1",
            "SLUICE_API_PORT": str(settings.api_port),
            "SLUICE_ADMIN_KEY": self.admin_key,
            "SLUICE_ENCRYPTION_KEYS": given_keys.get_secret_value() if given_keys else self._keys.encryption_keys,
            "SLUICE_OUTBOUND_ALLOW": ",".join(dict.fromkeys((*settings.outbound_allow, *_LOOPBACK))),
            "SLUICE_CODEC_TRUSTED_ORIGINS": self.temporal_ui_url,
            "SLUICE_WORKER_METRICS_PORT": str(settings.worker_metrics_port or free_port(_METRICS_PORT)),
            "SLUICE_GRACEFUL_SHUTDOWN_SECONDS": str(settings.graceful_shutdown_seconds),
        }
        inherited = self.temporal.client_environment() if self.temporal else inherited_environment()
        return {**inherited, **{name: value for name, value in ours.items() if value is not None}}

    def _fixed_ports(self) -> dict[str, int]:
        settings = self._settings
        ports = {"SLUICE_API_PORT": settings.api_port}
        if not settings.temporal_address:
            ports |= {
                "SLUICE_TEMPORAL_PORT": settings.temporal_port,
                "SLUICE_TEMPORAL_UI_PORT": settings.temporal_ui_port,
            }
        if not settings.database_url and settings.postgres_port:
            ports["SLUICE_POSTGRES_PORT"] = settings.postgres_port
        return ports

    def _postgres(self, home: Path, stop: StopFlag) -> LaptopPostgres:
        return LaptopPostgres(home, port=self._settings.postgres_port, stop=stop)

    def _temporal(self, home: Path, stop: StopFlag) -> LaptopTemporal:
        settings = self._settings
        codec = f"{self.api_url}/codec" if settings.payload_keys else None
        return LaptopTemporal(
            home, port=settings.temporal_port, ui_port=settings.temporal_ui_port, codec_endpoint=codec, stop=stop
        )
