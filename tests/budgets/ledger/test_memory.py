"""What is special about the ledger in memory."""

from __future__ import annotations

import threading

from conversation import MONTH, Clock, Process, ask, counted

from genops_otel_posthog.budgets.ledger.memory import MemoryLedger


def test_threads_that_share_the_object_share_the_ledger():
    ledger = MemoryLedger()
    start = threading.Barrier(4)

    def spend(name: str) -> None:
        process = Process(ledger, name)
        start.wait()
        for units in range(1, 201):
            process.say(ask(), counted=(counted(units, "b"),))

    threads = [threading.Thread(target=spend, args=(f"p{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.usage(MONTH) == {"events": 800}


def test_each_object_is_a_ledger_of_its_own():
    Process(MemoryLedger(), "alice").say(counted=(counted(5),))
    assert MemoryLedger().usage(MONTH) == {}


def test_closing_it_does_not_end_it_for_others(clock: Clock):
    ledger = MemoryLedger(clock)
    Process(ledger, "alice").say(counted=(counted(5),))
    ledger.close()
    assert ledger.usage(MONTH) == {"events": 5}


def test_a_copy_in_a_forked_child_does_not_wait_for_a_thread_that_is_not_there():
    ledger = MemoryLedger()
    with ledger._writing():
        ledger.abandon()
        assert ledger.usage(MONTH) == {}


def test_it_counts_as_far_as_a_file_does():
    assert MemoryLedger().largest_amount == 9_223_372_036_854_775_807
