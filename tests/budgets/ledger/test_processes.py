"""Real processes on one ledger: nothing is exceeded, lost or counted twice, whoever is killed, forked or in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import spending_process as spender
from conversation import BOOK, Process, counted

from genops_otel_posthog.budgets.ledger.protocol import LedgerUnavailable
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

SCRIPT = Path(spender.__file__)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the processes find the ledger."""
    return tmp_path / "ledger" / "ledger.sqlite3"


def start(path: Path, name: str, team: str, calls: int, seed: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(SCRIPT),
        path.as_uri().replace("file:", "sqlite:"),
        name,
        team,
        str(calls),
        str(seed),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def python(code: str, *arguments: str) -> str:
    """Runs a program that may fork, away from pytest's threads; what it printed."""
    begin = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", begin + code, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout


def books(path: Path) -> dict[str, tuple[int, int, int]]:
    """Committed, leased and held of every budget."""
    ledger = SqliteLedger(path)
    try:
        return {record.budget: (record.committed, record.leased, record.held) for record in ledger.periods()}
    finally:
        ledger.close()


def used(path: Path) -> int:
    ledger = SqliteLedger(path)
    try:
        return ledger.usage(spender.MONTH).get("events", 0)
    finally:
        ledger.close()


def test_processes_that_spend_all_there_is_never_exceed_it_and_leave_little_unused(path: Path):
    seeded = SqliteLedger(path)
    seeded.raise_usage(spender.MONTH, {"events": BOOK.free_units("events") - 1_000}, actor="ann", note="the bill")
    seeded.close()
    # The free tier ends, and then the budget, while they spend.
    processes = [start(path, f"p{number}", "ab"[number % 2], 2_500, number) for number in range(4)]
    told = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4

    units = sum(process["units"] for process in told)
    begun = BOOK.free_units("events") - 1_000
    assert used(path) == begun + units
    (spent, leased, held), *teams = (books(path)[budget] for budget in ("all", "a", "b"))
    assert spent == sum(committed for committed, _, _ in teams) == BOOK.marginal_nano("events", begun, units)
    assert (leased, held) == (0, 0)
    assert spent <= spender.LIMIT
    assert any(process["denied"] for process in told)
    assert spent > spender.LIMIT - 4 * spender.CHUNK  # what the last ones to leave gave back, at most


def test_a_process_killed_at_any_moment_leaves_a_ledger_that_holds_together(path: Path):
    answered = 0
    for number in range(4):
        process = start(path, f"p{number}", "a", 0, number)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20 + 7 * number)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        answered += int(([*lines, *rest.splitlines(keepends=True)])[-1].partition("\n")[0])
    total = used(path)
    # Of each, the last message may have been counted and not answered.
    assert answered <= total <= answered + 4 * 5
    (all_spent, all_leased, _), (spent, leased, _) = (books(path)[budget] for budget in ("all", "a"))
    assert all_spent == spent == BOOK.cumulative_nano("events", total)
    assert all_leased == leased > 0
    ledger = SqliteLedger(path)
    with ledger._reading():
        assert ledger._connection is not None
        assert ledger._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert ledger._connection.execute("SELECT sum(amount) FROM leases WHERE budget = 'a'").fetchone() == (leased,)
    ledger.close()


FORKED = """
import os
from conversation import MONTH, Process, counted
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

ledger = SqliteLedger(sys.argv[1])
Process(ledger, "parent").say(counted=(counted(1),))
"""


def test_what_a_forked_child_writes_after_its_parent_ended_is_kept(path: Path):
    # Without closing before the fork, SQLite takes the parent's locks for the child's, and the parent, being the last
    # one as far as it can see, deletes the log that the child writes to.
    program = """
told, tell = os.pipe()
ended, end = os.pipe()
if os.fork() == 0:
    child = Process(SqliteLedger(sys.argv[1]), "child")
    child.say(counted=(counted(10),))
    os.write(tell, b"x")
    os.close(end)
    os.read(ended, 1)
    child.say(counted=(counted(30),))
    child.ledger.close()
    os._exit(0)
os.read(told, 1)
ledger.close()
os.write(end, b"x")
os.wait()
"""
    python(FORKED + program, str(path))
    assert used(path) == 31


def test_parent_and_child_may_go_on_with_the_same_object(path: Path):
    program = """
child = os.fork()
process = Process(ledger, "child" if child == 0 else "same parent")
for units in range(1, 101):
    process.say(counted=(counted(units),))
if child == 0:
    ledger.close()
    os._exit(0)
os.waitpid(child, 0)
ledger.close()
"""
    python(FORKED + program, str(path))
    assert used(path) == 201


def test_a_fork_in_the_middle_of_another_threads_message_harms_neither_side(path: Path):
    program = """
import threading
going = True

def speak():
    process = Process(ledger, "thread")
    units = 0
    while going:
        units += 1
        process.say(counted=(counted(units),))
    print(units)

thread = threading.Thread(target=speak)
thread.start()
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        Process(ledger, f"child {number}").say(counted=(counted(1000),))
        ledger.close()
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
going = False
thread.join()
ledger.close()
"""
    units = int(python(FORKED + program, str(path)))
    assert used(path) == 1 + units + 20 * 1000


def test_what_was_inherited_is_abandoned_without_harm(path: Path):
    # As after a fork that Python's hooks did not see beforehand.
    program = """
Process(ledger, "held").say(counted=(counted(5),))
connection = ledger._connection
ledger.abandon()
connection.execute("SELECT 1")
Process(ledger, "anew").say(counted=(counted(7),))
ledger.close()
"""
    python(FORKED + program, str(path))
    assert used(path) == 13


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_process_stopped_in_the_middle_of_a_message_is_in_the_way_and_says_so(end: signal.Signals, path: Path):
    program = """
import os, signal
from conversation import MONTH, Process
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

with SqliteLedger(sys.argv[1])._writing() as storage:
    storage.keep_used(MONTH, "events", 5)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n{program}", str(path)]
    stopped = subprocess.Popen(command)
    os.waitpid(stopped.pid, os.WUNTRACED)
    ledger = SqliteLedger(path, timeout=0.05)
    with pytest.raises(LedgerUnavailable, match=r"in use by other processes for more than 0\.05 s"):
        Process(ledger, "other").say(counted=(counted(1),))
    stopped.send_signal(end)
    stopped.wait()
    Process(ledger, "other").say(counted=(counted(1),))
    ledger.close()
    assert used(path) == (6 if end == signal.SIGCONT else 1)
