"""Name look-ups that answer what a test wants: the lowest seam under the outbound client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


def resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


class ScriptedResolver(AbstractResolver):
    """Gives one answer after another, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [resolved(host, address, port) for address in answer]

    async def close(self) -> None:
        pass


class HangingResolver(AbstractResolver):
    """Never answers for names that begin with `hang`; every other name is 127.0.0.1."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        if host.startswith("hang"):
            await asyncio.Event().wait()
        return [resolved(host, "127.0.0.1", port)]

    async def close(self) -> None:
        pass


class _Shifting(dict[str, Any]):
    """A look-up result that names another address each time it is read."""

    def __init__(self, result: ResolveResult, addresses: Sequence[str]) -> None:
        super().__init__(result)
        self._addresses = list(addresses)

    def __getitem__(self, key: str) -> Any:
        if key != "host":
            return super().__getitem__(key)
        return self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]


class RebindingResolver(AbstractResolver):
    """Its answers change between the check of the name and the connection."""

    def __init__(self, *shifts: Sequence[str]) -> None:
        self._shifts = shifts

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        return [_Shifting(resolved(host, shift[-1], port), shift) for shift in self._shifts]  # type: ignore[misc]

    async def close(self) -> None:
        pass
