"""Times and durations as people write them: read from text or numbers, without a clock and without a locale."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import dateparser

from domain.condition_values import ValueFault, called, instant, kind_of

WRITTEN_DATE_LIMIT: Final = (
    100  # characters; a date that people write is shorter, and dateparser's work grows with length
)
DURATION_LIMIT: Final = 200  # characters; keeps the arithmetic on its digits trivial
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_UNIT: Final = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
_PART: Final = rf"([0-9]+(?:\.[0-9]+)?)\s*({_UNIT})"
_DURATION: Final = re.compile(rf"([+-]?)\s*({_PART}(?:[\s,]*{_PART})*)", re.IGNORECASE)
_PARTS: Final = re.compile(_PART, re.IGNORECASE)
_UNIX_SECONDS: Final = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_BASIC_ISO_DATE: Final = re.compile(r"[0-9]{8}")


def read_duration(value: object) -> timedelta:
    """`"-15m"`, `"1h 30m"`, `"2 days"`, or a duration as it is."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueFault(f'a duration such as "15m" is needed, not {called(value)}')
    found = _DURATION.fullmatch(value.strip()) if len(value) <= DURATION_LIMIT else None
    if found is None:
        raise ValueFault('not a duration; write a number and a unit (s, m, h, d), as in "-15m" or "1h 30m"')
    parts = (Decimal(number) * _UNIT_SECONDS[unit[0].lower()] for number, unit in _PARTS.findall(found[2]))
    seconds = sum(parts, Decimal(0))
    return _span(-seconds if found[1] == "-" else seconds)


def _span(seconds: Decimal) -> timedelta:
    try:
        whole, part = divmod(abs(seconds), 1)
        length = timedelta(seconds=int(whole), microseconds=round(part * 1_000_000))
        return -length if seconds < 0 else length
    except (ArithmeticError, ValueError):
        raise ValueFault("the duration is too long") from None


def write_duration(length: timedelta) -> str:
    """The shortest text that `read_duration` reads as `length`: `1h 30m`, `-0.5s`, `0s`."""
    if length < timedelta(0):
        return f"-{write_duration(-length)}"
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f"{seconds}.{length.microseconds:06d}".rstrip("0").rstrip(".") if length.microseconds else str(seconds)
    parts = [(str(length.days), "d"), (str(hours), "h"), (str(minutes), "m"), (fraction, "s")]
    return " ".join(number + unit for number, unit in parts if number != "0") or "0s"


def shift(time: datetime, length: timedelta) -> datetime:
    try:
        return time + length
    except OverflowError:
        raise ValueFault("the time is outside the years 1 to 9999") from None


def read_time(value: object, now: datetime) -> datetime:
    """ISO 8601, unix seconds as number or text, and the dates people write in English; an instant in UTC."""
    if isinstance(value, str):
        return _read_text(value.strip(), now)
    kind = kind_of(value)
    if kind == "time":
        return instant(value)
    if kind == "number" and not isinstance(value, bool):
        return from_timestamp(value)
    raise ValueFault(f"{called(value)} is not a time")


def from_timestamp(value: object) -> datetime:
    """Unix seconds, as a number or as text."""
    if isinstance(value, str) and _UNIX_SECONDS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueFault(f"unix seconds are needed, not {called(value)}")
    try:
        return _EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise ValueFault(
            "the number is no time in the years 1 to 9999 (unix seconds are needed, not milliseconds)"
        ) from None


def _read_text(text: str, now: datetime) -> datetime:
    if _UNIX_SECONDS.fullmatch(text) and not _BASIC_ISO_DATE.fullmatch(text):
        return from_timestamp(text)
    try:
        return instant(datetime.fromisoformat(text))
    except ValueError:
        return _read_written_date(text, now)


def _read_written_date(text: str, now: datetime) -> datetime:
    settings = {
        "RELATIVE_BASE": now.astimezone(UTC).replace(tzinfo=None),
        "TIMEZONE": "UTC",
        "RETURN_AS_TIMEZONE_AWARE": True,
    }
    found = None
    if text and len(text) <= WRITTEN_DATE_LIMIT:
        try:
            found = dateparser.parse(text, languages=["en"], settings=settings)
        except Exception:  # dateparser raises many kinds on odd text, and each means "not a date"
            found = None
    if found is None:
        raise ValueFault('the text is not a time; ISO 8601, unix seconds and written dates such as "3 May 2024" are')
    return instant(found)


def find_zone(name: object) -> tzinfo:
    """A zone of the IANA database by its name, in any case."""
    if not isinstance(name, str):
        raise ValueFault(f"the name of a time zone is needed, not {called(name)}")
    known = _zone_names().get(name.strip().lower())
    if known is None:
        raise ValueFault('not a time zone; names are those of the IANA database, as in "Europe/Berlin"')
    return ZoneInfo(known)


@cache
def _zone_names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
