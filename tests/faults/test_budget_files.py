"""A ledger in a file whose disk is full, that may not be written, that is damaged, or that another version has made."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import A_LEASE_LATER, EVENT_NANO, TAKEN_FOR_AWAY, Town, events
from spender import BOOK

from genops_otel_posthog.budgets.ledger.protocol import LedgerCorrupt
from genops_otel_posthog.budgets.opening import open_budgeting
from genops_otel_posthog.pricing.usage import InProcessUsage
from genops_otel_posthog.settings import Settings

LIMIT = 1_000
ALLOWANCE = LIMIT // 100
"""Events that a process may spend without lease and ledger."""
PATIENT = {"wait": 2.0}


def file_of(town: Town) -> Path:
    return Path(town.url.removeprefix("sqlite://"))


def contents(path: Path) -> bytes:
    return path.read_bytes()


def test_a_full_disk_loses_nothing_that_was_counted_and_exceeds_the_allowance_by_nothing(town: Town) -> None:
    spender = town.start(events(LIMIT), options=PATIENT)
    assert spender.spend(LIMIT - 50) == LIMIT - 50
    spender.ask("flush")
    before = town.record()

    spender.ask("limit_files_to", 0)
    spent = spender.spend(2 * LIMIT)
    town.times.pass_(TAKEN_FOR_AWAY)
    spent += spender.spend(2 * LIMIT)
    assert not spender.ask("flush")
    assert spender.ask("refused_for", "checkout") == "ledger_unreachable"
    assert town.record() == before

    spender.ask("limit_files_to", None)
    spender.ask("catch_up")
    spent += spender.spend(2 * LIMIT)
    spender.ask("flush")
    assert town.committed() == (LIMIT - 50 + spent) * EVENT_NANO
    assert LIMIT * EVENT_NANO <= town.committed() <= (LIMIT + ALLOWANCE) * EVENT_NANO


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that others than root can reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="gp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_ledger_that_may_not_be_written_is_away_and_is_not_changed(
    found: Callable[[str], Town], public_folder: Path
) -> None:
    town = found(f"sqlite://{public_folder}/ledger.sqlite3")
    before = town.start(events(LIMIT))
    assert before.spend(10) == 10
    assert before.end() == 0
    for path in public_folder.iterdir():
        path.chmod(0o444)
    public_folder.chmod(0o555)
    content = contents(file_of(town))

    spender = town.start(events(LIMIT), options=PATIENT, spool=None)
    spender.ask("drop_root")

    assert spender.spend(2 * LIMIT) == ALLOWANCE
    assert spender.ask("refused_for", "checkout") == "ledger_unreachable"
    assert contents(file_of(town)) == content


def damage(path: Path) -> bytes:
    """Overwrites the tables of a ledger, and leaves its header as it is."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xde\xad\xbe\xef" * ((len(content) - 100) // 4))
    return contents(path)


@pytest.fixture
def damaged(town: Town) -> Path:
    """A ledger that was damaged when nobody had it open."""
    spender = town.start(events(LIMIT))
    spender.spend(10)
    assert spender.end() == 0
    damage(file_of(town))
    return file_of(town)


def settings_for(path: Path) -> Settings:
    return Settings.from_environ(
        {
            "GENOPS_TEAM": "checkout",
            "GENOPS_DAILY_BUDGET_LIMIT": "20",
            "GENOPS_LEDGER_URL": f"sqlite://{path}",
            "GENOPS_GOVERNANCE_POLICY": "enforced",
        }
    )


def test_a_damaged_ledger_is_refused_by_name_and_not_overwritten(damaged: Path) -> None:
    content = contents(damaged)

    with pytest.raises(LedgerCorrupt, match=r"ledger\.sqlite3 is not a ledger, or is damaged.*Nothing was overwritten"):
        open_budgeting(settings_for(damaged), BOOK, InProcessUsage())

    assert contents(damaged) == content


def test_an_application_that_must_start_counts_for_itself_beside_a_damaged_ledger(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = contents(damaged)

    with caplog.at_level(logging.ERROR):
        budgeting = open_budgeting(settings_for(damaged), BOOK, InProcessUsage(), strict=False)

    assert budgeting is not None
    assert budgeting.governor.flush(20)
    assert "this process counts for itself alone" in caplog.text
    budgeting.governor.close()
    assert contents(damaged) == content


def test_a_ledger_damaged_under_living_processes_is_not_overwritten_and_lends_nothing(town: Town) -> None:
    spender = town.start(events(LIMIT), options=PATIENT)
    assert spender.spend(10) == 10
    spender.ask("flush")
    content = damage(file_of(town))

    spent = spender.spend(2 * LIMIT)

    assert not spender.ask("flush")
    assert spent <= LIMIT  # what it held, and its allowance
    spender.kill()
    assert contents(file_of(town)) == content


def set_version(path: Path, number: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {number}")
    connection.close()


def test_beside_a_newer_version_an_older_one_writes_nothing_and_exceeds_its_allowance_by_nothing(town: Town) -> None:
    older = town.start(events(LIMIT), options=PATIENT)
    assert older.spend(LIMIT) == LIMIT
    older.ask("flush")
    before = town.record()
    set_version(file_of(town), 2)  # as a newer version would, when it migrates the ledger

    town.times.pass_(A_LEASE_LATER)
    assert older.spend(10) == 0
    town.times.pass_(TAKEN_FOR_AWAY)
    newcomer = town.start(events(LIMIT), options=PATIENT)
    assert older.spend(LIMIT) == ALLOWANCE
    assert newcomer.spend(LIMIT) == ALLOWANCE
    assert not older.ask("flush")

    set_version(file_of(town), 1)  # and back again
    assert town.record() == before
    for process in (older, newcomer):
        process.ask("catch_up")
    assert town.committed() == (LIMIT + 2 * ALLOWANCE) * EVENT_NANO


def test_a_ledger_that_is_taken_away_is_written_anew_by_those_who_counted(town: Town) -> None:
    spenders = [town.start(events(LIMIT)) for _ in range(2)]
    for spender in spenders:
        assert spender.spend(50) == 50
        spender.ask("flush")

    for path in file_of(town).parent.glob("ledger.sqlite3*"):
        os.unlink(path)
    for spender in spenders:
        assert spender.ask("flush") in (True, False)
        spender.ask("catch_up")

    assert town.used() == 100
    assert town.committed() == 100 * EVENT_NANO
