"""From a condition's text to its tree. The grammar is conditions.lark; here are the limits, sources and functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, TypeVar

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from domain.condition_complaints import complaint_about
from domain.condition_functions import FUNCTIONS
from domain.condition_nodes import (
    Call,
    Difference,
    Field,
    Junction,
    ListOf,
    Literal,
    Node,
    Not,
    Operator,
    Span,
    Test,
    Value,
)
from domain.condition_patterns import compile_pattern
from domain.condition_text import read_field, read_literal
from domain.condition_values import ValueFault
from domain.errors import ConditionSyntaxError

T = TypeVar("T")

TEXT_LIMIT: Final = (
    10_000  # characters; some two hundred tests, far above what people write, and parsed in a tenth of a second
)
NESTING_LIMIT: Final = 50  # brackets within brackets; keeps recursion over the tree far from Python's limit

_ORDERS: Final[dict[str, Operator]] = {"<": "<", "<=": "<=", "=<": "<=", ">": ">", ">=": ">=", "=>": ">="}
_TESTS: Final[dict[str, Operator]] = {
    "between": "BETWEEN",
    "null": "NULL",
    "exists": "EXISTS",
    "empty": "EMPTY",
    "contains": "CONTAINS",
    "starts_with": "STARTS WITH",
    "ends_with": "ENDS WITH",
    "member": "IN",
    "matches": "MATCHES",
}


def parse_tree(text: str, sources: tuple[str, ...]) -> Node:
    """The tree of `text`; ConditionSyntaxError where it is malformed, too long, too deep or reads an unknown source."""
    _check_length(text, text)
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as unexpected:
        offset, message = complaint_about(unexpected, text)
        raise ConditionSyntaxError(message, *position_of(text, offset)) from None
    node = _Builder(text, sources).node(_parts(tree)[0])
    # Else the canonical text of a condition that was just short enough could not be parsed.
    _check_length(str(node), text)
    return node


def _check_length(measured: str, text: str) -> None:
    if len(measured) > TEXT_LIMIT:
        place = position_of(text, min(len(text), TEXT_LIMIT))
        raise ConditionSyntaxError(f"the condition is longer than {TEXT_LIMIT:,} characters", *place)


def position_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


class _NestingGuard:
    """Stops the parser at the bracket that nests too deep."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = 0
        for token in stream:
            depth += (token.type in ("_LPAR", "_LSQB")) - (token.type in ("_RPAR", "_RSQB"))
            if depth > NESTING_LIMIT:
                raise _error(f"brackets nest deeper than {NESTING_LIMIT}", _span_of(token))
            yield token


@cache
def _grammar() -> Lark:
    return Lark.open(
        "conditions.lark",
        rel_to=__file__,
        parser="lalr",
        postlex=_NestingGuard(),
        propagate_positions=True,
        maybe_placeholders=True,
    )


class _Builder:
    """Makes nodes of lark's trees; one method a rule, or one for several of one shape."""

    def __init__(self, text: str, sources: tuple[str, ...]) -> None:
        self._text = text
        self._sources = sources

    def node(self, tree: Tree[Token]) -> Node:
        span, parts = _span_of(tree), _parts(tree)
        match tree.data:
            case "all_of":
                return Junction("AND", tuple(map(self.node, parts)), span)
            case "any_of":
                return Junction("OR", tuple(map(self.node, parts)), span)
            case "negation":
                return Not(self.node(parts[0]), span)
            case "comparison":
                return self._comparison(tree)
            case name:
                return self._test(_TESTS[name], tree)

    def _comparison(self, tree: Tree[Token]) -> Test:
        operands, word = tuple(map(self._value, _parts(tree))), _word(tree)
        return Test(_ORDERS.get(word, "=="), operands, word == "!=", _span_of(tree))

    def _test(self, operator: Operator, tree: Tree[Token]) -> Test:
        first, *others = _parts(tree)
        operand = self._value(first)
        if operator == "EXISTS" and not isinstance(operand, Field):
            raise _error("only a field can be tested with EXISTS", operand.span)
        values = [self._list(other) if operator == "IN" else self._value(other) for other in others]
        if operator == "MATCHES":
            _check_pattern(values[0])
        return Test(operator, (operand, *values), _word(tree) != "", _span_of(tree))

    def _value(self, tree: Tree[Token]) -> Value:
        span = _span_of(tree)
        match tree.data:
            case "field":
                return self._field(_word(tree), span)
            case "call":
                return self._call(tree, span)
            case "difference":
                left, right = map(self._value, _parts(tree))
                return Difference(left, right, span)
            case "list":
                return _only_literals(self._list(tree))
            case kind:
                return _literal(kind, self._text[span.start : span.end], span)

    def _list(self, tree: Tree[Token]) -> ListOf:
        return ListOf(tuple(map(self._value, _parts(tree))), _span_of(tree))

    def _field(self, text: str, span: Span) -> Field:
        source, segments, canonical = _at(span, lambda: read_field(text))
        if source not in self._sources:
            known = ", ".join(self._sources)
            raise _error(f'there is no source "{source}" here; known are: {known}', span)
        return Field(source, segments, span, canonical)

    def _call(self, tree: Tree[Token], span: Span) -> Call:
        name, arguments = _word(tree).lower(), tuple(map(self._value, _parts(tree)))
        function = FUNCTIONS.get(name)
        if function is None:
            raise _error(f"there is no function {name}(); known are: {', '.join(FUNCTIONS)}", span)
        if not function.fewest <= len(arguments) <= function.most:
            wanted = " or ".join(map(str, sorted({function.fewest, function.most})))
            raise _error(f"{name}() takes {wanted} argument(s), not {len(arguments)}", span)
        return Call(name, arguments, span)


def _parts(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _word(tree: Tree[Token]) -> str:
    """The token that the rule keeps: an operator, NOT, a name or a field; empty if there is none."""
    return next((str(child) for child in tree.children if isinstance(child, Token)), "")


def _literal(kind: str, text: str, span: Span) -> Literal:
    value, canonical = _at(span, lambda: read_literal(kind, text))
    return Literal(canonical, value, span)


def _only_literals(values: ListOf) -> ListOf:
    for item in values.items:
        if not isinstance(item, Literal | ListOf):
            raise _error("a list holds literals; only the list of IN may hold fields and function calls", item.span)
    return values


def _check_pattern(value: Value) -> None:
    assert isinstance(value, Literal)  # noqa: S101 - the grammar says so
    _at(value.span, lambda: compile_pattern(str(value.value)))


def _at(span: Span, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueFault as fault:
        raise _error(str(fault), span) from None


def _error(message: str, span: Span) -> ConditionSyntaxError:
    return ConditionSyntaxError(message, span.line, span.column)


def _span_of(part: Tree[Token] | Token) -> Span:
    place = part.meta if isinstance(part, Tree) else part
    assert place.start_pos is not None and place.end_pos is not None  # noqa: S101 - lark was asked to
    return Span(place.start_pos, place.end_pos, place.line or 1, place.column or 1)
