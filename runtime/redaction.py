"""Masks secrets in what is logged: fields named like a secret, and known secret values wherever they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

__all__ = ["Redactor"]

MASK = "***"
_SECRET_NAME = re.compile(
    r"(?i)(^|[_.-])(authorization|cookie|set-cookie|password|passwd|secret|secrets|token|credential|credentials"
    r"|api[_-]?key|admin[_-]?key|write[_-]?key|private[_-]?key|signature|signing[_-]?secret)$"
)
_SHORTEST = 6  # a shorter value would blank out ordinary words; such secrets are masked by field name only
_DEEPEST = 8  # logs nest two or three levels; a cyclic value must still end


class Redactor:
    """A structlog processor and the text filter behind it. `register` may be called at any time, e.g. on decryption."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.register(*secrets)

    def register(self, *secrets: str) -> None:
        known = len(self._forms)
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                # In a JSON line, quotes and non-ASCII letters of a secret appear escaped.
                self._forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        if len(self._forms) != known:
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # An exception is text only once it is rendered; the finished line is masked again.
        return {name: value if name == "exc_info" else self._masked(name, value, 0) for name, value in event.items()}

    def mask_text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def _masked(self, name: str, value: Any, depth: int) -> Any:
        if _SECRET_NAME.search(name) and value is not None:
            return MASK
        if isinstance(value, str):
            return self.mask_text(value)
        if depth >= _DEEPEST:
            return repr(value) if not isinstance(value, Mapping | list | tuple) else "…"
        if isinstance(value, Mapping):
            return {key: self._masked(str(key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return [self._masked("", item, depth + 1) for item in value]
        return value
