"""One text that a person wrote, compiled once and rendered many times: a leaf, a URL, a header value, a routing key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from liquid import BoundTemplate, is_undefined
from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import Token

from domain.errors import RenderError, TemplateSyntaxError
from domain.objects import Scope, scope
from domain.references import MISSING, parse_literal, parse_reference
from domain.template_engine import Context, parse
from domain.template_limits import LIMITS, Budget, Limits
from domain.template_markup import find_fault
from domain.template_outputs import JsonOutput, TextOutput, UrlOutput
from domain.template_values import to_plain, to_text

__all__ = ["TextTemplate", "compile_text", "scope"]

_Part = str | FilteredExpression

_FORBIDDEN_IN_HEADERS = frozenset(map(chr, range(32))) - {"\t"} | {"\x7f"}
_FORBIDDEN_IN_URLS = frozenset(map(chr, range(33))) | {"\x7f"}


class TextTemplate:
    """A compiled text. Every `render…` raises RenderError and nothing else."""

    __slots__ = ("_constant", "_liquid", "_native", "_output", "_parts", "_reference", "limits", "path", "text")

    def __init__(self, text: str, path: str, limits: Limits) -> None:
        self.text, self.path, self.limits = text, path, limits
        self._reference = parse_reference(text)
        self._constant = parse_literal(text)
        self._liquid: BoundTemplate | None = None
        self._output: FilteredExpression | None = None
        self._native = False
        self._parts: tuple[_Part, ...] = ()
        if self._reference is None and self._constant is MISSING:
            self._compile()

    def render(self, scope: Scope, budget: Budget | None = None) -> Any:
        """The leaf's value: text, or the native type where the leaf is exactly one `| json` output or one reference."""
        value = self.look_up(scope, budget)
        return self.absent if value is MISSING else value

    @property
    def absent(self) -> str | None:
        """What the leaf renders to when the value it names does not exist."""
        return "" if self._output is not None and not self._native else None

    def look_up(self, scope: Scope, budget: Budget | None = None) -> Any:
        """As `render`, but MISSING where the leaf is one reference or one output, and what it names does not exist."""
        budget = budget or Budget(self.limits)
        with self._failures():
            if self._reference is not None:
                return self._copy(self._reference.look_up(scope), budget)
            if self._constant is not MISSING:
                return self._constant
            return self._text_or_native(scope, budget)

    def render_text(self, scope: Scope, budget: Budget | None = None) -> str:
        """The value as text, as an output tag would write it."""
        return self._write(scope, TextOutput(budget or Budget(self.limits)))

    def render_json_text(self, scope: Scope, budget: Budget | None = None) -> str:
        """As text holding JSON: outputs are escaped inside a JSON string literal and become JSON outside one."""
        return self._write(scope, JsonOutput(budget or Budget(self.limits)))

    def render_url(self, scope: Scope) -> str:
        """A URL: values are percent-encoded, so none can add a segment, a parameter or a host."""
        url = self._write(scope, UrlOutput(Budget(self.limits)))
        if not _FORBIDDEN_IN_URLS.isdisjoint(url):
            raise self._error("a URL cannot hold spaces or control characters")
        if _dot_segments(url) > _dot_segments(self.text):
            raise self._error('a value would make a path segment "." or "..", which steps out of the path')
        return url

    def render_header(self, scope: Scope) -> str:
        """A header's value: one line."""
        value = self.render_text(scope)
        if not _FORBIDDEN_IN_HEADERS.isdisjoint(value):
            raise self._error("a header value cannot hold line breaks or control characters")
        return value

    def _compile(self) -> None:
        if "{{" not in self.text and "{%" not in self.text:
            self._constant = self.text
            return
        if len(self.text) > self.limits.template_chars:
            raise TemplateSyntaxError(
                f"the template is too long (limit {self.limits.template_chars:,} characters)", 1, 1, path=self.path
            )
        if fault := find_fault(self.text):
            message, index = fault
            raise TemplateSyntaxError(message, *_line_and_column(self.text, index), path=self.path)
        try:
            self._liquid = parse(self.text)
        except LiquidError as error:
            line, column = _position(self.text, error.token)
            raise TemplateSyntaxError(_message(error), line, column, path=self.path) from error
        self._parts = _tagless(self._liquid.nodes)
        self._output = _only_output(self._parts)
        filters = (self._output.filters or []) if self._output else []
        self._native = bool(filters) and filters[-1].name == "json" and not filters[-1].args

    def _text_or_native(self, scope: Scope, budget: Budget) -> Any:
        if not self._parts:
            return self._write(scope, TextOutput(budget))
        context = self._shared_context(scope, budget)
        if self._output is None:
            return _spent("".join(_part(part, context) for part in self._parts), budget)
        value = self._output.left.evaluate(context)
        filters = self._output.filters or []
        for filter_ in filters[:-1] if self._native else filters:
            value = filter_.evaluate(value, context)
        if is_undefined(value):
            return MISSING
        if self._native:
            return self._copy(value, budget)
        return _spent(to_text(value), budget)

    def _write(self, scope: Scope, output: TextOutput) -> str:
        with self._failures():
            if self._liquid is None:
                value = self.look_up(scope, output.budget)
                literal = self._reference is None
                output.write(to_text(value)) if literal else output.write_value(_or_none(value), None)
            else:
                self._liquid.render_with_context(self._context(scope, output.budget), output)
            return output.getvalue()

    def _context(self, scope: Scope, budget: Budget) -> Context:
        assert self._liquid is not None  # noqa: S101 - callers have asked
        context = Context(self._liquid, globals=scope)
        context.budget = budget
        return context

    def _shared_context(self, scope: Scope, budget: Budget) -> Context:
        """One context for all leaves without tags of one rendering: such leaves leave nothing behind in it."""
        context = budget.context
        if not isinstance(context, Context):
            context = budget.context = self._context(scope, budget)
        return context

    @staticmethod
    def _copy(value: Any, budget: Budget) -> Any:
        if value is MISSING:
            return value
        plain = to_plain(value)
        budget.spend_output(_size(plain))
        return plain

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except RenderError:
            raise
        except LiquidError as error:
            raise self._error(_message(error), *_position(self.text, error.token)) from error
        except Exception as error:
            raise self._error(str(error) or type(error).__name__) from error

    def _error(self, message: str, line: int = 1, column: int = 1) -> RenderError:
        return RenderError(message, line, column, path=self.path)


