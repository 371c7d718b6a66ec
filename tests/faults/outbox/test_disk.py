"""A disk that is full, read-only or somebody else's."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two mebibytes, where the system lets a test mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs", str(where)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this system lets no test mount a file system")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_full_disk_loses_nothing_that_was_taken(
    start: Any, receiver: Any, arrived: Any, small_disk: Path, deliver_rest: Any
) -> None:
    (small_disk / "somebody elses").write_bytes(bytes(1_200_000))
    with receiver.fail("capture", status=503):
        application = start(at=small_disk / "outbox", count=2000, size=400, wait=True, flush=60)
        application.hear(word="durable")
    log = application.end()
    assert application.said["durable"] == "False"
    assert application.said["delivered"] == "True"
    assert application.said["holds"] == "True"
    assert log.count("cannot be used") == 1
    assert arrived() == set(application.took) == set(range(2000)), "the rest waited in memory"


def test_a_process_killed_on_a_full_disk_leaves_whole_records_only(
    start: Any, receiver: Any, arrived: Any, small_disk: Path, deliver_rest: Any
) -> None:
    # Not a multiple of anything: the last write goes in in part.
    (small_disk / "somebody elses").write_bytes(bytes(1_500_000))
    with receiver.fail("capture", status=503):
        application = start(at=small_disk / "outbox", count=3000, size=397, wait=True)
        application.hear(word="durable")
        application.kill()
    deliver_rest(at=small_disk / "outbox")
    got = arrived()
    assert got == set(range(len(got))), "a prefix, whole"
    assert 500 < len(got) < 3000


def test_the_largest_file_that_is_allowed_is_a_full_disk(start: Any, receiver: Any, arrived: Any) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=500, size=400, max_file=100_000, wait=True, flush=60)
        application.hear(word="durable")
    application.end()
    assert application.said["delivered"] == "True"
    assert arrived() == set(range(500))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_of_somebody_else_is_not_used_and_events_arrive_all_the_same(
    start: Any, receiver: Any, arrived: Any
) -> None:
    with tempfile.TemporaryDirectory() as reachable:  # the directories of pytest are root's alone
        Path(reachable).chmod(0o711)
        directory = Path(reachable) / "outbox"
        directory.mkdir(mode=0o700)
        application = start(at=directory, count=100, user=NOBODY, flush=30)
        log = application.end()
        assert list(directory.iterdir()) == []
    assert application.said["durable"] == "False"
    assert log.count("cannot be used") == 1
    assert arrived() == set(range(100))


def test_a_read_only_file_system_is_not_used_and_events_arrive_all_the_same(
    start: Any, receiver: Any, arrived: Any, small_disk: Path
) -> None:
    where = small_disk / "outbox"
    where.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    application = start(at=where, count=100, flush=30)
    log = application.end()
    assert application.said["durable"] == "False"
    assert log.count("cannot be used") == 1
    assert arrived() == set(range(100))


def test_a_file_system_that_becomes_read_only_costs_nothing(
    start: Any, receiver: Any, arrived: Any, small_disk: Path
) -> None:
    (small_disk / "outbox").mkdir()
    application = start(at=small_disk / "outbox", count=400, rate=400, wait=True, flush=30)
    application.hear(events=100)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, check=False)
    application.hear(word="durable")
    application.end()
    assert application.said["delivered"] == "True"
    assert arrived() == set(range(400))
