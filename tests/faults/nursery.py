"""Brings up the processes of the tests: it has imported everything once, and forks each that is asked for.

A fresh interpreter would spend half a second on imports. Nothing is open here and no thread runs, so that what is
forked is as good as new.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
from typing import NoReturn

import spender

for package in ("redis", "multiprocessing.context", "genops_otel_posthog.budgets.ledger.sqlite"):
    if importlib.util.find_spec(package.partition(".")[0]) is not None:
        importlib.import_module(package)


def main() -> None:
    for line in sys.stdin:
        name, argument, given = json.loads(line)
        if name == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(argument, 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            live(argument, given)
        print(child, flush=True)


def live(address: str, given: dict[str, object]) -> NoReturn:
    """The life of one process: it talks over a socket instead of its standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts the tests ends it by hanging up
    os.close(0)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        sys.stdin, sys.stdout = line.makefile("r"), line.makefile("w")
        spender.main(given)
    sys.exit(0)


if __name__ == "__main__":
    main()
