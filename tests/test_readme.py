"""The README's tour, command by command, against a system that runs as `make up` starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from runtime.demo.client import DemoClient, address_and_key
from runtime.laptop.ports import free_port
from runtime.settings import LaptopSettings
from tests.markdown import ROOT, Block, blocks
from tests.running import running_system

PATIENCE_SECONDS = 60
README_PORT = "9900"
END = "<<the block has ended>>"
# `make` itself would install what the lock names; what it then runs is this.
MAKE = f'make() {{ exec "{sys.executable}" -m runtime.demo ${{2#ARGS=}}; }}\n'


class Tour:
    """A terminal in which the README's blocks are run by name, and a look at the system between them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._port = str(free_port())
        self._blocks = {block.name: block for block in blocks(ROOT / "README.md", "sh") if block.name}
        self.run_so_far: set[str] = set()
        self._shell = self._start(["bash"])
        self._type("set -euo pipefail")
        settings = LaptopSettings.model_validate(
            {"home": environment["SLUICE_HOME"], "api_port": environment["SLUICE_API_PORT"]}
        )
        self.api = DemoClient(*address_and_key(settings, None))

    @property
    def names(self) -> set[str]:
        return set(self._blocks)

    def run(self, name: str) -> str:
        """What the block prints. Raises AssertionError when one of its commands fails."""
        self._type(f"{self._text(name)}\necho '{END}'")
        said = ""
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            if line.rstrip("\n") == END:
                return said
            said += line
        raise AssertionError(f"the block {name} failed:\n{said}")

    def run_json(self, name: str) -> Any:
        """The last JSON document that the block prints."""
        said = self.run(name)
        return json.loads("{" + said.rpartition("\n{")[2] if "\n{" in said else said)

    @contextmanager
    def background(self, name: str) -> Iterator[Callable[[], str]]:
        """A second terminal in which the block runs until Ctrl-C; yields a function that waits for its next line."""
        process = self._start(["bash", "-c", MAKE + self._text(name)])
        assert process.stdout is not None
        assert "Listening" in process.stdout.readline()
        yield process.stdout.readline
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    def until(self, path: str, holds: Callable[[Any], Any]) -> Any:
        return self.api.until(path, holds, PATIENCE_SECONDS, "what the README promises")

    def until_sync_of(self, profile: str, state: str) -> dict[str, Any]:
        def reached(answer: Any) -> Any:
            return next((sync for sync in _syncs(answer, "crm") if sync["state"] == state), None)

        found: dict[str, Any] = self.until(f"/v1/profiles/{profile}/syncs", reached)
        return found

    def until_blocker_of(self, profile: str) -> dict[str, Any]:
        """Once its first attempt has failed."""

        def blocker(answer: Any) -> Any:
            return next((sync["events"]["blocker"] for sync in _syncs(answer, "sign-ups") if sync["events"]), None)

        found: dict[str, Any] = self.until(f"/v1/profiles/{profile}/syncs", blocker)
        return found

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()
        self.api.__exit__()

    def _text(self, name: str) -> str:
        block: Block = self._blocks[name]
        self.run_so_far.add(name)
        return block.text.replace(README_PORT, self._port)

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n")
        self._shell.stdin.flush()

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _syncs(answer: Any, destination: str) -> list[Any]:
    return [sync for sync in answer["data"] if sync["destination_id"] == destination]


@pytest.fixture
def tour() -> Iterator[Tour]:
    with running_system() as environment:
        tour = Tour(environment)
        try:
            yield tour
        finally:
            tour.close()


