"""Where a template's output goes: plain text, JSON text, or a URL, each with its own way of writing a value."""

from __future__ import annotations

import re
from io import StringIO
from urllib.parse import quote

from domain.template_limits import Budget
from domain.template_values import to_json, to_text

ABSOLUTE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class TextOutput(StringIO):
    """Plain text. `write` takes what the template's author wrote, `write_value` what an output tag evaluated to."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def write(self, text: str) -> int:
        self.budget.spend_output(len(text))
        return super().write(text)

    def write_value(self, value: object, last_filter: str | None) -> int:  # noqa: ARG002 - the others need it
        return self.write(to_text(value))

    def child(self) -> TextOutput:
        """A buffer for a tag that renders its block first and writes it (or not) afterwards."""
        return type(self)(self.budget)


class JsonOutput(TextOutput):
    """JSON text: values inside a string literal are escaped for it, values outside one become JSON themselves."""

    def __init__(self, budget: Budget, *, in_string: bool = False) -> None:
        super().__init__(budget)
        self._in_string = in_string
        self._escaped = False

    def write(self, text: str) -> int:
        for character in text:
            if self._escaped:
                self._escaped = False
            elif character == '"':
                self._in_string = not self._in_string
            else:
                self._escaped = self._in_string and character == "\\"
        return super().write(text)

    def write_value(self, value: object, last_filter: str | None) -> int:
        if self._in_string:
            return self.write(to_json(to_text(value))[1:-1])
        return self.write(to_text(value) if last_filter == "json" else to_json(value))

    def child(self) -> JsonOutput:
        return JsonOutput(self.budget, in_string=self._in_string)


class UrlOutput(TextOutput):
    """A URL: values are percent-encoded, unless the template did it or the value opens the URL with its scheme."""

    def write_value(self, value: object, last_filter: str | None) -> int:
        text = to_text(value)
        opens = self.tell() == 0 and ABSOLUTE_URL.match(text)
        return self.write(text if opens or last_filter == "url_encode" else quote(text, safe=""))
