"""The demo's way to a running system: its public HTTP API, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from runtime.laptop.keys import LaptopKeys
from runtime.settings import LaptopSettings

__all__ = ["DemoClient", "DemoError", "address_and_key"]

TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.1


class DemoError(Exception):
    """Why the demo cannot go on, in words for whoever started it."""


class DemoClient:
    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"}
        # No proxy from the environment: the usual place of the API is this machine.
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> DemoClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises DemoError with the problem's own words."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise DemoError(
                f"Nothing answers at {self.url} ({error}). Start the system with `make up` in another terminal,"
                " or name another address with --url."
            ) from None
        if answer.is_success:
            return answer.json()
        raise DemoError(f"{method} {path} was answered {answer.status_code}: {_words(answer)}")

    def until(self, path: str, holds: Callable[[Any], Any], seconds: float, what: str) -> Any:
        """GET again and again until `holds` of the answer is true, and return that. Raises DemoError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (found := holds(self.call("GET", path))):
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not come about in {seconds:.0f} seconds; GET {path} shows more.")
            time.sleep(POLL_SECONDS)
        return found


def address_and_key(settings: LaptopSettings, url: str | None) -> tuple[str, str]:
    """`url`, or where `make up` listens; the key of the environment, or the one that `make up` wrote."""
    address = url or f"http://localhost:{settings.api_port}"
    if settings.admin_key:
        return address, settings.admin_key.get_secret_value()
    if not (settings.home / "keys.json").exists():
        raise DemoError(
            f"There is no API key: {settings.home / 'keys.json'} does not exist and SLUICE_ADMIN_KEY is not set."
            " Start the system with `make up` in another terminal first."
        )
    return address, LaptopKeys.of(settings.home).admin_key


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
