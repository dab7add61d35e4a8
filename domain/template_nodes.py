"""The nodes that differ from python-liquid's: they write values as their output wants them, and pay for loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.cycle_tag import CycleNode, CycleTag
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.expression import Expression
from liquid.token import Token

from domain.template_outputs import TextOutput
from domain.template_tree import weigh
from domain.template_values import to_text


class _Output(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return _write(self.expression.evaluate(context), _last_filter(self.expression), buffer)


class _Echo(EchoNode):
    render_to_output = _Output.render_to_output


class _Capture(CaptureNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:  # noqa: ARG002
        # What is captured is text, whatever it is written into later: only then is it escaped, and only once.
        captured = TextOutput(context.budget)  # type: ignore[attr-defined]
        self.block.render(context, captured)
        context.assign(self.name, captured.getvalue())
        return 0


class _Cycle(CycleNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        chosen = TextOutput(context.budget)  # type: ignore[attr-defined]
        super().render_to_output(context, chosen)
        return _write(chosen.getvalue(), None, buffer)


class BoundedRange(RangeLiteral):
    """Has at most as many items as a list may: a range is cheap to make, but not to search or to reverse."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        made = super().evaluate(context)
        context.budget.check_value(made)  # type: ignore[attr-defined]
        return made


class _Loop(LoopExpression):
    """Pays for all its turns before the first one, by the number of nodes in its body."""

    __slots__ = ("weight",)

    weight: int

    def evaluate(self, context: RenderContext) -> tuple[Iterator[object], int]:
        turns, length = super().evaluate(context)
        context.budget.spend_steps(length * self.weight)  # type: ignore[attr-defined]
        return turns, length


class _For(ForNode):
    def __init__(self, token: Token, expression: LoopExpression, block: Any, default: Any = None) -> None:
        super().__init__(token, _metered_loop(expression, block), block, default)


class _Tablerow(TablerowNode):
    def __init__(self, token: Token, expression: LoopExpression, block: Any) -> None:
        super().__init__(token, _metered_loop(expression, block), block)


class _When(MultiExpressionBlockNode):
    """Liquid renders the block once for each value that matches: exponential when nested, so each time is paid for."""

    __slots__ = ("weight",)

    def __init__(self, when: MultiExpressionBlockNode) -> None:
        super().__init__(when.token, when.block, when.expression)
        self.weight = weigh(when.block)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        matches = self.expression.evaluate(context)
        if not any(matches):
            return -1
        times = matches.count(True)
        context.budget.spend_steps(times * self.weight)  # type: ignore[attr-defined]
        return sum([self.block.render(context, buffer) for _ in range(times)])


class _Case(CaseNode):
    def __init__(self, token: Token, expression: Expression, blocks: list[Any]) -> None:
        metered = [_When(block) if isinstance(block, MultiExpressionBlockNode) else block for block in blocks]
        super().__init__(token, expression, metered)


NODES: dict[Any, type[Node]] = {
    Output: _Output,
    EchoTag: _Echo,
    CaptureTag: _Capture,
    CaseTag: _Case,
    CycleTag: _Cycle,
    ForTag: _For,
    TablerowTag: _Tablerow,
}


def _last_filter(expression: Expression) -> str | None:
    """The name of the filter an output ends with."""
    filters = expression.filters if isinstance(expression, FilteredExpression) else None
    return filters[-1].name if filters else None


def _write(value: object, filter_name: str | None, buffer: TextIO) -> int:
    if isinstance(buffer, TextOutput):
        return buffer.write_value(value, filter_name)
    return buffer.write(to_text(value))


def _metered_loop(loop: LoopExpression, block: Node) -> _Loop:
    metered = _Loop(
        loop.token,
        loop.identifier,
        loop.iterable,
        limit=loop.limit,
        offset=loop.offset,
        reversed_=loop.reversed,
        cols=loop.cols,
    )
    metered.weight = weigh(block)
    return metered
