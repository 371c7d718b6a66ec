"""An application with an outbox, as a process of its own, for tests that kill it, fill its disk or fork it.

It says on standard output, line by line and unbuffered, which events the outbox took; a test holds it to that.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import time
from uuid import UUID

from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning


def event(number: int, size: int) -> bytes:
    """An event whose uuid is its number."""
    content = {
        "event": "order_completed",
        "distinct_id": "user-1",
        "uuid": str(UUID(int=number)),
        "timestamp": "2026-11-22T12:00:00+00:00",
        "properties": {"number": number, "pad": "x" * size},
    }
    return json.dumps(content).encode()


def say(word: str, value: object) -> None:
    """One line, at once: a killed process has said what it said."""
    os.write(1, f"{word} {value}\n".encode())


def fill(outbox: Outbox, given: argparse.Namespace, first: int, count: int) -> None:
    """Appends events and says which were taken."""
    for number in range(first, first + count):
        taken = outbox.append(event(number, given.size))
        say("took" if taken else "refused", number)
        if given.rate:
            time.sleep(1 / given.rate)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0 for as fast as can be")
    parser.add_argument("--children", type=int, default=0, help="forked workers that append and end without a word")
    parser.add_argument("--max-file", type=int, help="largest file of this process, bytes")
    parser.add_argument("--user", type=int, help="user id to become")
    parser.add_argument("--wait", action="store_true", help="until standard input ends")
    parser.add_argument("--flush", type=float, default=0.0, help="seconds")
    parser.add_argument("--shutdown", action="store_true")
    given = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    destination = PostHogDestination("phc_test", given.url)  # before it becomes another user, as servers do
    if given.max_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.max_file, given.max_file))
    if given.user:
        os.setgroups([])
        os.setgid(given.user)
        os.setuid(given.user)
    quick = Pauses(first=0.02, longest=0.2)
    tuning = Tuning(linger=0.02, request_timeout=1.0, retries=quick, probes=quick, survey=0.1, disk_retry=0.2)
    outbox = Outbox(given.directory, [destination], tuning=tuning)
    for child in range(given.children):
        if os.fork() == 0:
            fill(outbox, given, given.first + child * given.count, given.count)
            os._exit(0)
    if given.children:
        for _ in range(given.children):
            os.wait()
    else:
        fill(outbox, given, given.first, given.count)
    say("durable", outbox.durable)
    if given.wait:
        sys.stdin.read()
    if given.flush:
        say("delivered", outbox.flush(given.flush))
    accounting = outbox.accounting()
    say("holds", accounting.holds)
    say("refused", json.dumps(dict(accounting.refused)))
    if given.shutdown:
        outbox.shutdown()


if __name__ == "__main__":
    main()
