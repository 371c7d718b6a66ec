"""The receiver as a process for other programs: says its URL in one line of JSON, ends with its standard input."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from genops_otel_posthog.errors import GenOpsError
from genops_otel_posthog.receiver.server import LocalReceiver


def main() -> int:
    """Serve until SIGTERM, SIGINT or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m genops_otel_posthog.receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", default=None)
    parser.add_argument("--flags", default=None)
    parser.add_argument("--keep-bodies", action="store_true")
    options = parser.parse_args()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    threading.Thread(target=_set_at_end_of_input, args=(stop,), daemon=True).start()
    try:
        with LocalReceiver(
            port=options.port, data=options.data, flags=options.flags, keep_bodies=options.keep_bodies
        ) as receiver:
            print(json.dumps({"url": receiver.url, "data": str(receiver.data_path)}), flush=True)
            stop.wait()
    except GenOpsError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _set_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
