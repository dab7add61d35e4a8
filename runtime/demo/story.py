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
STEPS = 6
EVENT = "Order Completed"


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
        self._events()
        self._pause_and_resume()
        self._sum_up()

    def _check(self, *, anyway: bool) -> None:
        self._client.call("GET", "/readyz")
        destinations = self._client.call("GET", "/v1/destinations?limit=500")["data"]
        others = [each["id"] for each in destinations if _takes_anything(each) and not _is_ours(each)]
        if others and not anyway:
            raise DemoError(
                f"The demo's profiles and events would also be sent to {', '.join(others)}."
                " Run it in a system without other destinations, or with --anyway."
            )

    def _make_destination(self) -> None:
        made = {"id": self._tag, "connector": "webhook", **_declaration(self._tag, self._receiver.url)}
        self._client.call("POST", "/v1/destinations", made)
        self._client.call("POST", f"/v1/destinations/{self._tag}/publish", {"note": "make demo"})
        self._say(
            f"Made and published the destination {self._tag}: a webhook to a receiver that this demo runs at"
            f" {self._receiver.url}.\nIt waits until a profile has been quiet for {QUIET_SECONDS} seconds,"
            " sends events as they come, and takes only profiles that have an email."
        )

    def _ten_updates(self) -> None:
        self._heading("Ten updates become one sync")
        self._change("ada", email="ada@example.com")
        for visits in range(1, 11):
            self._change("ada", visits=visits)
        self._say(f"Changed the profile {self._id('ada')} eleven times. The receiver got:")
        self._say(f"  {self._arrival().body}")

    def _prerequisite(self) -> None:
        self._heading("A prerequisite, and the reason why something is not sent")
        self._change("bob", plan="free")
        sync = self._settled("bob", "skipped")
        self._say(f"Changed {self._id('bob')}, who has no email. Its sync is {sync['state']}: {sync['message']}.")

    def _failing_receiver(self) -> None:
        self._heading("A receiver that fails is tried again")
        self._receiver.fail(2, 503)
        self._change("eve", email="eve@example.com")
        arrived = [self._arrival() for _ in range(3)]
        for received in arrived:
            self._say(f"  answered {received.answered}, Idempotency-Key {received.key}")
        if len({received.key for received in arrived}) != 1:
            raise DemoError("The attempts carried different idempotency keys; that is a fault of ours.")
        self._settled("eve", "idle")
        self._say("Three attempts, one key, delivered.")

    def _events(self) -> None:
        self._heading("Events are sent one by one, in the order of their profile")
        calls = [self._order("ada", number) for number in (1, 2, 3)] + [self._order("bob", 1)]
        taken = self._client.call("POST", "/v1/batch", {"batch": calls})
        self._say(
            f"Sent a batch of events, three of ada and one of bob: {taken['accepted']} accepted. The receiver got:"
        )
        for _ in range(3):
            self._say(f"  {self._arrival().body}")
        skipped = self._ended(self._event_of("bob"), "skipped")
        self._say(f"Bob's event is {skipped['status']}: {skipped['message']}.")

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

    def _arrival(self) -> Received:
        try:
            return self._receiver.received.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            newest = self._client.call("GET", f"/v1/deliveries?destination={self._tag}&limit=1")["data"]
            shown = "".join(f" The newest delivery is {one['status']} ({one['message']})." for one in newest)
            raise DemoError(
                f"Nothing arrived in {PATIENCE_SECONDS:.0f} seconds.{shown}\n"
                f"A worker must be running and able to reach {self._receiver.url}."
            ) from None

    def _settled(self, name: str, state: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.until(
            f"/v1/profiles/{self._id(name)}/syncs",
            lambda answer: next((each for each in answer["data"] if self._is_its(each, "state", state)), None),
            PATIENCE_SECONDS,
            f"The state {state} of the sync of {self._id(name)}",
        )
        return found

    def _ended(self, event_id: str, status: str) -> dict[str, Any]:
        """What became of the event here, once that is its status."""
        found: dict[str, Any] = self._client.until(
            f"/v1/events/{event_id}",
            lambda event: next((each for each in event["destinations"] if self._is_its(each, "status", status)), None),
            PATIENCE_SECONDS,
            f"The status {status} of the event {event_id}",
        )
        return found

    def _event_of(self, name: str) -> str:
        return str(self._client.call("GET", f"/v1/events?profile={self._id(name)}&limit=1")["data"][0]["id"])

    def _sync(self, name: str) -> dict[str, Any]:
        syncs = self._client.call("GET", f"/v1/profiles/{self._id(name)}/syncs")["data"]
        return next(each for each in syncs if each["destination_id"] == self._tag)

    def _is_its(self, shown: dict[str, Any], member: str, value: str) -> bool:
        return bool(shown["destination_id"] == self._tag and shown[member] == value)

    def _change(self, name: str, *, email: str | None = None, **properties: Any) -> None:
        patch = {"properties": properties} | ({"email": email} if email else {})
        self._client.call("PATCH", f"/v1/profiles/{self._id(name)}", patch)

    def _order(self, name: str, number: int) -> dict[str, Any]:
        properties = {"order": f"{name}-{number}"}
        return {"type": "track", "userId": self._id(name), "event": EVENT, "properties": properties}

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
    contact = {
        "id": "contact",
        "name": "Contact",
        "source": "profile",
        "action": "send",
        "body": {"format": "json", "template": template},
    }
    order = {
        "id": "order",
        "name": "Order",
        "source": "events",
        "events": {"mode": "only", "names": [EVENT]},
        "action": "send",
        "body": {"format": "json", "template": {"order": "event@properties.order", "email": "{{ user.email }}"}},
    }
    return {
        "name": "Demo",
        "settings": {"url": f"{url}/contacts"},
        "prerequisite": f'profile@id STARTS WITH "{tag}-" AND profile@email EXISTS',
        "debounce": {"quiet_seconds": QUIET_SECONDS, "max_wait_seconds": 30},
        "retry": {"attempts": 5, "initial_seconds": 1, "backoff": 2},
        "mappings": [contact, order],
    }


def _takes_anything(destination: dict[str, Any]) -> bool:
    published = destination["published_revision"] is not None
    return published and "*" in destination["sources"] and destination["data_scope"] != "none"


def _is_ours(destination: dict[str, Any]) -> bool:
    return bool(destination["name"] == "Demo" and destination["id"].startswith("demo-"))
