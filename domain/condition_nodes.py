"""What a condition's text says, as a tree: a `Node` is true or false, a `Value` is compared; `str()` is canonical text.

Positions take no part in equality: two trees are equal when they say the same, wherever their parts stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal as OneOf

Operator = OneOf[
    "==",
    "<",
    "<=",
    ">",
    ">=",
    "BETWEEN",
    "NULL",
    "EXISTS",
    "EMPTY",
    "CONTAINS",
    "STARTS WITH",
    "ENDS WITH",
    "IN",
    "MATCHES",
]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a part stands in its source text: offsets from 0, line and column from 1."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Field:
    """`source@path`. A segment is the name of a member or, all digits, the index of an item."""

    source: str
    segments: tuple[str, ...]
    span: Span = field(compare=False)
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Literal:
    """None, a bool, a number, a string or a timedelta. Equal by text, since Python holds that True == 1 == 1.0."""

    text: str
    value: object = field(compare=False)
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Value, ...]
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Value, ...]
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Difference:
    left: Value
    right: Value
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return f"{self.left} - {self.right}"


Value = Field | Literal | ListOf | Call | Difference


@dataclass(frozen=True, slots=True)
class Test:
    """One test; `operands[0]` is what is tested. `!=` is a negated `==`."""

    operator: Operator
    operands: tuple[Value, ...]
    negated: bool
    span: Span = field(compare=False)

    def __str__(self) -> str:
        first, *others = map(str, self.operands)
        if self.operator == "NULL":
            return f"{first} IS NOT NULL" if self.negated else f"{first} IS NULL"
        if self.operator == "==":
            return f"{first} {'!=' if self.negated else '=='} {others[0]}"
        words = [first, "NOT" if self.negated else "", self.operator, " AND ".join(others)]
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Not:
    item: Node
    span: Span = field(compare=False)

    def __str__(self) -> str:
        return f"NOT ({self.item})"


@dataclass(frozen=True, slots=True)
class Junction:
    """Two or more parts joined by one word."""

    word: OneOf["AND", "OR"]
    items: tuple[Node, ...]
    span: Span = field(compare=False)

    def __str__(self) -> str:
        parts = (f"({item})" if isinstance(item, Junction) else str(item) for item in self.items)
        return f" {self.word} ".join(parts)


Node = Test | Not | Junction


def fields_of(part: Node | Value) -> Iterator[Field]:
    """Every field that `part` reads, in reading order, repeats included."""
    if isinstance(part, Field):
        yield part
    for child in _children(part):
        yield from fields_of(child)


def _children(part: Node | Value) -> tuple[Node | Value, ...]:
    match part:
        case Test():
            return part.operands
        case ListOf() | Junction():
            return part.items
        case Call():
            return part.arguments
        case Difference():
            return (part.left, part.right)
        case Not():
            return (part.item,)
        case _:
            return ()