def compile_text(text: str, *, path: str = "", limits: Limits = LIMITS) -> TextTemplate:
    """Compile one text; TemplateSyntaxError with line and column. `path` says in errors where the text stands."""
    return TextTemplate(text, path, limits)


def _tagless(nodes: list[Node]) -> tuple[_Part, ...]:
    """The texts and expressions of a template that has only outputs, else nothing."""
    parts: list[_Part] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            parts.append(node.text)
        elif isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            parts.append(node.expression)
        else:
            return ()
    return tuple(parts)


def _only_output(parts: tuple[_Part, ...]) -> FilteredExpression | None:
    """The expression of a template that is exactly one output."""
    only = parts[0] if len(parts) == 1 else None
    return only if isinstance(only, FilteredExpression) else None


def _part(part: _Part, context: Context) -> str:
    if isinstance(part, str):
        return part
    try:
        return to_text(part.evaluate(context))
    except LiquidError as error:
        error.token = error.token or part.token
        raise


def _spent(text: str, budget: Budget) -> str:
    budget.spend_output(len(text))
    return text


def _or_none(value: Any) -> Any:
    return None if value is MISSING else value


def _size(plain: Any) -> int:
    """About the number of characters of the value's JSON text."""
    if isinstance(plain, str):
        return len(plain) + 2
    if isinstance(plain, Mapping):
        return 2 + sum(len(name) + 4 + _size(member) for name, member in plain.items())
    if isinstance(plain, list):
        return 2 + sum(1 + _size(item) for item in plain)
    return 5


def _dot_segments(url: str) -> int:
    path = url.split("?", 1)[0].split("#", 1)[0]
    return sum(segment in (".", "..") for segment in path.split("/"))


def _message(error: LiquidError) -> str:
    return str(error.message) if error.message else type(error).__name__


def _position(text: str, token: Token | None) -> tuple[int, int]:
    index = min(max(token.start_index, 0), len(text)) if token is not None else 0
    return _line_and_column(text, index)


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    """Both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
