"""Writing to the audit trail: chained, for its user alone, whatever was left by whoever was there before."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from genops_otel_posthog.adapter.compliance import AuditTrail, AuditUnavailableError
from genops_otel_posthog.adapter.compliance.audit_check import verify
from genops_otel_posthog.adapter.compliance.audit_files import lines
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError

from .conftest import AUDIT_KEY, PSEUDONYM_KEY, entries, told

pytestmark = pytest.mark.requirement("S4-50")


@pytest.mark.requirement("E-28")
def test_each_operation_is_one_entry_and_the_entries_are_chained(trail):
    assert [trail.append("capture", "sent", event=f"order_{number}") for number in range(25)] == list(range(1, 26))
    found = verify(trail.directory)
    assert (found.entries, found.intact) == (25, True)
    chain = [json.loads(line) for _, _, line in lines(trail.directory)]
    assert [entry["prev"] for entry in chain[1:]] == [entry["hash"] for entry in chain[:-1]]


@pytest.mark.requirement("E-28")
def test_an_entry_says_what_was_done_about_whom_and_how_long_it_is_kept(trail):
    trail.append(
        *("capture", "sent"),
        subject="ada@example.com",
        **{"event": "order", "cost": Decimal("0.00005"), "day": date(2026, 11, 29), "flag": True, "nothing": None},
        at_the_shop=datetime(2026, 11, 29, tzinfo=timezone.utc),
    )
    (entry,) = entries(trail.directory)
    assert entry == {
        "n": 1,
        "at": "2026-11-29T12:00:00.000000+00:00",
        "action": "capture",
        "outcome": "sent",
        "subject": trail.subject("ada@example.com"),
        "retention_until": "2033-11-27",
        "facts": {
            **{"event": "order", "cost": "0.00005", "day": "2026-11-29", "flag": True},
            "at_the_shop": "2026-11-29T00:00:00+00:00",
        },
    }
    assert (date.fromisoformat(entry["retention_until"]) - date(2026, 11, 29)).days == 2555


def test_an_entry_may_be_kept_for_longer(trail):
    trail.append("capture", "sent", retention_days=3650)
    assert entries(trail.directory)[0]["retention_until"] == "2036-11-26"


def test_the_id_of_a_person_is_not_in_any_file(trail):
    trail.append("capture", "sent", subject="ada@example.com")
    trail.append("capture", "sent", subject=trail.subject("ada@example.com"))
    one, other = entries(trail.directory)
    assert one["subject"] == other["subject"]
    assert all(b"@example" not in path.read_bytes() for path in trail.directory.iterdir())


def test_two_machines_with_one_pseudonym_key_name_a_person_alike(tmp_path):
    from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms

    one, other = (AuditTrail(tmp_path / name, pseudonyms=Pseudonyms(PSEUDONYM_KEY)) for name in "ab")
    assert one.subject("ada") == other.subject("ada") != AuditTrail(tmp_path / "c").subject("ada")


def test_directory_and_files_are_for_their_user_alone_whatever_the_umask_is(trail):
    before = os.umask(0)
    try:
        trail.append("capture", "sent", subject="ada")
    finally:
        os.umask(before)
    assert stat.S_IMODE(trail.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in trail.directory.iterdir()} == {0o600}


def test_a_directory_that_others_may_look_into_is_a_warning(trail, caplog):
    trail.directory.mkdir(parents=True)
    trail.directory.chmod(0o755)
    trail.append("capture", "sent")
    assert f"chmod 700 {trail.directory}" in caplog.text


@pytest.mark.parametrize(
    ("action", "facts", "said"),
    [
        ("Capture!", {}, "an action of the audit trail is a name like"),
        ("capture", {"Bad Name": 1}, "has a name like event_name"),
        ("capture", {"properties": {"email": "x"}}, "the fact properties is a dict"),
        ("capture", {f"fact_{number}": 1 for number in range(25)}, "24 facts at most, not 25"),
    ],
)
def test_what_is_no_entry_is_refused_and_nothing_is_written(trail, action, facts, said):
    with pytest.raises(GenOpsValidationError) as caught:
        trail.append(action, "sent", **facts)
    assert said in str(caught.value)
    assert not trail.directory.exists()


def test_long_texts_are_cut_and_odd_ones_are_kept_as_they_are(trail):
    trail.append("capture", "sent", long="x" * 1000, odd='\n"\\\ud800\U0001f600\0', number=float("nan"))
    (entry,) = entries(trail.directory)
    assert entry["facts"] == {"long": "x" * 200, "odd": '\n"\\\ud800\U0001f600\0', "number": "nan"}


def test_signed_entries_verify_with_their_key_and_not_with_another(home, clock):
    trail = AuditTrail(home / "audit", key=AUDIT_KEY, clock=clock)
    trail.append("capture", "sent")
    assert verify(trail.directory, key=AUDIT_KEY).intact
    assert verify(trail.directory).intact
    broken = verify(trail.directory, key=AUDIT_KEY + "?").broken
    assert broken is not None
    assert (broken.number, broken.problem) == (1, "it has another signature than the key makes")


def test_without_the_key_nobody_can_write_an_entry_that_verifies(home, clock):
    AuditTrail(home / "audit", key=AUDIT_KEY, clock=clock).append("capture", "sent")
    AuditTrail(home / "audit", clock=clock).append("capture", "sent")
    broken = verify(home / "audit", key=AUDIT_KEY).broken
    assert broken is not None
    assert (broken.number, broken.problem) == (2, "it is not signed")


def test_a_full_file_is_put_away_and_the_chain_goes_on_in_the_next(home, clock):
    trail = AuditTrail(home / "audit", max_file_bytes=1000, clock=clock)
    for _ in range(20):
        trail.append("capture", "sent")
    names = sorted(path.name for path in trail.directory.glob("trail*.jsonl"))
    assert len(names) > 3
    assert names[:2] == ["trail-000000000000001.jsonl", "trail-000000000000005.jsonl"]
    found = verify(trail.directory)
    assert (found.entries, found.intact) == (20, True)


def test_two_trails_on_one_directory_see_each_others_files_end(home, clock):
    one, other = (AuditTrail(home / "audit", max_file_bytes=600, clock=clock) for _ in range(2))
    for _ in range(10):
        one.append("capture", "sent")
        other.append("capture", "sent")
    assert verify(home / "audit").entries == 20


def test_a_trail_whose_current_file_was_just_put_away_goes_on_after_it(home, clock):
    trail = AuditTrail(home / "audit", clock=clock)
    for _ in range(3):
        trail.append("capture", "sent")
    trail.close()
    (trail.directory / "trail.jsonl").rename(trail.directory / "trail-000000000000001.jsonl")
    assert AuditTrail(trail.directory).append("capture", "sent") == 4
    assert verify(trail.directory).intact


def test_what_a_killed_process_left_half_written_is_put_aside_and_said_so(trail):
    trail.append("capture", "sent")
    trail.close()
    whole = (trail.directory / "trail.jsonl").read_bytes()
    (trail.directory / "trail.jsonl").write_bytes(whole + whole[:57])
    assert not verify(trail.directory).intact
    assert trail.append("capture", "sent") == 3
    assert told(trail.directory) == [("capture", "sent"), ("trail_repaired", "torn"), ("capture", "sent")]
    (aside,) = trail.directory.glob("torn-*.bin")
    assert aside.read_bytes() == whole[:57]
    assert verify(trail.directory).intact


def test_a_trail_that_ends_with_something_else_is_not_written_to(trail):
    trail.append("capture", "sent")
    trail.close()
    with (trail.directory / "trail.jsonl").open("ab") as file:
        file.write(b'{"n":2,"at":"made up"}\n')
    before = (trail.directory / "trail.jsonl").read_bytes()
    with pytest.raises(AuditUnavailableError, match=r"Nothing was overwritten\. Look at it with: genops-posthog audit"):
        trail.append("capture", "sent")
    assert (trail.directory / "trail.jsonl").read_bytes() == before


def test_entries_that_were_cut_off_while_a_process_lives_are_missed_by_it(trail):
    for _ in range(5):
        trail.append("capture", "sent")
    file = trail.directory / "trail.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    trail.append("capture", "sent")
    assert told(trail.directory)[2:] == [("trail_shortened", "warning"), ("capture", "sent")]
    assert entries(trail.directory)[2]["facts"]["expected_entry"] == 5


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    trail = AuditTrail(tmp_path / "file" / "audit")
    with pytest.raises(AuditUnavailableError, match="set GENOPS_AUDIT_PATH to another directory"):
        trail.check()
    with pytest.raises(AuditUnavailableError, match="File exists"):
        trail.append("capture", "sent")


def test_a_trail_that_others_hold_for_too_long_is_an_error(trail):
    from genops_otel_posthog.budgets.ledger.file_lock import FileLock

    trail.append("capture", "sent")
    lock = FileLock(trail.directory / "trail.lock")
    assert lock.acquire(1)
    try:
        with pytest.raises(AuditUnavailableError, match=r"has been in use by other processes for more than 0\.05 s"):
            AuditTrail(trail.directory, timeout=0.05).append("capture", "sent")
    finally:
        lock.close()


def test_an_entry_that_does_not_fit_on_the_disk_leaves_nothing_of_itself(trail):
    trail.append("capture", "sent")
    size = (trail.directory / "trail.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
        with pytest.raises(AuditUnavailableError, match="cannot be written to"):
            trail.append("capture", "sent")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (trail.directory / "trail.jsonl").stat().st_size == size
    assert trail.append("capture", "sent") == 2
    assert verify(trail.directory).intact


@pytest.mark.parametrize(("fsync", "least"), [("always", 10), ("interval", 1), ("none", 0)])
def test_entries_are_synchronised_with_the_disk_as_often_as_said(home, monkeypatch, fsync, least):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    trail = AuditTrail(home / "audit", fsync=fsync)
    for _ in range(10):
        trail.append("capture", "sent")
    assert least <= len(synced) <= max(least, 10 if fsync == "interval" else least)
    trail.flush()
    assert len(synced) > least


def test_another_word_for_fsync_is_an_error(home):
    with pytest.raises(GenOpsConfigurationError, match="it is one of interval, always, none"):
        AuditTrail(home, fsync="sometimes")


def test_threads_write_one_chain(trail):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda number: trail.append("capture", "sent", number=number), range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert verify(trail.directory).entries == 200


def test_a_closed_trail_is_opened_again(trail):
    trail.append("capture", "sent")
    trail.close()
    trail.close()
    assert trail.append("capture", "sent") == 2
