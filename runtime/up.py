"""`python -m runtime.up` (`make up`): the whole system on one machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from runtime.laptop import programs
from runtime.laptop.installation import Installation
from runtime.laptop.leftovers import end_leftovers, sole_user
from runtime.laptop.parent_death import follow_parent
from runtime.laptop.supervisor import Supervisor
from runtime.laptop.terminal import Foreground
from runtime.laptop.waiting import StartError, StopFlag, StopRequestedError
from runtime.settings import LaptopSettings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 after a requested stop, 1 when something could not start or died."""
    parser = argparse.ArgumentParser(prog="python -m runtime.up", description=__doc__)
    parser.add_argument("--restart", action="store_true", help="start a child again that has died")
    parser.add_argument("--follow-parent", action="store_true", help="stop when the parent process dies (Linux)")
    options = parser.parse_args(arguments)
    stop = StopFlag()
    _listen(stop)
    if options.follow_parent:
        follow_parent()
    with Foreground() as foreground:
        return _until_stopped(stop, foreground, restart=options.restart)


def _until_stopped(stop: StopFlag, foreground: Foreground, *, restart: bool) -> int:
    settings = load_settings(LaptopSettings)
    try:
        with sole_user(settings.home.resolve()):
            _run(settings, stop, foreground, restart=restart)
    except StopRequestedError:
        return 0
    except StartError as error:
        _say(f"\n{error}")
        return 1
    return 0


def _run(settings: LaptopSettings, stop: StopFlag, foreground: Foreground, *, restart: bool) -> None:
    for name in end_leftovers(settings.home.resolve()):
        _say(f"Ended {name}, left over from a run that was killed.")
    installation = Installation(settings, stop)
    supervisor = Supervisor(stop, _say, restart=restart)
    try:
        _bring_up(installation, supervisor, settings, stop)
        _say(_welcome(installation))
        supervisor.watch(foreground.take)
    finally:
        _say("Stopping.")
        supervisor.take_down()
    _say("Stopped.")


def _bring_up(installation: Installation, supervisor: Supervisor, settings: LaptopSettings, stop: StopFlag) -> None:
    home = installation.home
    ours = [server for server in (installation.temporal, installation.postgres) if server]
    _say(f"Starting {', '.join([*(server.name for server in ours), 'worker and API'])} in {home} …")
    supervisor.bring_up(*ours)
    environment = installation.environment()
    _say("Running migrations …")
    programs.migrate(home=home, environment=environment, stop=stop)
    supervisor.bring_up(
        programs.worker(home=home, environment=environment, drain_seconds=settings.graceful_shutdown_seconds),
        programs.api(settings.api_port, home=home, environment=environment),
    )
    programs.wait_until_ready(settings.api_port, seconds=settings.ready_seconds, gone=supervisor.obituary, stop=stop)


def _welcome(installation: Installation) -> str:
    url = installation.api_url
    lines = {
        "API": url,
        "API docs": f"{url}/docs",
        "Temporal": installation.temporal_ui_url or "(its Web UI: set SLUICE_TEMPORAL_UI_URL)",
        "Logs": str(installation.home / "logs"),
        "API key": installation.admin_key,
    }
    return "\n".join(
        ["", "Sluice is ready.", *(f"  {name:<9} {value}" for name, value in lines.items()), "Ctrl-C stops it."]
    )


def _listen(stop: StopFlag) -> None:
    def request(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True

    # Also where SIGINT came in ignored, as it does in a script's background job: who sends it to us means it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, request)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the reader or the terminal has gone; the children must still be stopped
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
