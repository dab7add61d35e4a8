"""Templates without tags, taken apart: texts and expressions, which need no output of their own."""

from __future__ import annotations

from typing import Any

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError

from domain.objects import Scope, UserView
from domain.references import MISSING
from domain.template_context import Context
from domain.template_values import to_text

Part = str | FilteredExpression

_WALKED = frozenset({dict, UserView})


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


def plain_path(expression: object) -> tuple[str, ...]:
    """The names of a path made of names alone, which `walked` may follow; () for any other expression."""
    if type(expression) is not Path or not all(isinstance(segment, str) for segment in expression.path):
        return ()
    return tuple(str(segment) for segment in expression.path)


def walked(path: tuple[str, ...], scope: Scope) -> Any:
    """What the path leads to by members that exist; MISSING if the engine has to say what it means (`size`, `first`, `now`)."""
    found: Any = scope
    for name in path:
        if type(found) not in _WALKED or name not in found:
            return MISSING
        found = found[name]
    return found
