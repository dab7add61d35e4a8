"""The filters that differ from python-liquid's: `json`, which it lacks, and those that would escape the limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from dateutil import parser
from liquid import RenderContext, is_undefined
from liquid.builtin.filters.misc import date as liquid_date
from liquid.exceptions import FilterArgumentError
from liquid.filter import int_arg, liquid_filter, sequence_filter, string_filter, with_context

from domain.template_limits import LimitReached
from domain.template_values import to_json, to_plain, to_text

MAX_INDENT = 8
MAX_PATTERN_CHARS = 500  # a directive can print a hundred times its own length
JSON_CHARS_A_STEP = 16  # writing JSON costs many times what copying text does
DUMP_STEPS = 5  # of writing one small object as JSON
DATE_STEPS, DATE_CHAR_STEPS = 20, 2  # writing a date takes 40 µs, and reading one 5 µs for each character
MAX_DATE_CHARS = 100  # no date is written longer, and the parser's work grows with the length


@with_context
@liquid_filter
def json_filter(value: object, indent: object = None, *, context: RenderContext) -> str:
    """JSON text of any value; undefined is `null`."""
    text = to_json(value, indent=min(max(int_arg(indent), 0), MAX_INDENT) if indent else None)
    context.budget.spend_steps(len(text) // JSON_CHARS_A_STEP)  # type: ignore[attr-defined]
    return text


@with_context
@sequence_filter
def join(items: Iterable[object], separator: object = " ", *, context: RenderContext) -> str:
    """As Liquid's, but never building more than the output limit, and with null items as empty text."""
    glue, size, texts = to_text(separator), 0, []
    for item in items:
        texts.append(to_text(item))
        size += len(texts[-1]) + len(glue)
        _refuse_beyond(context, size)
    return glue.join(texts)


@with_context
@string_filter
def replace(text: str, old: object, new: object = "", *, context: RenderContext) -> str:
    """As Liquid's, but knowing the size of the result before making it."""
    before, after = to_text(old), to_text(new)
    _refuse_beyond(context, len(text) + text.count(before) * (len(after) - len(before)))
    return text.replace(before, after)


@with_context
@sequence_filter
def concat(items: Iterable[object], more: object, *, context: RenderContext) -> list[object]:
    """As Liquid's; the only filter that can refer to one big object many times, so the result is weighed."""
    if not isinstance(more, (list, tuple, range)):
        raise FilterArgumentError(f"concat expected an array, found {type(more).__name__}", token=None)
    result = [*items, *more]
    _refuse_beyond(context, _weight(result, context))
    return result


@with_context
@sequence_filter
def uniq(items: Iterable[Any], key: object = None, *, context: RenderContext) -> list[object]:
    """As Liquid's, in linear time."""
    seen: dict[object, object] = {}
    for item in items:
        seen.setdefault(_identity(item if key is None else _member(item, key), context), item)
    return list(seen.values())


@with_context
@liquid_filter
def date_filter(value: object, pattern: object, *, context: RenderContext) -> str:
    """As Liquid's, in UTC wherever the value names no zone, so that no server's time zone shows in what is sent."""
    if is_undefined(pattern) or is_undefined(value):
        return to_text(value)
    context.budget.spend_steps(DATE_STEPS + DATE_CHAR_STEPS * min(len(to_text(value)), MAX_DATE_CHARS))  # type: ignore[attr-defined]
    moment = _to_datetime(value, context)
    if moment is None:
        return to_text(value)
    directives = to_text(pattern)
    if len(directives) > MAX_PATTERN_CHARS:
        raise FilterArgumentError(f"the date's pattern is longer than {MAX_PATTERN_CHARS} characters", token=None)
    return str(liquid_date(moment, directives, environment=context.env))


def _to_datetime(value: object, context: RenderContext) -> datetime | None:
    if value in ("now", "today"):
        value = context.resolve(str(value), default=datetime.now(UTC))
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        return _parse(value)
    except (parser.ParserError, OverflowError, OSError, ValueError):
        return None


def _parse(value: object) -> datetime | None:
    if isinstance(value, (int, float)) or (isinstance(value, str) and value.isdigit()):
        return datetime.fromtimestamp(float(value), UTC)
    if isinstance(value, str) and 0 < len(value) <= MAX_DATE_CHARS:
        # fields the text leaves out come from this moment, not from the clock
        moment = parser.parse(value, default=datetime(1970, 1, 1))  # noqa: DTZ001
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _refuse_beyond(context: RenderContext, size: int) -> None:
    limit = context.budget.limits.output_chars  # type: ignore[attr-defined]
    if size > limit:
        raise LimitReached(f"the template makes too much text in one filter (limit {limit:,} characters)")


def _weight(value: object, context: RenderContext) -> int:
    context.budget.spend_steps(1)  # type: ignore[attr-defined]
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_weight(member, context) for member in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_weight(item, context) for item in value)
    return 8


def _identity(value: object, context: RenderContext) -> object:
    try:
        hash(value)
    except TypeError:
        text = json.dumps(to_plain(value), sort_keys=True)
        context.budget.spend_steps(DUMP_STEPS + len(text) // JSON_CHARS_A_STEP)  # type: ignore[attr-defined]
        return text
    return value


def _member(item: Any, key: object) -> object:
    try:
        return item[key]
    except (KeyError, IndexError):
        return None
    except TypeError as error:
        raise FilterArgumentError(f"can't read property '{key}' of {to_text(item)}", token=None) from error


FILTERS: dict[str, Callable[..., object]] = {
    "json": json_filter,
    "join": join,
    "replace": replace,
    "concat": concat,
    "uniq": uniq,
    "date": date_filter,
}

# Those that look at an argument once for each item.
KEYED_FILTERS = frozenset(
    {"find", "find_index", "has", "map", "reject", "sort", "sort_natural", "sort_numeric", "sum", "uniq", "where"}
)
TEXT_FILTERS = frozenset(
    {
        *(
            "append",
            "capitalize",
            "downcase",
            "prepend",
            "remove",
            "remove_first",
            "remove_last",
            "replace",
            "replace_first",
        ),
        *("replace_last", "split", "squish", "strip", "lstrip", "rstrip", "truncate", "truncatewords", "upcase"),
        *("escape", "escape_once", "escapejs", "newline_to_br", "safe", "strip_html", "strip_newlines", "url_decode"),
        *("url_encode", "base64_decode", "base64_encode", "base64_url_safe_decode", "base64_url_safe_encode"),
    }
)
"""Filters on text: null, booleans, lists and objects reach them as an output would write them, not as Python would."""
