"""The context a template renders in: everything it reads, assigns and filters is paid for from a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, TextIO

from liquid import RenderContext
from liquid.exceptions import FilterError, LiquidError
from liquid.token import Token
from liquid.undefined import UNDEFINED

from domain.objects import UserView
from domain.template_filters import JSON_CHARS_A_STEP, KEYED_FILTERS, TEXT_FILTERS
from domain.template_limits import Budget, LimitReached, bulk_of
from domain.template_outputs import TextOutput
from domain.template_values import to_text

CHARS_A_STEP = 256  # a filter runs over a few hundred characters, or over a few items, in the time of one node
ITEMS_A_STEP = 4
SEARCHED_A_STEP = 5  # items, and hundreds of characters, that a comparison, `contains` or a loop may run through
SHORT = 500  # characters that cost less to run through than to charge for
SHARE_A_STEP = 256  # of a filter's argument that is looked at once for each item
LOCALS = 1_000  # variables of one template; `assign` keeps each value alive
_SMALL = frozenset({bool, int, float, type(None)})


def charge_reading(found: object, budget: Budget) -> None:
    """What a value is wanted for runs through it: a loop, `contains`, `==`."""
    kind = type(found)
    if kind in _SMALL or (kind is str and len(found) < SHORT):  # type: ignore[arg-type]
        return
    if isinstance(found, (str, list, tuple, Mapping)):
        budget.spend_steps(bulk_of(found, budget.steps_left * SEARCHED_A_STEP) // SEARCHED_A_STEP)


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
            if name in KEYED_FILTERS:
                self._spend_on_each(left, args)
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
        charge_reading(found, self.budget)
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
        elif isinstance(value, (list, tuple, range, Mapping)):
            self.budget.spend_steps(1 + bulk_of(value, self._affordable(ITEMS_A_STEP)) // ITEMS_A_STEP)

    def _spend_on_each(self, items: object, arguments: tuple[object, ...]) -> None:
        count = len(items) if isinstance(items, (list, tuple, Mapping)) else 1
        weight = sum(bulk_of(each, self._affordable(SHARE_A_STEP)) for each in arguments)
        self.budget.spend_steps(count * weight // SHARE_A_STEP)

    def _affordable(self, per_step: int) -> int:
        return self.budget.steps_left * per_step


def _as_is(value: object) -> object:
    return value
