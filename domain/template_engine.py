"""python-liquid as people's templates run on it: every standard tag but `include` and `render`, under a budget."""

from __future__ import annotations

from liquid import BoundTemplate, Environment
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression

from domain.template_context import Context
from domain.template_filters import FILTERS
from domain.template_nodes import NODES, BoundedRange
from domain.template_tree import expressions_of, filters_of


class _Template(BoundTemplate):
    context_class = Context


class _Environment(Environment):
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag, node in NODES.items():
            self.add_tag(type(tag.__name__, (tag,), {"node_class": node}))
        # no loaders: a template is one text, and reaches no file
        del self.tags["include"], self.tags["render"]
        self.filters.update(FILTERS)


_ENVIRONMENT = _Environment()


def parse(text: str) -> BoundTemplate:
    """Compile; LiquidError also for a filter that does not exist."""
    template = _ENVIRONMENT.from_string(text)
    for node in template.nodes:
        for expression in expressions_of(node):
            _check_filters(expression)
            if type(expression) is RangeLiteral:
                # the parser offers no place to say which class to make
                expression.__class__ = BoundedRange
    return template


def _check_filters(expression: Expression) -> None:
    for filter_ in filters_of(expression):
        if filter_.name not in _ENVIRONMENT.filters:
            raise LiquidSyntaxError(f"unknown filter '{filter_.name}'", token=filter_.token)
