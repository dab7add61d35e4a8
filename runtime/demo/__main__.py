"""`python -m runtime.demo` (`make demo`): a sample destination and traffic in a running system, in under a minute.

`--receive PORT` only starts the receiver and prints what arrives.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from runtime.demo.client import DemoClient, DemoError, address_and_key
from runtime.demo.receiver import DemoReceiver, print_what_arrives
from runtime.demo.story import Demo
from runtime.settings import LaptopSettings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when everything was shown, 1 with a message when it could not be."""
    options = _parser().parse_args(arguments)
    # A script's background job inherits SIGINT ignored; whoever sends it still means us to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if options.receive is not None:
            print_what_arrives(options.receive, options.answer)
            return 0
        address, key = address_and_key(load_settings(LaptopSettings), options.url)
        with DemoClient(address, key) as client, DemoReceiver() as receiver:
            Demo(client, receiver).run(anyway=options.anyway)
    except (DemoError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--url", help="where the API is; without it http://localhost:$SLUICE_API_PORT")
    parser.add_argument("--anyway", action="store_true", help="even if other destinations get the demo's profiles too")
    parser.add_argument("--receive", type=int, metavar="PORT", help="only receive, and print what arrives")
    parser.add_argument("--answer", type=int, default=200, metavar="STATUS", help="what the receiver answers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
