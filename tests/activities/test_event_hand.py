"""What a pump has in hand: each profile keeps its order, whatever is written and claimed in between."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.event_hand import Hand
from domain.events import QueuedDelivery
from domain.profiles import Profile
from storage.event_leases import Claim

LANE = 0
_BORN = datetime(2026, 11, 22, tzinfo=UTC)


def a_delivery(profile_id: str, position: int) -> QueuedDelivery:
    profile = Profile(id=profile_id, version=1, document={}, created_at=_BORN, updated_at=_BORN)
    return QueuedDelivery(f"{profile_id}-{position}", "events", LANE, position, 0, 0, {"name": "n"}, profile)


def a_claim(*deliveries: QueuedDelivery) -> Claim:
    return Claim(1, "webhook", deliveries, {LANE: 0})


async def taken(hand: Hand) -> QueuedDelivery:
    delivery = await hand.next()
    assert delivery is not None
    return delivery


async def test_a_profile_is_with_one_sender_at_a_time() -> None:
    hand = Hand([LANE])
    first, second = a_delivery("a", 1), a_delivery("a", 2)
    hand.take([first, second])
    assert await taken(hand) == first
    assert hand.is_starving
    hand.done(first, was_made=True, goes_on=True)
    assert await taken(hand) == second


async def test_what_was_written_while_a_claim_was_made_is_not_taken_once_more() -> None:
    hand = Hand([LANE])
    first = a_delivery("a", 1)
    hand.take([first])
    hand.done(await taken(hand), was_made=True, goes_on=True)
    hand.begin_claim()
    hand.written([first])
    hand.take([first])
    assert len(hand) == 0


async def test_a_profile_stays_held_back_until_its_own_failure_is_written() -> None:
    """An earlier delivery of the profile that is written meanwhile says nothing about the one that failed."""
    hand = Hand([LANE])
    delivered, failed, later = (a_delivery("a", position) for position in (1, 2, 3))
    hand.take([delivered, failed])
    hand.done(await taken(hand), was_made=True, goes_on=True)
    hand.hold_back(await taken(hand))
    hand.done(failed, was_made=True, goes_on=True)
    hand.written([delivered])
    hand.begin_claim()
    hand.take([failed, later])
    assert hand.unsent == 0
    hand.written([failed])
    hand.take([later])  # of a claim that did not see the failure yet
    assert hand.unsent == 0
    hand.begin_claim()
    hand.take([later])  # of one that would not show it, were it held back
    assert hand.unsent == 1


async def test_what_waits_behind_a_failure_is_put_back() -> None:
    hand = Hand([LANE])
    first, second, other = a_delivery("a", 1), a_delivery("a", 2), a_delivery("b", 3)
    hand.take([first, second, other])
    hand.hold_back(await taken(hand))
    hand.done(first, was_made=True, goes_on=True)
    assert set(hand.ids) == {first.id, other.id}
    assert await taken(hand) == other


async def test_a_full_claim_is_read_on_from_where_it_was_cut() -> None:
    hand = Hand([LANE, 1])
    hand.after = {LANE: 100, 1: 100}
    hand.read(a_claim(a_delivery("a", 4), a_delivery("a", 7)), limit=2)
    assert hand.after == {LANE: 7, 1: 7}
    hand.read(a_claim(a_delivery("a", 9)), limit=2)
    assert hand.after == {LANE: 9, 1: 7}


async def test_lanes_that_are_left_are_put_back_but_for_what_is_on_the_wire() -> None:
    hand = Hand([LANE, 1])
    first, second = a_delivery("a", 1), a_delivery("a", 2)
    hand.take([first, second])
    sent = await taken(hand)
    hand.leave({LANE})
    assert set(hand.ids) == {sent.id}
    assert hand.holds_any_of({LANE})
    hand.done(sent, was_made=True, goes_on=True)
    hand.written([sent])
    assert not hand.holds_any_of({LANE})
