"""The words for reasons that say everything by themselves; other reasons come with a message of their own."""

from __future__ import annotations

from domain.deliveries import Reason

__all__ = ["held_words", "shortened", "words"]

_WORDS: dict[str, str] = {
    Reason.DEBOUNCING: "waits for the changes to settle",
    Reason.PAUSED: "the destination is paused",
    Reason.PROFILE_DELETED: "the profile was deleted",
    Reason.DESTINATION_DELETED: "the destination was deleted",
    Reason.SUPERSEDED: "a newer change took its place",
    Reason.MAPPING_REMOVED: "the mapping is not part of the published revision any more",
    Reason.NO_MAPPING: "no enabled mapping takes profile changes",
    Reason.RETRY_REQUESTED: "somebody asked for another attempt",
    Reason.SKIPPED_BY_OPERATOR: "an operator skipped it",
    Reason.PARKED: "an operator set it aside; a retry brings it back",
    Reason.BEHIND_ANOTHER: "waits for an earlier event of the same profile",
    Reason.OUTAGE: "the destination does not answer; a few probing profiles are tried until it does",
    Reason.RATE_LIMITED: "waits for its turn under the destination's rate limit",
    Reason.EVENT_SCOPE: "the mapping does not take events of this name",
    Reason.SOURCE_NOT_CONNECTED: "the event's source is not connected to the destination",
    Reason.PUBLISHED_LATER: "the mapping was published after the event was received",
}


def words(reason: str | None, message: str | None = None) -> str | None:
    """The message if there is one, else what the reason says to people."""
    return message or _WORDS.get(reason or "")


def held_words(pause_reason: str | None = None, last_error: str | None = None) -> str:
    """For what a pause holds back: why it is paused, and what went wrong before."""
    said = f"{_WORDS[Reason.PAUSED]}: {pause_reason}" if pause_reason else _WORDS[Reason.PAUSED]
    return f"{said}; the last attempt: {last_error}" if last_error else said


def shortened(quoted: str, characters: int = 500) -> str:
    """What people wrote, as a message quotes it: it may have thousands of characters, and every delivery keeps its message."""
    return quoted if len(quoted) <= characters else f"{quoted[: characters - 1]}…"
