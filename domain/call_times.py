"""When a call was made, by our clock: what a device's own clock says may be hours wrong, its distances are not."""

from __future__ import annotations

from datetime import UTC, datetime


def corrected_time(original: str | None, sent: str | None, *, now: datetime) -> datetime | None:
    """`now − (sent − original)` in UTC, all three of one call; None if one is missing or is no ISO 8601 time.

    A time without a zone is in UTC.
    """
    if not original or not sent:
        return None
    made, left = _read(original), _read(sent)
    if made is None or left is None:
        return None
    try:
        return now.astimezone(UTC) - (left - made)
    except OverflowError:  # before the year 1 or after 9999
        return None


def _read(written: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
