"""python-liquid as people's templates run on it: every standard tag but `include` and `render`, under a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, TextIO

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.cycle_tag import CycleNode, CycleTag
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.exceptions import FilterError, LiquidError, LiquidSyntaxError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import UNDEFINED

from domain.objects import UserView
from domain.template_filters import FILTERS, JSON_CHARS_A_STEP, TEXT_FILTERS
from domain.template_limits import Budget, LimitReached
from domain.template_outputs import TextOutput
from domain.template_values import to_text

CHARS_A_STEP = 256  # a filter runs over a few hundred characters, or over a few items, in the time of one node
ITEMS_A_STEP = 4
SEARCHED_A_STEP = 64
LOCALS = 1_000  # variables of one template; `assign` keeps each value alive


class Context(RenderContext):
    """A render context that spends from a budget."""

    __slots__ = ("budget",)

    budget: Budget

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        function = super().filter(name, token)
        prepare = self._as_text if name in TEXT_FILTERS else _as_is

        def metered(left: object, *args: object, **kwargs: object) -> object:
            values = [prepare(value) for value in (left, *args)]
            for value in values:
                self._spend_on(value)
            try:
                result = function(*values, **kwargs)
            except (LiquidError, LimitReached, TypeError):
                raise
            except Exception as error:
                raise FilterError(f"{name}: {error}", token=token) from error
            self._spend_on(result)
            return result

        return metered

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        found = super().get(path, token=token, default=default)
        if isinstance(found, list):
            # what a list is wanted for runs through it: a loop, `contains`, `==`
            self.budget.spend_steps(len(found) // SEARCHED_A_STEP)
        return found

    def assign(self, key: str, val: Any) -> None:
        self.locals[key] = val
        if len(self.locals) > LOCALS:
            raise LimitReached(f"the template has too many variables (limit {LOCALS:,})")

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return buf.child() if isinstance(buf, TextOutput) else TextOutput(self.budget)

    def _as_text(self, value: object) -> object:
        if value is None or isinstance(value, bool):
            return to_text(value)
        if not isinstance(value, (list, tuple, dict, UserView)):
            return value
        text = to_text(value)
        self.budget.spend_steps(len(text) // JSON_CHARS_A_STEP)
        return text

    def _spend_on(self, value: object) -> None:
        self.budget.check_value(value)
        if isinstance(value, str):
            self.budget.spend_steps(1 + len(value) // CHARS_A_STEP)
        elif isinstance(value, (list, tuple, range)):
            self.budget.spend_steps(1 + len(value) // ITEMS_A_STEP)


class _Output(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return _write(self.expression.evaluate(context), last_filter(self.expression), buffer)


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


class _Range(RangeLiteral):
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
        self.weight = _count(when.block)

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


class _Template(BoundTemplate):
    context_class = Context


class _Environment(Environment):
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag, node in _NODES.items():
            self.add_tag(type(tag.__name__, (tag,), {"node_class": node}))
        # no loaders: a template is one text, and reaches no file
        del self.tags["include"], self.tags["render"]
        self.filters.update(FILTERS)


_NODES: dict[Any, type[Node]] = {
    Output: _Output,
    EchoTag: _Echo,
    CaptureTag: _Capture,
    CaseTag: _Case,
    CycleTag: _Cycle,
    ForTag: _For,
    TablerowTag: _Tablerow,
}

_ENVIRONMENT = _Environment()


def parse(text: str) -> BoundTemplate:
    """Compile; LiquidError also for a filter that does not exist."""
    template = _ENVIRONMENT.from_string(text)
    for node in template.nodes:
        for expression in _expressions(node):
            _check_filters(expression)
            if type(expression) is RangeLiteral:
                # the parser offers no place to say which class to make
                expression.__class__ = _Range
    return template


def last_filter(expression: Expression) -> str | None:
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
    metered.weight = _count(block)
    return metered


def _count(node: Node) -> int:
    return sum(1 + len(_filters(expression)) for expression in _expressions(node)) + _nodes(node)


def _nodes(node: Node) -> int:
    return 1 + sum(map(_nodes, node.children(_NO_CONTEXT)))


def _expressions(node: Node) -> Iterator[Expression]:
    """Every expression of a node and of the nodes in it."""
    waiting = list(node.expressions())
    while waiting:
        expression = waiting.pop()
        yield expression
        waiting.extend(expression.children())
    for child in node.children(_NO_CONTEXT):
        yield from _expressions(child)


def _check_filters(expression: Expression) -> None:
    for filter_ in _filters(expression):
        if filter_.name not in _ENVIRONMENT.filters:
            raise LiquidSyntaxError(f"unknown filter '{filter_.name}'", token=filter_.token)


def _filters(expression: Expression) -> list[Filter]:
    return (expression.filters or []) if isinstance(expression, FilteredExpression) else []


def _as_is(value: object) -> object:
    return value


_NO_CONTEXT: Any = None  # only `include` and `render` look at it, to find the template they name
