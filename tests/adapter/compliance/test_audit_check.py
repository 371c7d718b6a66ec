"""What was changed is found, and the entry is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genops_otel_posthog.adapter.compliance import AuditTrail
from genops_otel_posthog.adapter.compliance.audit_check import intact_entries, verify

from .conftest import AUDIT_KEY

pytestmark = pytest.mark.requirement("S4-50", "E-28")

ENTRIES = 4


@pytest.fixture(scope="module", params=[None, AUDIT_KEY], ids=["plain", "signed"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of a few entries."""
    directory = tmp_path_factory.mktemp("trail") / "audit"
    trail = AuditTrail(directory, key=request.param)
    for number in range(ENTRIES):
        trail.append("capture", "sent", subject=f"user-{number}", event="order_completed", number=number)
    trail.close()
    return directory


def test_changing_any_byte_names_the_entry_it_is_in(written, tmp_path):
    """Also without the key, for one flipped byte cannot make its hash fit."""
    content = (written / "trail.jsonl").read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    for position in range(len(content)):
        entry = content.count(b"\n", 0, position) + 1
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        (copy / "trail.jsonl").write_bytes(changed)
        found = verify(copy)
        assert found.broken is not None, f"byte {position} of entry {entry}"
        assert found.broken.number == entry, f"byte {position}: {found.broken}"
        assert found.entries == entry - 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(range(ENTRIES)), kept=st.integers(0, ENTRIES))
def test_entries_cannot_be_removed_doubled_or_moved(written, tmp_path, order, kept):
    content = (written / "trail.jsonl").read_bytes().splitlines(keepends=True)
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    (tmp_path / "copy").mkdir()
    chosen = order[:kept]
    (tmp_path / "copy" / "trail.jsonl").write_bytes(b"".join(content[number] for number in chosen))
    in_place = 0
    while in_place < kept and chosen[in_place] == in_place:
        in_place += 1
    found = verify(tmp_path / "copy")
    assert found.entries == in_place
    assert (found.broken.number if found.broken else None) == (None if in_place == kept else in_place + 1)


def test_a_chain_that_was_computed_anew_after_a_change_does_not_verify_with_the_key(tmp_path):
    key, forged = tmp_path / "key", tmp_path / "forged"
    for directory, outcome in ((key, "refused"), (forged, "sent")):
        trail = AuditTrail(directory, key=AUDIT_KEY if directory is key else "a key that somebody made up himself")
        trail.append("capture", outcome)
    assert verify(forged).intact
    broken = verify(forged, key=AUDIT_KEY).broken
    assert broken is not None
    assert broken.problem == "it has another signature than the key makes"


def test_entries_cut_off_at_the_end_are_missed_by_who_has_noted_the_head(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    number, _, digest = verify(written).head.partition(":")
    head = (int(number), digest[:12])
    assert verify(tmp_path / "copy", head=head).intact
    file = tmp_path / "copy" / "trail.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert verify(tmp_path / "copy").intact, "nothing in the entries that are left can show it"
    broken = verify(tmp_path / "copy", head=head).broken
    assert broken is not None
    assert (broken.number, broken.line) == (3, 3)
    assert "every entry up to 4" in broken.problem


def test_a_head_of_another_trail_is_told_from_this_one(written):
    broken = verify(written, head=(3, "0" * 64)).broken
    assert broken is not None
    assert (broken.number, broken.problem) == (3, "its hash is not the one that was noted: the trail was written anew")


def test_more_entries_than_the_noted_head_are_no_problem(written):
    number, digest = next((entry.number, entry.digest) for entry in intact_entries(written) if entry.number == 2)
    assert verify(written, head=(number, digest)).intact


def test_a_full_file_that_is_gone_is_named_by_its_first_entry(tmp_path):
    trail = AuditTrail(tmp_path, max_file_bytes=1000)
    for _ in range(12):
        trail.append("capture", "sent")
    (tmp_path / "trail-000000000000005.jsonl").unlink()
    broken = verify(tmp_path).broken
    assert broken is not None
    assert (broken.number, broken.problem) == (5, "it is missing: entry 9 comes in its place")


def test_an_empty_trail_is_intact_and_a_missing_one_is_an_error(tmp_path):
    assert verify(tmp_path).head == "0:" + "0" * 64
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "nothing")


def test_an_auditors_copy_is_read_and_nothing_is_written_to_it(written, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(written / "trail.jsonl", copy)
    assert verify(copy).entries == ENTRIES
    assert [path.name for path in copy.iterdir()] == ["trail.jsonl"]


def test_lines_longer_than_any_entry_are_not_read_into_memory(tmp_path):
    (tmp_path / "trail.jsonl").write_bytes(b"x" * 1_000_000)
    broken = verify(tmp_path).broken
    assert broken is not None
    assert broken.number == 1
