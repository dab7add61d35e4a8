"""A receiver on this machine: what a destination's endpoint is in the demo and in the README's tour."""

from __future__ import annotations

import queue
import sys
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import cast

__all__ = ["DemoReceiver", "Received", "print_what_arrives"]

OK = 200


@dataclass(frozen=True, slots=True)
class Received:
    """`key` is the idempotency key; `answered` the status it got."""

    path: str
    body: str
    key: str
    answered: int


class DemoReceiver:
    """Listens on 127.0.0.1 while it is entered. Answers `answer` to every request, except the next ones after `fail`."""

    def __init__(self, port: int = 0, *, answer: int = OK) -> None:
        """Raises OSError when the port is in use; 0 takes a free one."""
        self.received: queue.Queue[Received] = queue.Queue()
        self._answer = answer
        self._next: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.receiver = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> DemoReceiver:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, times: int, status: int) -> None:
        for _ in range(times):
            self._next.put(status)

    def take(self, path: str, body: str, key: str) -> int:
        """The status to answer with."""
        status = self._answer
        with suppress(queue.Empty):
            status = self._next.get_nowait()
        self.received.put(Received(path, body, key, status))
        return status


def print_what_arrives(port: int, answer: int) -> None:
    """Until Ctrl-C. Raises OSError when the port is in use."""
    with DemoReceiver(port, answer=answer) as receiver:
        _say(f"Listening on {receiver.url}, answering {answer}. Ctrl-C stops it.")
        with suppress(KeyboardInterrupt):
            while True:
                got = receiver.received.get()
                _say(f"{got.answered} {got.path} {got.body}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a resume delivers everything at once
    receiver: DemoReceiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the name that http.server looks for
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self.headers.get("Idempotency-Key", "")
        status = cast(_Server, self.server).receiver.take(self.path, body.decode(errors="replace"), key)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_PATCH = do_DELETE = do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What arrives is printed by whoever runs the receiver."""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
