"""Temporal's own tools against a running system: the command line, and the Web UI's API."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
from pathlib import Path
from typing import Any

from tests.end_to_end.system import System

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "temporal")


class TemporalCli:
    def __init__(self, system: System) -> None:
        self._system = system

    async def find(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._json("workflow", "list", "--query", query, "--limit", "1000")
        return found

    async def show(self, workflow_id: str, run_id: str) -> dict[str, Any]:
        """The history as JSON, payloads as they are stored."""
        found: dict[str, Any] = await self._json("workflow", "show", "-w", workflow_id, "-r", run_id)
        return found

    async def histories(self) -> list[dict[str, Any]]:
        """Of every workflow there is or was."""
        runs = [found["execution"] for found in await self.find()]
        return [await self.show(run["workflowId"], run["runId"]) for run in runs]

    async def _json(self, *words: str) -> Any:
        program = await asyncio.create_subprocess_exec(
            PROGRAM,
            *words,
            *("--address", self._system.temporal_address, "--output", "json"),
            env={name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await program.communicate()
        assert program.returncode == 0, complaint.decode()
        return json.loads(output)
