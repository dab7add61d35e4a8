"""Turns a condition's tree into closures: what each form means, missing fields and null included.

A closure takes the context (source name → object) and the turn it is evaluated in. It raises ConditionEvaluationError and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from domain import condition_values as values
from domain.condition_functions import FUNCTIONS
from domain.condition_nodes import Call, Difference, Field, Junction, ListOf, Literal, Node, Not, Span, Test, Value
from domain.condition_patterns import compile_pattern, found_in
from domain.condition_times import read_duration, shift
from domain.condition_values import MISSING, ValueFault, called, instant, kind_of, lookup, ordered, same
from domain.condition_work import Turn
from domain.errors import ConditionEvaluationError
from domain.reasons import shortened

Context = Mapping[str, object]
Truth = Callable[[Context, Turn], bool]
Read = Callable[[Context, Turn], object]

SHOWN_CHARACTERS: Final = 200  # of the operand that an error is about; its position says the rest
CHARACTER_WORK: Final = 8  # of a text given to a function; changing the case of some letters takes 30 ns
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def compile_node(node: Node) -> Truth:
    match node:
        case Junction(word="AND"):
            return _all_of(tuple(map(compile_node, node.items)))
        case Junction():
            return _any_of(tuple(map(compile_node, node.items)))
        case Not():
            return _negated(compile_node(node.item))
        case Test():
            truth = _guarded(_TESTS[node.operator](node), node)
            return _negated(truth) if node.negated else truth


def _all_of(truths: tuple[Truth, ...]) -> Truth:
    def all_of(context: Context, turn: Turn) -> bool:
        for truth in truths:  # noqa: SIM110 - a generator would cost more than the tests
            if not truth(context, turn):
                return False
        return True

    return all_of


def _any_of(truths: tuple[Truth, ...]) -> Truth:
    def any_of(context: Context, turn: Turn) -> bool:
        for truth in truths:  # noqa: SIM110 - a generator would cost more than the tests
            if truth(context, turn):
                return True
        return False

    return any_of


def _negated(truth: Truth) -> Truth:
    return lambda context, turn: not truth(context, turn)


def _guarded(truth: Truth, test: Test) -> Truth:
    def guarded(context: Context, turn: Turn) -> bool:
        try:
            return truth(context, turn)
        except ValueFault as fault:
            raise _error(f"{_shown(test.operands[0])}: {fault}", test.span) from None

    return guarded


def _error(message: str, span: Span) -> ConditionEvaluationError:
    return ConditionEvaluationError(message, span.line, span.column)


def _shown(value: Value) -> str:
    return shortened(str(value), SHOWN_CHARACTERS)


def _equal(test: Test) -> Truth:
    left, right = map(compile_value, test.operands)
    if isinstance(test.operands[1], ListOf):
        return _equal_to_list(left, right)
    return lambda context, turn: same(left(context, turn), right(context, turn), turn)


def _equal_to_list(left: Read, right: Read) -> Truth:
    def equal_to_list(context: Context, turn: Turn) -> bool:
        value, items = left(context, turn), right(context, turn)
        return same(value, items, turn) if kind_of(value) == "list" else _is_one_of(value, items, turn)

    return equal_to_list


def _is_one_of(value: object, items: object, turn: Turn) -> bool:
    assert isinstance(items, tuple)  # noqa: S101 - compile_value makes tuples of lists
    return any(same(value, item, turn) for item in items)


def _order(test: Test) -> Truth:
    left, right = map(compile_value, test.operands)
    order = test.operator
    return lambda context, turn: ordered(left(context, turn), order, right(context, turn))


def _between(test: Test) -> Truth:
    read, low, high = map(compile_value, test.operands)

    def between(context: Context, turn: Turn) -> bool:
        value = read(context, turn)
        above = ordered(low(context, turn), "<=", value)
        # Both bounds are always compared, so that a bad one is an error whatever the value.
        below = ordered(value, "<=", high(context, turn))
        return above and below

    return between


def _null(test: Test) -> Truth:
    read = compile_value(test.operands[0])
    return lambda context, turn: read(context, turn) is None


def _exists(test: Test) -> Truth:
    read = compile_value(test.operands[0])
    return lambda context, turn: read(context, turn) is not MISSING


def _empty(test: Test) -> Truth:
    read = compile_value(test.operands[0])
    return lambda context, turn: values.is_empty(read(context, turn))


def _part_of(holds: Callable[[object, object, Turn], bool]) -> Callable[[Test], Truth]:
    def compile_test(test: Test) -> Truth:
        left, right = map(compile_value, test.operands)
        return lambda context, turn: holds(left(context, turn), right(context, turn), turn)

    return compile_test


def _member(test: Test) -> Truth:
    value, items = map(compile_value, test.operands)
    return lambda context, turn: _is_one_of(value(context, turn), items(context, turn), turn)


def _matches(test: Test) -> Truth:
    read = compile_value(test.operands[0])
    pattern = test.operands[1]
    assert isinstance(pattern, Literal)  # noqa: S101 - the grammar says so
    compiled = compile_pattern(str(pattern.value))

    def matches(context: Context, turn: Turn) -> bool:
        value = read(context, turn)
        if isinstance(value, str):
            return found_in(compiled, value, turn)
        if value is MISSING:
            return False
        raise ValueFault(f"MATCHES needs a string, not {called(value)}")

    return matches


_TESTS: Final[dict[str, Callable[[Test], Truth]]] = {
    "==": _equal,
    "<": _order,
    "<=": _order,
    ">": _order,
    ">=": _order,
    "BETWEEN": _between,
    "NULL": _null,
    "EXISTS": _exists,
    "EMPTY": _empty,
    "CONTAINS": _part_of(values.contains),
    "STARTS WITH": _part_of(values.starts_with),
    "ENDS WITH": _part_of(values.ends_with),
    "IN": _member,
    "MATCHES": _matches,
}


def compile_value(value: Value) -> Read:
    match value:
        case Field():
            return _field(value)
        case Literal(value=constant):
            return lambda _context, _turn: constant
        case ListOf():
            return _list(value)
        case Call():
            return _call(value)
        case Difference():
            return _difference(value)


def _field(field: Field) -> Read:
    source = field.source
    steps = tuple((name, int(name) if _INDEX.fullmatch(name) else None) for name in field.segments)
    return lambda context, _now: lookup(context.get(source), steps)


def _list(node: ListOf) -> Read:
    reads = tuple(map(compile_value, node.items))
    return lambda context, turn: tuple(read(context, turn) for read in reads)


def _call(node: Call) -> Read:
    arguments = tuple(_present(argument, f"{node.name}()") for argument in node.arguments)
    run = FUNCTIONS[node.name].run

    def call(context: Context, turn: Turn) -> object:
        given = [argument(context, turn) for argument in arguments]
        try:
            turn.spend(sum(len(value) for value in given if isinstance(value, str)) * CHARACTER_WORK)
            return run(turn.now, *given)
        except ValueFault as fault:
            raise _error(f"{_shown(node)}: {fault}", node.span) from None

    return call


def _present(node: Value, reader: str) -> Read:
    """A value that `reader` cannot do without: missing is an error that names the field."""
    read = compile_value(node)

    def present(context: Context, turn: Turn) -> object:
        value = read(context, turn)
        if value is MISSING:
            raise _error(f"{_shown(node)} is missing, and {reader} needs it", node.span)
        return value

    return present if isinstance(node, Field) else read


def _difference(node: Difference) -> Read:
    left, right = _present(node.left, "the difference"), _present(node.right, "the difference")

    def difference(context: Context, turn: Turn) -> object:
        try:
            return _subtract(left(context, turn), right(context, turn))
        except ValueFault as fault:
            raise _error(f"{_shown(node)}: {fault}", node.span) from None

    return difference


def _subtract(left: object, right: object) -> object:
    kinds = kind_of(left), kind_of(right)
    if kinds == ("time", "time"):
        return instant(left) - instant(right)
    if kinds == ("time", "duration"):
        return shift(instant(left), -read_duration(right))
    raise ValueFault(
        f"only a time or a duration can be taken from a time, not {called(right)} from {called(left)}; use datetime()"
    )
