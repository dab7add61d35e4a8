"""Child processes, their logs, their pid files, and the ports and keys around them."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runtime.laptop.children import ChildProcess
from runtime.laptop.keys import LaptopKeys
from runtime.laptop.leftovers import end_leftovers, sole_user
from runtime.laptop.logfiles import LogFile
from runtime.laptop.ports import free_port, is_free, require_free
from runtime.laptop.supervisor import Supervisor
from runtime.laptop.waiting import StartError, StopFlag, StopRequestedError, wait_until

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
WITH_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; print(1); signal.pause()'])"


def a_child(home: Path, program: str, **options: float) -> ChildProcess:
    return ChildProcess("part", [sys.executable, "-u", "-c", program], home=home, **options)  # type: ignore[arg-type]


def _has_said(child: ChildProcess, words: str) -> None:
    wait_until(lambda: words in child.log.tail(), words, seconds=20, gone=child.obituary, stop=StopFlag())


def test_a_child_that_ends_is_described_by_name_code_and_last_words(tmp_path: Path) -> None:
    child = a_child(tmp_path, "print('the last word'); raise SystemExit(3)")
    child.start()
    wait_until(lambda: child.exit_code is not None, "end", seconds=20, gone=lambda: None, stop=StopFlag())
    words = child.obituary()
    assert words is not None
    assert "part ended with exit code 3" in words
    assert "the last word" in words


def test_a_child_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    child = a_child(tmp_path, STUBBORN, stop_seconds=0.1)
    child.start()
    _has_said(child, "up")
    child.stop()
    assert child.exit_code == -signal.SIGKILL


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    child = a_child(tmp_path, WITH_CHILD)
    child.start()
    _has_said(child, "1")
    (grandchild,) = psutil.Process(child.pid).children()
    child.stop()
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_stopped_child_may_be_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    child = a_child(tmp_path, STUBBORN, stop_seconds=0.1)
    for times in (1, 2):
        child.start()
        said = functools.partial(lambda times: child.log.tail().count("up") == times, times)
        wait_until(said, "up", seconds=20, gone=child.obituary, stop=StopFlag())
        child.stop()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_log_never_holds_more_than_its_limit_twice_and_the_writer_goes_on(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", largest_bytes=100)
    with log.opened() as writer:
        writer.write(b"a" * 101)
        writer.flush()
        log.trim()
        writer.write(b"after")
        writer.flush()
    assert log.path.read_bytes() == b"after"
    assert (tmp_path / "part.log.1").read_bytes() == b"a" * 101
    log.trim()
    assert log.path.read_bytes() == b"after"


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    assert log.tail() == "(empty)"
    log.path.write_text("\n".join(str(number) for number in range(10_000)))
    assert log.tail(lines=2).split() == ["9998", "9999"]


def test_a_line_too_long_to_read_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    log.path.write_text('{"event": "' + "frame " * 1000 + 'ValueError: the reason"}\n')
    assert log.tail().startswith('  {"event": "frame')
    assert log.tail().endswith('ValueError: the reason"}')
    assert len(log.tail()) < 1000


def test_a_left_over_process_is_ended_and_named(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import signal; print('up', flush=True); signal.pause()")
    child.start()
    _has_said(child, "up")
    assert end_leftovers(tmp_path) == ["part"]
    assert child.exit_code is not None
    assert end_leftovers(tmp_path) == []


def test_a_process_that_merely_has_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        record = {"pid": stranger.pid, "created": created, "argv": ["worker"], "stop_signal": signal.SIGKILL}
        (run / "part.json").write_text(json.dumps(record))
        assert end_leftovers(tmp_path) == []
        assert stranger.poll() is None
        assert not (run / "part.json").exists()
        stranger.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "{", "{}", '{"pid": 4194999, "created": 1, "argv": [], "stop_signal": 15}'])
def test_a_pid_file_that_says_nothing_useful_is_removed(tmp_path: Path, text: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "part.json").write_text(text)
    assert end_leftovers(tmp_path) == []
    assert not (run / "part.json").exists()


def test_a_home_has_one_user_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(StartError, match=rf"already running .* \(pid {os.getpid()}\)")
    with sole_user(tmp_path), refused, sole_user(tmp_path):
        pass
    with sole_user(tmp_path):
        pass


def test_every_port_in_use_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        assert not is_free(first)
        assert free_port(first) != first
        with pytest.raises(StartError) as caught:
            require_free({"SLUICE_API_PORT": first, "SLUICE_TEMPORAL_PORT": second, "OTHER": free_port()})
    message = str(caught.value)
    assert f"port {first} is in use" in message
    assert "SLUICE_API_PORT" in message
    assert "SLUICE_TEMPORAL_PORT" in message
    assert "OTHER" not in message
    assert is_free(first)


def test_keys_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    first = LaptopKeys.of(tmp_path)
    assert LaptopKeys.of(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]
    assert LaptopKeys.of(tmp_path / "another").admin_key != first.admin_key


def test_waiting_ends_when_the_awaited_has_gone() -> None:
    with pytest.raises(StartError, match="it died"):
        wait_until(lambda: False, "it", seconds=60, gone=lambda: "it died", stop=StopFlag())


def test_waiting_ends_when_a_stop_is_requested() -> None:
    stop = StopFlag()
    stop.requested = True
    with pytest.raises(StopRequestedError):
        wait_until(lambda: False, "it", seconds=60, gone=lambda: None, stop=stop)


def test_waiting_ends_when_the_time_is_up() -> None:
    with pytest.raises(StartError, match=r"it was not ready after 0\.1 s"):
        wait_until(lambda: False, "it", seconds=0.1, gone=lambda: None, stop=StopFlag())


class Part:
    def __init__(self, name: str, home: Path, stopped: list[str], *, broken: bool = False) -> None:
        self.child = ChildProcess(name, [sys.executable, "-c", "import signal; signal.pause()"], home=home)
        self._stopped = stopped
        self._broken = broken

    def launch(self) -> None:
        self.child.start()

    def wait_ready(self) -> None:
        if self._broken:
            raise StartError(f"{self.child.name} is broken")

    def stop(self) -> None:
        self.child.stop()
        self._stopped.append(self.child.name)
        if self._broken:
            raise OSError("cannot tidy up")


def test_the_last_started_is_the_first_stopped(tmp_path: Path) -> None:
    stopped: list[str] = []
    supervisor = Supervisor(StopFlag(), lambda _: None)
    supervisor.bring_up(Part("first", tmp_path, stopped), Part("second", tmp_path, stopped))
    supervisor.bring_up(Part("third", tmp_path, stopped))
    supervisor.take_down()
    assert stopped == ["third", "second", "first"]


def test_one_that_cannot_be_stopped_cleanly_does_not_spare_the_others(tmp_path: Path) -> None:
    stopped: list[str] = []
    supervisor = Supervisor(StopFlag(), lambda _: None)
    with pytest.raises(StartError, match="second is broken"):
        supervisor.bring_up(Part("first", tmp_path, stopped), Part("second", tmp_path, stopped, broken=True))
    with pytest.raises(OSError, match="cannot tidy up"):
        supervisor.take_down()
    assert stopped == ["second", "first"]
