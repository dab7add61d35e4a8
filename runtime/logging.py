"""One line of JSON per event, from structlog and the standard library alike, with secrets masked.

Bind context with `structlog.contextvars.bind_contextvars(request_id=…, delivery_id=…)`; every line written in that task
carries it, whichever library writes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from runtime.redaction import Redactor

__all__ = ["configure_logging"]

# They bring handlers of their own, or write a line for every request they make.
_REROUTED = ("uvicorn", "uvicorn.error", "uvicorn.access", "temporalio", "alembic", "sqlalchemy", "aiohttp", "httpx")
# The API writes one line of its own for each request, without the path's ids.
_CHATTY = ("uvicorn.access", "httpx", "httpcore", "aiohttp.access", "sqlalchemy.engine", "asyncio")
_TEMPORAL_FIELDS = ("workflow_id", "run_id", "workflow_type", "activity_id", "activity_type", "attempt")


def configure_logging(
    *,
    level: str = "info",
    format: Literal["json", "console"] = "json",  # noqa: A002  (the name of the setting)
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> Redactor:
    """Take over all logging of the process. The redactor's `register(*values)` adds secrets learnt later."""
    redactor = Redactor(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _flatten_library_fields,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_RedactingFormatter(redactor, shared, _renderers(format)))
    _take_over(handler, level)
    return redactor


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, redactor: Redactor, shared: list[Processor], renderers: list[Processor]) -> None:
        meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=shared, processors=[meta, redactor, *renderers])
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        # Once more on the finished line: tracebacks and repr() of objects have only now become text.
        return self._redactor.mask_text(super().format(record))


def _renderers(format_: str) -> list[Processor]:
    if format_ == "console":
        return [structlog.dev.ConsoleRenderer(colors=False)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _flatten_library_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The SDK logs its context as one nested field; ours is flat, so that one filter finds every line of a run."""
    event.pop("color_message", None)  # uvicorn's second copy of its text, with escape codes
    for nested in ("temporal_workflow", "temporal_activity"):
        details = event.pop(nested, None)
        if isinstance(details, dict):
            for name in _TEMPORAL_FIELDS:
                value = details.get(name, details.get(f"workflow_{name}"))
                if value is not None:
                    event.setdefault(name, value)
    return event


def _take_over(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _REROUTED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
