"""Trying a directory: with the code that writes and reads events, and without a trace."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from genops_otel_posthog.export.outbox import trial
from genops_otel_posthog.export.outbox.trial import try_directory


def test_a_directory_that_works_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "0000000000001-1-1.seg").write_bytes(b"somebody's")

    try_directory(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["0000000000001-1-1.seg"]


def test_a_directory_that_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        try_directory(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ("create", OSError(errno.EROFS, "Read-only file system")),
        ("sync_descriptor", OSError(errno.EIO, "Input/output error")),
    ],
)
def test_whatever_the_disk_refuses_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: OSError
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(trial, failing, refuse)

    with pytest.raises(OSError, match=error.strerror):
        try_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_half_of_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    record = trial.make_record
    monkeypatch.setattr(trial, "make_record", lambda body, seed: record(body, seed) + bytes(1 << 20))
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[: 1 << 19]))

    with pytest.raises(OSError, match="No space left on device"):
        try_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_otherwise_than_it_was_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = trial.make_record
    monkeypatch.setattr(trial, "make_record", lambda body, seed: record(body, seed)[:-1] + b"?")

    with pytest.raises(OSError, match="what is read is not what was written"):
        try_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_outlives_its_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "lock_orphan", lambda _: None)

    with pytest.raises(OSError, match="a lock outlives"):
        try_directory(tmp_path)


def test_a_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "FILES_POSSIBLE", False)

    with pytest.raises(OSError, match="no locks"):
        try_directory(tmp_path)
