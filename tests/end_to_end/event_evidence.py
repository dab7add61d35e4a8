"""What a receiver saw of numbered events, held against what a service was told is stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.receiver import Answer, Received

Numbered = tuple[str, int]  # the profile, and which of its events: 0, 1, 2, …


@dataclass(frozen=True, slots=True)
class Seen:
    """One request. `accepted`: the receiver says yes to it."""

    event: Numbered
    key: str
    body: bytes
    accepted: bool


class Evidence:
    """`seen` in order of arrival. Use `answer` as the receiver's script; `decide` is told the event and how often it came before."""

    def __init__(self, decide: Callable[[Numbered, int], Answer] = lambda *_: Answer()) -> None:
        self.seen: list[Seen] = []
        self.accepted: set[Numbered] = set()
        self.too_early: list[Numbered] = []
        self._decide = decide
        self._times: Counter[Numbered] = Counter()

    def answer(self, request: Received) -> Answer:
        event: Numbered = request.json["user"], request.json["n"]
        answer = self._decide(event, self._times[event])
        accepted = answer.status < 300
        if event[1] and (event[0], event[1] - 1) not in self.accepted:
            self.too_early.append(event)
        self.seen.append(Seen(event, request.key, request.body, accepted))
        self._times[event] += 1
        if accepted:
            self.accepted.add(event)
        return answer

    def missing(self, stored: Mapping[str, int]) -> list[Numbered]:
        """Of so many events of each profile, those that never arrived."""
        return [
            (profile, n) for profile, count in stored.items() for n in range(count) if (profile, n) not in self.accepted
        ]

    def has_all(self, stored: Mapping[str, int]) -> bool:
        return len(self.accepted) >= sum(stored.values()) and not self.missing(stored)

    @property
    def unexpected_orders(self) -> dict[str, list[int]]:
        """Profiles whose events were first accepted in another order than 0, 1, 2, …"""
        firsts: defaultdict[str, list[int]] = defaultdict(list)
        for profile, n in dict.fromkeys(each.event for each in self.seen if each.accepted):
            firsts[profile].append(n)
        return {profile: found for profile, found in firsts.items() if found != list(range(len(found)))}

    @property
    def duplicates(self) -> int:
        """Requests for what the receiver had already said yes to."""
        return sum(each.accepted for each in self.seen) - len(self.accepted)

    @property
    def mixed_keys(self) -> dict[str, set[bytes]]:
        """Keys that came with more than one body."""
        bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        for each in self.seen:
            bodies[each.key].add(each.body)
        return {key: found for key, found in bodies.items() if len(found) > 1}

    @property
    def mixed_bodies(self) -> dict[Numbered, set[tuple[str, bytes]]]:
        """Events that came with more than one key or body."""
        forms: defaultdict[Numbered, set[tuple[str, bytes]]] = defaultdict(set)
        for each in self.seen:
            forms[each.event].add((each.key, each.body))
        return {event: found for event, found in forms.items() if len(found) > 1}
