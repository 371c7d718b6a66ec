"""Warnings that are said once."""

from __future__ import annotations

import logging
import threading

from genops_otel_posthog.settings.once import WarnOnce

LOGGER = logging.getLogger("test.once")


def messages(caplog):
    return [record.message for record in caplog.records]


def test_a_message_is_logged_once(caplog):
    warn = WarnOnce(LOGGER)
    for _ in range(3):
        warn("topic", "first")
        warn("topic", "second %s")
    assert messages(caplog) == ["first", "second %s"]


def test_after_the_limit_one_line_closes_the_topic(caplog):
    warn = WarnOnce(LOGGER, limit=2)
    for number in range(100):
        warn("topic", str(number))
    warn("other", "x")
    assert messages(caplog) == ["0", "1", "There are more warnings about topic; they are not logged", "x"]


def test_a_message_that_was_forgotten_is_logged_again(caplog):
    warn = WarnOnce(LOGGER)
    warn("topic", "x")
    warn.forget()
    warn("topic", "x")
    assert messages(caplog) == ["x", "x"]


def test_threads_that_say_the_same_at_once_are_heard_once(caplog):
    warn = WarnOnce(LOGGER, limit=1000)
    start = threading.Barrier(4)

    def say():
        start.wait()
        for number in range(500):
            warn("topic", str(number))

    threads = [threading.Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, messages(caplog))) == list(range(500))
