"""Templates without tags, taken apart: texts and expressions, which need no output of their own."""

from __future__ import annotations

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError

from domain.template_context import Context
from domain.template_values import to_text

Part = str | FilteredExpression


def tagless(nodes: list[Node]) -> tuple[Part, ...]:
    """The texts and expressions of a template that has only outputs, else nothing."""
    parts: list[Part] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            parts.append(node.text)
        elif isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            parts.append(node.expression)
        else:
            return ()
    return tuple(parts)


def only_output(parts: tuple[Part, ...]) -> FilteredExpression | None:
    """The expression of a template that is exactly one output."""
    only = parts[0] if len(parts) == 1 else None
    return only if isinstance(only, FilteredExpression) else None


def write_part(part: Part, context: Context) -> str:
    if isinstance(part, str):
        return part
    try:
        return to_text(part.evaluate(context))
    except LiquidError as error:
        error.token = error.token or part.token
        raise