@pytest.mark.slow
def test_every_command_of_the_tour_runs_and_does_what_the_text_says(tour: Tour) -> None:
    assert tour.run_json("setup")["status"] == "ready"
    with tour.background("receiver") as next_line:
        assert tour.run_json("create") == {"revision": 1}
        assert tour.run_json("ten-updates")["data"][0]["state"] == "waiting"
        assert next_line() == '200 /contacts {"id":"ada","email":"ada@example.com","visits":10}\n'
        tour.until_sync_of("ada", "idle")
        [attempt] = tour.run_json("log")["attempts"]
        assert attempt["request"]["body"] == '{"id":"ada","email":"ada@example.com","visits":10}'

        [previewed] = tour.run_json("preview")["mappings"]
        assert previewed["request"]["body"] == attempt["request"]["body"]
        [tested] = tour.run_json("test")["mappings"]
        assert (tested["outcome"], next_line()) == ("delivered", f"200 /contacts {previewed['request']['body']}\n")
        [warning] = tour.run_json("validate")["warnings"]
        assert (warning["code"], warning["path"]) == ("unknown_path", "profile@vists")
        assert tour.run_json("render")["value"] == "ADA@EXAMPLE.COM"

        tracked = tour.run_json("sign-ups")
        assert next_line() == '200 /sign-ups {"plan":"pro","email":"ada@example.com"}\n'
        tour.until(f"/v1/events/{tracked['id']}", _ended("delivered"))
        batch = tour.run_json("batch")
        assert (batch["accepted"], batch["duplicates"], batch["refused"]) == (1, 1, [])
        [event] = tour.until("/v1/events?profile=ada&limit=1", lambda answer: answer["data"])
        tour.until(f"/v1/events/{event['id']}", _ended("skipped"))
        shown = tour.run_json("event")
        [fate] = shown["destinations"]
        assert (shown["event"]["messageId"], fate["status"], fate["reason"]) == ("sign-up-2", "skipped", "condition")

        tour.run("prerequisite")
        tour.until_sync_of("bob", "skipped")
        [sync] = tour.run_json("explain")["data"]
        assert (sync["state"], sync["reason"]) == ("skipped", "prerequisite_false")
        assert "profile@email EXISTS" in sync["message"]

    with tour.background("failing-receiver") as next_line:
        assert tour.run_json("fail")["changed"] is True
        assert next_line() == next_line() == '503 /contacts {"id":"ada","email":"ada@example.com","visits":11}\n'
        tour.until_sync_of("ada", "retrying")
        [sync] = tour.run_json("retrying")["data"]
        assert sync["next_attempt_at"] is not None
        tour.run("blocked")
        blocker = tour.until_blocker_of("ada")
        parked = tour.run_json("park")
        assert (parked["id"], parked["status"], parked["reason"]) == (blocker["delivery_id"], "failed", "parked")
        tour.run("pause")
        tour.until("/v1/destinations/crm", lambda answer: answer["held"] == 4)
        tour.until_sync_of("ada", "held")
        listed = _listed_at_last(tour)
        assert "profile-sync/crm/ada" in listed

    with tour.background("receiver") as next_line:
        assert tour.run_json("resume")["status"] == "running"
        bodies = [next_line() for _ in range(4)]
        assert sorted(json.loads(line.split(" ", 2)[2])["id"] for line in bodies) == ["ada", "carl", "dora", "emil"]
        tour.until_sync_of("ada", "idle")
        attempts = tour.run_json("attempts")["attempts"]
        assert tour.run_json("unpark")["id"] == parked["id"]
        assert next_line() == '200 /sign-ups {"plan":"team","email":"ada@example.com"}\n'
        tour.until(f"/v1/deliveries/{parked['id']}", lambda delivery: delivery["status"] == "delivered")
    assert [attempt["outcome"] for attempt in attempts][-2:] == ["retry", "delivered"]
    assert len({attempt["request"]["headers"]["Idempotency-Key"] for attempt in attempts}) == 1

    for name in ("carl", "dora", "emil"):
        tour.until_sync_of(name, "idle")
    books = tour.run_json("reconciliation")
    assert (books["accepted"], books["delivered"], books["skipped"], books["unaccounted"]) == (8, 6, 2, 0)
    assert tour.run_so_far == tour.names


def _ended(status: str) -> Callable[[Any], bool]:
    return lambda event: [each["status"] for each in event["destinations"]] == [status]


def _listed_at_last(tour: Tour) -> str:
    """The list, once the signal of the pause has reached Ada's run and its state the index."""
    for _ in range(PATIENCE_SECONDS):
        if "ada" in (listed := tour.run("workflow-list")):
            break
    return listed
