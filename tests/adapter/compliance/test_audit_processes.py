"""Several processes write one chain: started, forked and killed ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from genops_otel_posthog.adapter.compliance.audit_check import intact_entries, verify

pytestmark = pytest.mark.requirement("S4-50")

WRITER = """
import sys
from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail
trail = AuditTrail(sys.argv[1], max_file_bytes=20_000, timeout=60)
for number in range(int(sys.argv[3])):
    trail.append("capture", "sent", subject=f"user-{number}", writer=sys.argv[2], number=number)
    print(number, flush=True)
"""


def start(directory, name, count):
    command = [sys.executable, "-c", WRITER, str(directory), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(writer):
    with writer:
        writer.communicate()
    return writer.returncode


def written_by(directory, name):
    facts = (entry.content["facts"] for entry in intact_entries(directory))
    return [fact["number"] for fact in facts if fact.get("writer") == name]


def test_what_several_processes_write_at_once_is_one_chain_with_the_order_of_each(home):
    directory = home / "audit"
    writers = {name: start(directory, name, 150) for name in ("a", "b", "c", "d")}
    assert [finish(writer) for writer in writers.values()] == [0, 0, 0, 0]
    found = verify(directory)
    assert (found.entries, found.broken) == (600, None)
    assert all(written_by(directory, name) == list(range(150)) for name in writers)
    assert len(list(directory.glob("trail-*.jsonl"))) > 3


def test_a_process_that_is_killed_loses_no_entry_that_it_has_told_and_breaks_nothing(home, trail):
    for round_ in range(5):
        with start(trail.directory, f"killed-{round_}", 100_000) as writer:
            told = [int(writer.stdout.readline()) for _ in range(10 + round_ * 7)]
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        trail.append("checked", "ok")
        assert verify(trail.directory).intact
        assert set(told) <= set(written_by(trail.directory, f"killed-{round_}"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on_with_the_chain_of_its_parent(trail):
    trail.append("parent", "sent")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(25):
                    trail.append("child", "sent")
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    for _ in range(25):
        trail.append("parent", "sent")
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert verify(trail.directory).entries == 126
