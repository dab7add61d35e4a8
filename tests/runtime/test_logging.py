"""One JSON object a line, whoever writes it, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime.logging import configure_logging
from runtime.redaction import Redactor

SECRET = 'pa"ss-wörd-42'


class Log:
    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.redactor: Redactor = configure_logging(secrets=[SECRET], stream=self.stream)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Log()
    root.handlers[:], root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_a_line_says_when_how_bad_who_and_what(log: Log) -> None:
    structlog.get_logger("api.dispatcher").warning("behind", rows=12)
    (line,) = log.lines
    assert {"level": "warning", "logger": "api.dispatcher", "event": "behind", "rows": 12}.items() <= line.items()
    assert line["timestamp"].endswith("Z")


def test_bound_context_is_on_lines_of_other_libraries_too(log: Log) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logging.getLogger("asyncpg.pool").error("lost %s", "connection")
    (line,) = log.lines
    assert (line["event"], line["request_id"]) == ("lost connection", "r-1")


@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access", "temporalio.worker", "alembic.runtime"])
def test_a_library_with_handlers_of_its_own_comes_through_once(name: str) -> None:
    own = io.StringIO()
    noisy = logging.getLogger(name.split(".", maxsplit=1)[0])
    noisy.addHandler(logging.StreamHandler(own))
    noisy.propagate = False
    log = Log()
    logging.getLogger(name).warning("hello")
    assert [line["event"] for line in log.lines] == ["hello"]
    assert own.getvalue() == ""


def test_the_run_that_temporal_names_is_a_field_of_its_own(log: Log) -> None:
    context = {"workflow_id": "profile-sync/d/p", "workflow_run_id": "run", "activity_type": "deliver", "attempt": 3}
    logging.getLogger("temporalio.activity").info("failed", extra={"temporal_activity": context})
    (line,) = log.lines
    wanted = {"workflow_id": "profile-sync/d/p", "run_id": "run", "activity_type": "deliver", "attempt": 3}
    assert wanted.items() <= line.items()
    assert "temporal_activity" not in line


def test_uvicorns_coloured_copy_of_its_text_is_left_out(log: Log) -> None:
    logging.getLogger("uvicorn.error").info("Started %d", 1, extra={"color_message": "Started [36m%d"})
    assert "color_message" not in log.lines[0]


def test_an_exception_is_one_line_with_its_traceback(log: Log) -> None:
    try:
        raise RuntimeError("no way")
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    (line,) = log.lines
    assert "RuntimeError: no way" in line["exception"]


@pytest.mark.parametrize(
    "write",
    [
        lambda: structlog.get_logger("x").info(f"sent {SECRET}"),
        lambda: structlog.get_logger("x").info("sent", body=f"token={SECRET}"),
        lambda: structlog.get_logger("x").info("sent", body={"deep": [{"er": SECRET}]}),
        lambda: structlog.get_logger("x").info("sent", body=json.dumps({"k": SECRET})),
        lambda: structlog.get_logger("x").info("sent", thing=RuntimeError(SECRET)),
        lambda: logging.getLogger("x").info("sent %s", SECRET),
        lambda: logging.getLogger("x").info("sent", exc_info=(RuntimeError, RuntimeError(SECRET), None)),
    ],
)
def test_a_known_secret_is_masked_wherever_it_stands(log: Log, write: Any) -> None:
    write()
    text = log.stream.getvalue()
    assert "***" in text
    assert "wörd-42" not in text
    assert "w\\u00f6rd-42" not in text
    assert json.loads(text)


@pytest.mark.parametrize("name", ["password", "Authorization", "x-api-key", "write_key", "client_secret", "Set-Cookie"])
def test_a_field_named_like_a_secret_is_masked_whatever_it_holds(log: Log, name: str) -> None:
    structlog.get_logger("x").info("sent", headers={name: "abc"})
    assert log.lines[0]["headers"] == {name: "***"}


@pytest.mark.parametrize("name", ["idempotency_key", "key_id", "author", "tokens_left", "profile"])
def test_a_field_that_merely_resembles_one_is_left(log: Log, name: str) -> None:
    structlog.get_logger("x").info("sent", **{name: "abc"})
    assert log.lines[0][name] == "abc"


def test_a_secret_learnt_later_is_masked_from_then_on(log: Log) -> None:
    log.redactor.register("learnt-by-decrypting")
    structlog.get_logger("x").info("uses learnt-by-decrypting")
    assert log.lines[0]["event"] == "uses ***"


def test_a_value_too_short_to_be_told_from_a_word_is_left_in_text(log: Log) -> None:
    log.redactor.register("abc")
    structlog.get_logger("x").info("abc", password="abc")
    assert (log.lines[0]["event"], log.lines[0]["password"]) == ("abc", "***")


def test_a_value_that_contains_itself_ends(log: Log) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    structlog.get_logger("x").info("odd", value=loop)
    assert log.lines[0]["event"] == "odd"


def test_console_lines_are_for_people() -> None:
    stream = io.StringIO()
    configure_logging(format="console", secrets=[SECRET], stream=stream)
    structlog.get_logger("x").info("hello", n=1)
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
