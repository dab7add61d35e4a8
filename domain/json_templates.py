"""A JSON value whose string leaves are templates, rendered as a structure: no value can break out."""

from __future__ import annotations

from typing import Any

from domain.errors import TemplateSyntaxError
from domain.objects import Scope
from domain.references import MISSING
from domain.template_limits import LIMITS, Budget, Limits
from domain.templates import TextTemplate, compile_text

_Node = Any  # a TextTemplate, a tuple of _Member, a list of _Node, or a plain JSON scalar
_Member = tuple[str, bool, _Node]  # name, left out when its value is missing, value


class JsonTemplate:
    """A compiled JSON template."""

    __slots__ = ("_root", "limits")

    def __init__(self, root: _Node, limits: Limits) -> None:
        self._root, self.limits = root, limits

    def render(self, scope: Scope, budget: Budget | None = None) -> Any:
        """JSON data of the template's shape; RenderError. A missing value is null where its key does not end in `?`."""
        return _present(self._root, _render(self._root, scope, budget or Budget(self.limits)))


def compile_json(template: Any, *, path: str = "", limits: Limits = LIMITS) -> JsonTemplate:
    """Compile JSON data (dict, list, str, number, bool, None); TemplateSyntaxError whose path ends at the leaf."""
    compiler = _Compiler(limits)
    return JsonTemplate(compiler.compile(template, path, limits.nesting), limits)


class _Compiler:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._leaves = 0

    def compile(self, template: Any, path: str, levels: int) -> _Node:
        if levels < 0:
            raise TemplateSyntaxError(f"nested too deeply (limit {self._limits.nesting} levels)", 1, 1, path=path)
        if isinstance(template, str):
            return self._leaf(template, path)
        if isinstance(template, dict):
            return tuple(self._members(template, path, levels))
        if isinstance(template, list):
            return [self.compile(item, _below(path, str(i)), levels - 1) for i, item in enumerate(template)]
        return template

    def _leaf(self, text: str, path: str) -> TextTemplate:
        self._leaves += 1
        if self._leaves > self._limits.leaves:
            raise TemplateSyntaxError(f"too many values (limit {self._limits.leaves:,})", 1, 1, path=path)
        return compile_text(text, path=path, limits=self._limits)

    def _members(self, template: dict[str, Any], path: str, levels: int) -> list[_Member]:
        members: dict[str, _Member] = {}
        for key, value in template.items():
            optional = key.endswith("?") and len(key) > 1
            name, place = key[:-1] if optional else key, _below(path, key)
            if name in members:
                raise TemplateSyntaxError(f'"{name}" is given twice, with and without "?"', 1, 1, path=place)
            members[name] = (name, optional, self.compile(value, place, levels - 1))
        return list(members.values())


def _render(node: _Node, scope: Scope, budget: Budget) -> Any:
    if isinstance(node, TextTemplate):
        return node.look_up(scope, budget)
    if isinstance(node, tuple):
        return _render_members(node, scope, budget)
    if isinstance(node, list):
        return [_present(item, _render(item, scope, budget)) for item in node]
    return node


def _render_members(members: tuple[_Member, ...], scope: Scope, budget: Budget) -> dict[str, Any]:
    rendered = {}
    for name, optional, node in members:
        value = _render(node, scope, budget)
        if value is not MISSING or not optional:
            rendered[name] = _present(node, value)
    return rendered


def _present(node: _Node, value: Any) -> Any:
    return node.absent if value is MISSING else value


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
