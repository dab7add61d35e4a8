"""One text that a person wrote, compiled once and rendered many times: a leaf, a URL, a header value, a routing key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from liquid import BoundTemplate, is_undefined
from liquid.builtin.expressions import FilteredExpression
from liquid.exceptions import LiquidError

from domain.errors import RenderError, TemplateSyntaxError
from domain.objects import Scope, scope
from domain.references import MISSING, parse_literal, parse_reference
from domain.template_checks import header_fault, url_fault
from domain.template_context import Context, charge_reading
from domain.template_engine import parse
from domain.template_limits import LIMITS, Budget, Limits
from domain.template_markup import find_fault
from domain.template_outputs import JsonOutput, TextOutput, UrlOutput
from domain.template_parts import Part, only_output, plain_path, tagless, walked, write_part
from domain.template_positions import line_and_column, message_of, position_of
from domain.template_values import json_size, to_plain, to_text

__all__ = ["Scope", "TextTemplate", "compile_text", "scope"]


class TextTemplate:
    """A compiled text. Every `render…` raises RenderError and nothing else."""

    __slots__ = (
        "_constant",
        "_liquid",
        "_native",
        "_output",
        "_parts",
        "_path",
        "_reference",
        "limits",
        "path",
        "text",
    )

    def __init__(self, text: str, path: str, limits: Limits) -> None:
        self.text, self.path, self.limits = text, path, limits
        self._reference = parse_reference(text)
        self._constant = parse_literal(text)
        self._liquid: BoundTemplate | None = None
        self._output: FilteredExpression | None = None
        self._native = False
        self._path: tuple[str, ...] = ()
        self._parts: tuple[Part, ...] = ()
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
        url = self._write(scope, UrlOutput(Budget(self.limits))).strip()
        return self._checked(url, url_fault(url, self.text))

    def render_header(self, scope: Scope) -> str:
        """A header's value: one line."""
        value = self.render_text(scope)
        return self._checked(value, header_fault(value))

    def _checked(self, value: str, fault: str | None) -> str:
        if fault:
            raise self._error(fault)
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
            raise TemplateSyntaxError(message, *line_and_column(self.text, index), path=self.path)
        try:
            self._liquid = parse(self.text)
        except LiquidError as error:
            line, column = position_of(self.text, error.token)
            raise TemplateSyntaxError(message_of(error), line, column, path=self.path) from error
        self._parts = tagless(self._liquid.nodes)
        self._output = only_output(self._parts)
        filters = (self._output.filters or []) if self._output else []
        self._native = bool(filters) and filters[-1].name == "json" and not filters[-1].args
        if self._output and len(filters) == self._native:
            self._path = plain_path(self._output.left)

    def _text_or_native(self, scope: Scope, budget: Budget) -> Any:
        if not self._parts:
            return self._write(scope, TextOutput(budget))
        if self._path and (found := walked(self._path, scope)) is not MISSING:
            charge_reading(found, budget)
            return self._copy(found, budget) if self._native else _spent(to_text(found), budget)
        context = self._shared_context(scope, budget)
        if self._output is None:
            return _spent("".join(write_part(part, context) for part in self._parts), budget)
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
        budget.spend_output(json_size(plain))
        return plain

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except RenderError:
            raise
        except LiquidError as error:
            raise self._error(message_of(error), *position_of(self.text, error.token)) from error
        except Exception as error:
            raise self._error(str(error) or type(error).__name__) from error

    def _error(self, message: str, line: int = 1, column: int = 1) -> RenderError:
        return RenderError(message, line, column, path=self.path)


def compile_text(text: str, *, path: str = "", limits: Limits = LIMITS) -> TextTemplate:
    """Compile one text; TemplateSyntaxError with line and column. `path` says in errors where the text stands."""
    return TextTemplate(text, path, limits)


def _spent(text: str, budget: Budget) -> str:
    budget.spend_output(len(text))
    return text


def _or_none(value: Any) -> Any:
    return None if value is MISSING else value
