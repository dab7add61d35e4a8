"""What the demo does and says, step by step."""

from __future__ import annotations

import queue
import secrets
import sys
from typing import Any

from runtime.demo.client import DemoClient, DemoError
from runtime.demo.receiver import DemoReceiver, Received

__all__ = ["Demo"]

QUIET_SECONDS = 2
PATIENCE_SECONDS = 20.0  # for what takes two or three; a machine that has just started takes longer
STEPS = 5


class Demo:
    """Profiles and destination carry a tag of this run, so that another run's are left alone."""

    def __init__(self, client: DemoClient, receiver: DemoReceiver) -> None:
        self._client = client
        self._receiver = receiver
        self._tag = f"demo-{secrets.token_hex(3)}"
        self._step = 0

    def run(self, *, anyway: bool) -> None:
        self._check(anyway=anyway)
        self._make_destination()
        self._ten_updates()
        self._prerequisite()
        self._failing_receiver()
        self._pause_and_resume()
        self._sum_up()

    def _check(self, *, anyway: bool) -> None:
        self._client.call("GET", "/readyz")
        destinations = self._client.call("GET", "/v1/destinations?limit=500")["data"]
        others = [each["id"] for each in destinations if _takes_profiles(each) and not _is_ours(each)]
        if others and not anyway:
            raise DemoError(
                f"The demo's profiles would also be sent to {', '.join(others)}."
                " Run it in a system without other destinations, or with --anyway."
            )

    def _make_destination(self) -> None:
        made = {"id": self._tag, "connector": "webhook", **_declaration(self._tag, self._receiver.url)}
        self._client.call("POST", "/v1/destinations", made)
        self._client.call("POST", f"/v1/destinations/{self._tag}/publish", {"note": "make demo"})
        self._say(
            f"Made and published the destination {self._tag}: a webhook to a receiver that this demo runs at"
            f" {self._receiver.url}.\nIt waits until a profile has been quiet for {QUIET_SECONDS} seconds,"
            " and takes only profiles that have an email."
        )

    def _ten_updates(self) -> None:
        self._heading("Ten updates become one sync")
        self._change("ada", email="ada@example.com")
        for visits in range(1, 11):
            self._change("ada", visits=visits)
        self._say(f"Changed the profile {self._id('ada')} eleven times. The receiver got:")
        self._say(f"  {self._arrival('ada').body}")

    def _prerequisite(self) -> None:
        self._heading("A prerequisite, and the reason why something is not sent")
        self._change("bob", plan="free")
        sync = self._settled("bob", "skipped")
        self._say(f"Changed {self._id('bob')}, who has no email. Its sync is {sync['state']}: {sync['message']}.")

    def _failing_receiver(self) -> None:
        self._heading("A receiver that fails is tried again")
        self._receiver.fail(2, 503)
        self._change("eve", email="eve@example.com")
        arrived = [self._arrival("eve") for _ in range(3)]
        for received in arrived:
            self._say(f"  answered {received.answered}, Idempotency-Key {received.key}")
        if len({received.key for received in arrived}) != 1:
            raise DemoError("The attempts carried different idempotency keys; that is a fault of ours.")
        self._settled("eve", "idle")
        self._say("Three attempts, one key, delivered.")

    def _pause_and_resume(self) -> None:
        self._heading("Pause holds and counts, resume delivers")
        path = f"/v1/destinations/{self._tag}"
        self._client.call("POST", f"{path}/pause", {"reason": "shown by the demo"})
        names = [f"user-{number}" for number in range(1, 6)]
        for name in names:
            self._change(name, email=f"{name}@example.com")
        held = self._client.call("GET", path)["held"]
        self._say(f"Paused, changed {len(names)} profiles: held {held}, received {self._receiver.received.qsize()}.")
        self._client.call("POST", f"{path}/resume")
        for name in names:
            self._settled(name, "idle")
        self._say(f"Resumed: received {self._receiver.received.qsize()}.")

    def _sum_up(self) -> None:
        self._heading("The books")
        accounts = self._client.call("GET", "/v1/reconciliation")["destinations"]
        account = next(each for each in accounts if each["destination_id"] == self._tag)
        shown = ("accepted", "delivered", "skipped", "failed", "held", "unaccounted")
        self._say(", ".join(f"{name} {account[name]}" for name in shown))
        workflow = self._sync("eve")["workflow"]["url"]
        self._say(
            f"\nThe run that was retried, in the Temporal Web UI:\n  {workflow}\n"
            f"The destination {self._tag} stays for you to look at; its receiver ends with this demo."
        )

    def _arrival(self, name: str) -> Received:
        try:
            return self._receiver.received.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            sync = self._sync(name)
            raise DemoError(
                f"Nothing arrived in {PATIENCE_SECONDS:.0f} seconds. The sync of {self._id(name)} is {sync['state']}:"
                f" {sync['reason']}: {sync['message']}\nThe worker must be able to reach {self._receiver.url}."
            ) from None

    def _settled(self, name: str, state: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.until(
            f"/v1/profiles/{self._id(name)}/syncs",
            lambda answer: next((each for each in answer["data"] if self._is_it(each, state)), None),
            PATIENCE_SECONDS,
            f"The state {state} of the sync of {self._id(name)}",
        )
        return found

    def _sync(self, name: str) -> dict[str, Any]:
        syncs = self._client.call("GET", f"/v1/profiles/{self._id(name)}/syncs")["data"]
        return next(each for each in syncs if each["destination_id"] == self._tag)

    def _is_it(self, sync: dict[str, Any], state: str) -> bool:
        return bool(sync["destination_id"] == self._tag and sync["state"] == state)

    def _change(self, name: str, *, email: str | None = None, **properties: Any) -> None:
        patch = {"properties": properties} | ({"email": email} if email else {})
        self._client.call("PATCH", f"/v1/profiles/{self._id(name)}", patch)

    def _id(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _heading(self, text: str) -> None:
        self._step += 1
        self._say(f"\n{self._step} of {STEPS}. {text}")

    @staticmethod
    def _say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _declaration(tag: str, url: str) -> dict[str, Any]:
    template = {
        "id": "{{ user.id }}",
        "email": "{{ user.email }}",
        "visits?": "{{ user.properties.visits | json }}",
    }
    mapping = {
        "id": "contact",
        "name": "Contact",
        "source": "profile",
        "action": "send",
        "body": {"format": "json", "template": template},
    }
    return {
        "name": "Demo",
        "settings": {"url": f"{url}/contacts"},
        "prerequisite": f'profile@id STARTS WITH "{tag}-" AND profile@email EXISTS',
        "debounce": {"quiet_seconds": QUIET_SECONDS, "max_wait_seconds": 30},
        "retry": {"attempts": 5, "initial_seconds": 1, "backoff": 2},
        "mappings": [mapping],
    }


def _takes_profiles(destination: dict[str, Any]) -> bool:
    published = destination["published_revision"] is not None
    return published and "*" in destination["sources"] and destination["data_scope"] in ("all", "profile")


def _is_ours(destination: dict[str, Any]) -> bool:
    return bool(destination["name"] == "Demo" and destination["id"].startswith("demo-"))
