"""`make up` at a terminal: Ctrl-C is a success, and the terminal is left as it was found."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from runtime.laptop.waiting import StopFlag, wait_until
from tests.runtime.product import ROOT, Product
from tests.runtime.terminal import CTRL_C, CTRL_Z, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

READY = "Ctrl-C stops it."
# The virtual environment is the one that runs this test.
MAKE_UP = ("make", "-f", str(ROOT / "Makefile"), "up", f"PY={sys.executable}", "INSTALLED=", "ARGS=")
MAKE_UP_LINE = " ".join(MAKE_UP)

Open = Callable[..., Terminal]


@pytest.fixture
def product(home: Path) -> Product:
    return Product(home)


@pytest.fixture
def open_terminal(product: Product) -> Iterator[Open]:
    terminals: list[Terminal] = []

    def open_(*argv: str) -> Terminal:
        environment = {**product.environment(), "PS1": "$ ", "TERM": "dumb"}
        terminals.append(Terminal(argv, folder=product.folder, environment=environment))
        return terminals[-1]

    yield open_
    for process in product.processes():
        process.kill()
    for terminal in terminals:
        terminal.process.wait()


def _interactive_shell(open_terminal: Open) -> Terminal:
    terminal = open_terminal("bash", "--norc", "--noprofile", "--noediting", "-i")
    terminal.read_until("$ ")
    return terminal


def _supervisor(product: Product) -> int:
    return next(process.pid for process in product.processes() if "runtime.up" in process.cmdline()[:3])


def _wait(what: str, condition: Callable[[], bool]) -> None:
    wait_until(condition, what, seconds=30, gone=lambda: None, stop=StopFlag())


def test_ctrl_c_ends_make_with_success_and_leaves_no_process(product: Product, open_terminal: Open) -> None:
    terminal = open_terminal(*MAKE_UP)
    terminal.read_until(READY)
    terminal.type(CTRL_C)
    code, said = terminal.end()
    assert code == 0, said
    assert "Stopped." in said
    assert "Interrupt" not in said
    assert product.processes() == []


def test_ctrl_c_while_starting_ends_make_with_success(home: Path, product: Product, open_terminal: Open) -> None:
    (product.folder / "storage/migrations/__main__.py").write_text("import signal; signal.pause()")
    terminal = open_terminal(*MAKE_UP)
    terminal.read_until("Running migrations")
    terminal.type(CTRL_C)
    code, said = terminal.end()
    assert code == 0, said
    assert product.processes() == []


def test_a_script_goes_on_after_it_with_the_terminal_in_hand(open_terminal: Open) -> None:
    terminal = open_terminal("sh", "-c", f'{MAKE_UP_LINE}; echo "code $?"; read answer; echo "read $answer"')
    terminal.read_until(READY)
    terminal.type(CTRL_C)
    terminal.read_until("code 0")
    terminal.type("on we go\n")
    terminal.read_until("read on we go")
    assert terminal.end()[0] == 0


@pytest.mark.parametrize("fault", ["port", "setting"])
def test_the_terminal_is_given_back_when_it_cannot_start(product: Product, open_terminal: Open, fault: str) -> None:
    variable = "SLUICE_API_PORT=many" if fault == "setting" else ""
    with socket.create_server(("127.0.0.1", product.api_port)):
        terminal = open_terminal("sh", "-c", f'{variable} {MAKE_UP_LINE}; echo "code $?"; read it; echo "read $it"')
        assert "SLUICE_API_PORT" in terminal.read_until("code 2")
    terminal.type("all the same\n")
    terminal.read_until("read all the same")
    assert terminal.end()[0] == 0


@pytest.mark.parametrize("commands", [["fg"], ["bg", "fg"]])
def test_after_ctrl_z_it_goes_on_in_the_foreground_and_ctrl_c_still_ends_it_well(
    product: Product, open_terminal: Open, commands: list[str]
) -> None:
    terminal = _interactive_shell(open_terminal)
    shell = terminal.foreground()
    terminal.type(f"{MAKE_UP_LINE}\n")
    terminal.read_until(READY)
    supervisor = _supervisor(product)
    assert terminal.foreground() == supervisor
    terminal.type(CTRL_Z)
    terminal.read_until("Stopped")
    assert terminal.foreground() == shell
    assert psutil.Process(supervisor).status() == psutil.STATUS_STOPPED
    for command in commands:
        terminal.read_until("$ ")
        terminal.type(f"{command}\n")
    _wait("the foreground", lambda: terminal.foreground() == supervisor)
    terminal.type(CTRL_C)
    terminal.read_until("$ ")
    terminal.type("echo code $?; exit\n")
    terminal.read_until("code 0")
    terminal.end()
    assert product.processes() == []


def test_in_the_background_it_leaves_the_terminal_to_the_shell(product: Product, open_terminal: Open) -> None:
    terminal = _interactive_shell(open_terminal)
    shell = terminal.foreground()
    terminal.type(f"{MAKE_UP_LINE} &\n")
    terminal.read_until(READY)
    assert terminal.foreground() == shell
    terminal.type("kill %1; wait; exit\n")
    terminal.end()
    assert product.processes() == []


def test_closing_the_window_stops_it(product: Product, open_terminal: Open) -> None:
    terminal = _interactive_shell(open_terminal)
    terminal.type(f"{MAKE_UP_LINE}\n")
    terminal.read_until(READY)
    terminal.close()
    _wait("the end", lambda: not product.processes())
    assert (product.home / "order").read_text().splitlines()[-1] == "worker drained, both servers up"
