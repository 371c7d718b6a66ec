"""What was counted while the ledger was away outlives the process that counted it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from processes import EVENT_NANO, Spender, Town, events

LIMIT = 1_000
PATIENT = {"wait": 2.0}


@pytest.fixture
def cut_off(town: Town) -> Spender:
    """A process that has counted 20 calls, told them, and 30 more since the ledger is away."""
    spender = town.start(events(LIMIT), policy="advisory", options=PATIENT)
    assert spender.spend(20) == 20
    spender.ask("flush")
    town.put_ledger_away()
    assert spender.spend(10) == 10
    assert not spender.ask("flush")
    assert spender.spend(20) == 20
    return spender


def heir_tells(town: Town) -> None:
    """The next process that reaches the ledger."""
    town.bring_ledger_back()
    heir = town.start(events(LIMIT), policy="advisory", options=PATIENT)
    heir.spend(1)
    heir.ask("flush")


def test_what_a_process_counted_during_an_outage_is_told_by_the_next_one(town: Town, cut_off: Spender) -> None:
    assert cut_off.end() == 0
    assert [path.stat().st_mode & 0o777 for path in town.spool.iterdir()] == [0o600]

    heir_tells(town)

    assert town.used() == 20 + 30 + 1
    assert town.committed() == 51 * EVENT_NANO
    assert list(town.spool.iterdir()) == []


def test_a_process_killed_during_an_outage_loses_what_it_counted_since_it_last_tried_and_nothing_else(
    town: Town, cut_off: Spender
) -> None:
    cut_off.kill()

    heir_tells(town)

    assert town.committed() == (20 + 10 + 1) * EVENT_NANO


def test_a_process_that_lives_tells_by_itself_and_is_counted_once(town: Town, cut_off: Spender) -> None:
    heir_tells(town)
    assert town.committed() == 21 * EVENT_NANO  # what lies on disk belongs to a process that lives

    cut_off.ask("catch_up")

    assert town.committed() == 51 * EVENT_NANO
    assert list(town.spool.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content.replace(b", 50,", b", 99999999999999999999,"),
        lambda content: content.replace(b", 50,", b", null,"),
    ],
    ids=["cut short", "empty", "a number no ledger takes", "no number"],
)
def test_what_is_damaged_on_disk_keeps_nobody_from_the_ledger(
    town: Town, cut_off: Spender, damage: Callable[[bytes], bytes]
) -> None:
    cut_off.end()
    (path,) = town.spool.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content

    heir_tells(town)

    assert town.committed() == (20 + 1) * EVENT_NANO
    assert list(town.spool.iterdir()) == []


def test_a_child_that_outlives_its_parent_does_not_keep_what_the_parent_left(town: Town, cut_off: Spender) -> None:
    cut_off.ask("spare_a_child")
    cut_off.kill()

    heir_tells(town)

    assert town.committed() == (20 + 10 + 1) * EVENT_NANO


def test_a_long_outage_makes_no_process_grow_with_its_calls(town: Town) -> None:
    town.put_ledger_away()
    spender = town.start(events(LIMIT), policy="advisory", options=PATIENT)
    assert spender.spend(500) == 500

    spender.ask("fail")

    assert spender.ask("numbers")["untold"] == 0
    town.bring_ledger_back()
    spender.ask("catch_up")
    assert town.used() == 500
