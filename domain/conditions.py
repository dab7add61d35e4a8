"""Conditions: short texts that say when a destination or a mapping takes part, as in `profile@plan == "pro"`.

condition_text      tokens → values       conditions.lark      the grammar
condition_syntax    text → tree           condition_nodes      the tree, and its canonical text
condition_compile   tree → closures       condition_values     equality, order, lookup
condition_functions now(), datetime(), …  condition_times      times and durations as people write them
condition_patterns  regular expressions   condition_work       how much one evaluation may do
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from domain.condition_compile import Context, compile_node
from domain.condition_nodes import Junction, Node, fields_of
from domain.condition_syntax import parse_tree
from domain.condition_work import Turn
from domain.errors import ConditionEvaluationError, ConditionSyntaxError

__all__ = ["Condition", "ConditionEvaluationError", "ConditionSyntaxError", "parse"]

CACHE_SIZE: Final = 2_048  # conditions; each destination has a handful, and one takes some kilobytes


def parse(text: str, sources: Iterable[str] = ("profile", "event")) -> Condition:
    """The condition that `text` says; ConditionSyntaxError if it is malformed or reads a source not among `sources`."""
    return _parse(text, tuple(source.lower() for source in sources))


@lru_cache(maxsize=CACHE_SIZE)
def _parse(text: str, sources: tuple[str, ...]) -> Condition:
    return Condition(text, parse_tree(text, sources))


class Condition:
    """A parsed condition, immutable. Equal to another that says the same; `str()` is the canonical text of both."""

    __slots__ = ("_holds", "_node", "paths", "text")

    def __init__(self, text: str, node: Node) -> None:
        self._node = node
        self._holds = compile_node(node)
        self.text: Final = text
        self.paths: Final = tuple(dict.fromkeys(map(str, fields_of(node))))

    def evaluate(self, context: Context, *, now: datetime) -> bool:
        """Whether it holds for `context` (source → object) at `now`; ConditionEvaluationError if that cannot be said.

        Objects are any Mapping; what they lack is missing, and so is all of an absent source. `now` is UTC if naive.
        """
        return self._holds(context, _turn(now))

    def explain(self, context: Context, *, now: datetime) -> str | None:
        """The source text of the smallest part that was false, None if the condition holds; errors as in `evaluate`."""
        refused = _refusing(self._node, context, _turn(now))
        return None if refused is None else self.text[refused.span.start : refused.span.end]

    def __str__(self) -> str:
        return str(self._node)

    def __repr__(self) -> str:
        return f"parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._node)


def _turn(now: datetime) -> Turn:
    return Turn(now.replace(tzinfo=UTC) if now.utcoffset() is None else now.astimezone(UTC))


def _refusing(node: Node, context: Context, turn: Turn) -> Node | None:
    """Of parts joined by AND one alone refuses; of those joined by OR all do, so the whole is the smallest."""
    if isinstance(node, Junction) and node.word == "AND":
        refusals = (_refusing(item, context, turn) for item in node.items)
        return next((refused for refused in refusals if refused is not None), None)
    return None if compile_node(node)(context, turn) else node
