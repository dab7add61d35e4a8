"""Ports on the loopback interface."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

import psutil

from runtime.laptop.waiting import StartError

__all__ = ["free_port", "is_free", "require_free"]


def free_port(preferred: int = 0) -> int:
    """`preferred` when nobody uses it, else any."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do; without it, a port just closed looks used for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def require_free(ports: Mapping[str, int]) -> None:
    """`ports`: variable that sets it → port. Raises StartError that names every one in use, and by whom if known."""
    taken = {variable: port for variable, port in ports.items() if not is_free(port)}
    if taken:
        lines = [f"  port {port} is in use{_user_of(port)}; choose another: {name}=…" for name, port in taken.items()]
        raise StartError("Cannot start:\n" + "\n".join(lines))


def _user_of(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
