"""Where in its text a template fails, and why."""

from __future__ import annotations

from liquid.exceptions import LiquidError
from liquid.token import Token


def message_of(error: LiquidError) -> str:
    return str(error.message) if error.message else type(error).__name__


def position_of(text: str, token: Token | None) -> tuple[int, int]:
    index = min(max(token.start_index, 0), len(text)) if token is not None else 0
    return line_and_column(text, index)


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
