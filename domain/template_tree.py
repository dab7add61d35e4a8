"""Walks over a parsed template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.filtered import Filter
from liquid.expression import Expression

_NO_CONTEXT: Any = None  # only `include` and `render` look at it, to find the template they name


def weigh(node: Node) -> int:
    """About how many steps rendering the node once takes."""
    return sum(1 + len(filters_of(expression)) for expression in expressions_of(node)) + _nodes(node)


def expressions_of(node: Node) -> Iterator[Expression]:
    """Every expression of a node and of the nodes in it."""
    waiting = list(node.expressions())
    while waiting:
        expression = waiting.pop()
        yield expression
        waiting.extend(expression.children())
    for child in node.children(_NO_CONTEXT):
        yield from expressions_of(child)


def filters_of(expression: Expression) -> list[Filter]:
    """The filters an expression ends with, if it can have any."""
    return (expression.filters or []) if isinstance(expression, FilteredExpression) else []


def _nodes(node: Node) -> int:
    return 1 + sum(map(_nodes, node.children(_NO_CONTEXT)))
