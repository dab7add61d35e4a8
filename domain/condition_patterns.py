"""Regular expressions that cannot hang: RE2's, with bounds on the memory and the work of one match."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

from domain.condition_values import ValueFault
from domain.condition_work import WORK_LIMIT, Turn

PATTERN_LIMIT: Final = 1_000  # characters; a longer one belongs in a segment or a program
MEMORY_LIMIT: Final = (
    1 << 21
)  # bytes a pattern; room for large Unicode classes, and a thousand patterns stay within 2 GiB


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Any:
    """The compiled pattern; ValueFault if RE2 does not take it (back-references, look-around) or it is too large."""
    if len(pattern) > PATTERN_LIMIT:
        raise ValueFault(f"the pattern is longer than {PATTERN_LIMIT:,} characters")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY_LIMIT
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        raise ValueFault(f"not a regular expression of RE2: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def found_in(compiled: Any, text: str, turn: Turn) -> bool:
    """Whether the pattern matches anywhere in `text`; ValueFault where that might take long."""
    encoded = text.encode(errors="surrogatepass")
    work = compiled.programsize * len(encoded)
    if work > WORK_LIMIT:
        raise ValueFault(f"the text of {len(encoded):,} bytes is too long for this pattern")
    turn.spend(work)
    return compiled.search(encoded) is not None
