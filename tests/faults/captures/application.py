"""An application that captures events with the PostHog SDK, unchanged but for how it is started: a process of its own.

It says on standard output, unbuffered, which uuids ``capture`` has returned; a test holds the outbox to that.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading
from typing import Any

import posthog

from genops_otel_posthog import PostHogInstrumentor


def say(word: str, value: object) -> None:
    """One line, at once: a killed process has said what it said."""
    os.write(1, f"{word} {value}\n".encode())


def capture(given: argparse.Namespace, client: Any, first: int) -> None:
    """Captures events, and says which."""
    for number in range(first, first + given.count):
        uuid = client.capture("step", distinct_id="u1", properties={"number": number, "text": "x" * given.size})
        if not given.quiet:
            say("captured", uuid)


async def capture_async(given: argparse.Namespace) -> None:
    """The same with the asynchronous client."""
    client = posthog.AsyncPosthog(given.key, host=os.environ["POSTHOG_HOST"])
    capture(given, client, 0)
    if given.wait:
        await asyncio.to_thread(sys.stdin.read)
    await client.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", default="phc_capturing")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--size", type=int, default=0, help="of a property, bytes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--children", type=int, default=0, help="forked workers that capture and then end themselves")
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--sync", action="store_true", help="the SDK's synchronous mode")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--wait", action="store_true", help="until standard input ends")
    parser.add_argument("--shutdown", action="store_true")
    given = parser.parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    PostHogInstrumentor().instrument()
    if given.asynchronous:
        asyncio.run(capture_async(given))
        return
    client = posthog.Posthog(given.key, host=os.environ["POSTHOG_HOST"], sync_mode=given.sync, max_retries=0)
    for child in range(given.children):
        if os.fork() == 0:
            capture(given, client, child * given.count)
            os._exit(0)  # as workers end that are recycled: without exit handlers
    for _ in range(given.children):
        os.wait()
    places = range(0 if given.children else given.threads)
    threads = [threading.Thread(target=capture, args=(given, client, place * given.count)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if given.wait:
        sys.stdin.read()
    if given.shutdown:
        client.shutdown()
    account = PostHogInstrumentor().captures
    say("account", f"{account.admitted} {account.stored} {account.pending} {account.beside_outbox}")
    say("holds", account.holds)


main()
