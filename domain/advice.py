"""Advice to whoever writes a condition: what is well-formed, and yet cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal as OneOf

from domain.condition_nodes import Field, Junction, ListOf, Literal, Node, Not, Span, Test, Value, fields_of
from domain.condition_syntax import parse_tree
from domain.condition_values import kind_of
from domain.stored_paths import ALWAYS_THERE, PROFILE_SOURCES, Path, stored_paths

__all__ = ["Advice", "advise", "paths_to_look_up"]

Code = OneOf["never_false", "never_true", "type_mismatch", "unknown_path"]

_PROFILE_STRINGS = frozenset({"id", "userId", "anonymousId", "email", "createdAt", "updatedAt"})
_EVENT_STRINGS = frozenset({"name", "type", "timestamp", "userId", "anonymousId", "messageId"})
_COMPARES = {"==", "<", "<=", ">", ">=", "BETWEEN", "IN"}
_NEVER_EMPTY = frozenset({"id", "userId", "createdAt", "updatedAt"})


@dataclass(frozen=True, slots=True)
class Advice:
    """`path` is the field it is about, empty for a whole part; line and column, from 1, are where that part begins."""

    code: Code
    message: str
    path: str
    line: int
    column: int


def paths_to_look_up(text: str, sources: tuple[str, ...]) -> frozenset[Path]:
    """The paths into stored profiles that say more of the condition. Raises ConditionSyntaxError."""
    return frozenset(path for field in fields_of(parse_tree(text, sources)) for path in stored_paths(field))


def advise(text: str, sources: tuple[str, ...], seen: Mapping[Path, frozenset[str]] | None = None) -> list[Advice]:
    """In order of position. `seen`: JSON types found at each path looked up, none if it was found nowhere; None: not looked.

    Raises ConditionSyntaxError.
    """
    node = parse_tree(text, sources)
    found = [*_constant_parts(node), *_mismatches(node, seen or {}), *_unknown_paths(node, seen)]
    return sorted(found, key=lambda advice: (advice.line, advice.column))


def _constant_parts(node: Node) -> Iterator[Advice]:
    """The largest parts that are always true or always false."""
    truth = _constant(node)
    if truth is not None:
        word = "false" if truth else "true"
        yield _advice("never_false" if truth else "never_true", f"this can never be {word}: {node}", "", node.span)
    elif isinstance(node, Junction):
        for item in node.items:
            yield from _constant_parts(item)
    elif isinstance(node, Not):
        yield from _constant_parts(node.item)


def _constant(node: Node) -> bool | None:
    """What the node is for every profile there can be, None if that depends."""
    if isinstance(node, Not):
        truth = _constant(node.item)
        return None if truth is None else not truth
    if isinstance(node, Test):
        holds = _constant_test(node)
        return None if holds is None else holds != node.negated
    truths = [_constant(item) for item in node.items]
    decisive = node.word == "OR"  # one true part decides an OR, one false part an AND
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def _constant_test(test: Test) -> bool | None:
    """Before any negation."""
    subject = test.operands[0]
    if (
        test.operator == "IN"
        and test.operands[1:]
        and isinstance(test.operands[1], ListOf)
        and not test.operands[1].items
    ):
        return False
    if not (isinstance(subject, Field) and subject.source in PROFILE_SOURCES and len(subject.segments) == 1):
        return None
    root = subject.segments[0]
    if test.operator == "EXISTS" and root in ALWAYS_THERE:
        return True
    if (test.operator == "NULL" and root in ALWAYS_THERE) or (test.operator == "EMPTY" and root in _NEVER_EMPTY):
        return False
    return None


def _mismatches(node: Node, seen: Mapping[Path, frozenset[str]]) -> Iterator[Advice]:
    for test in _tests_of(node):
        field = test.operands[0]
        if test.operator in _COMPARES and isinstance(field, Field) and _is_text(field, seen):
            numbers = [value for value in _literals(test.operands[1:]) if kind_of(value.value) == "number"]
            if numbers:
                yield _advice("type_mismatch", _mismatch(field, test, numbers[0]), str(field), test.span)


def _mismatch(field: Field, test: Test, number: Literal) -> str:
    effect = "is never equal" if test.operator in ("==", "IN") else "is an error when evaluated"
    return f"{field} is a string, and comparing it with {number} {effect}; put the value into quotes"


def _is_text(field: Field, seen: Mapping[Path, frozenset[str]]) -> bool:
    strings = _PROFILE_STRINGS if field.source in PROFILE_SOURCES else _EVENT_STRINGS
    if len(field.segments) == 1 and field.segments[0] in strings:
        return True
    types = frozenset[str]().union(*(seen.get(path, frozenset()) for path in stored_paths(field)))
    return types == {"string"}


def _unknown_paths(node: Node, seen: Mapping[Path, frozenset[str]] | None) -> Iterator[Advice]:
    for field in dict.fromkeys(fields_of(node)):
        places = stored_paths(field)
        if seen is not None and places and all(path in seen and not seen[path] for path in places):
            yield _advice("unknown_path", f"no stored profile that was looked at has {field}", str(field), field.span)


def _tests_of(node: Node) -> Iterator[Test]:
    if isinstance(node, Test):
        yield node
    else:
        for item in node.items if isinstance(node, Junction) else (node.item,):
            yield from _tests_of(item)


def _literals(values: tuple[Value, ...]) -> Iterator[Literal]:
    for value in values:
        if isinstance(value, Literal):
            yield value
        elif isinstance(value, ListOf):
            yield from _literals(value.items)


def _advice(code: Code, message: str, path: str, span: Span) -> Advice:
    return Advice(code, message, path, span.line, span.column)
