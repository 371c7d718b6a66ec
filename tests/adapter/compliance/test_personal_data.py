"""Erasure and access: what is held on this machine about a person, in real outboxes."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from genops_otel_posthog.adapter.compliance import MemoryConsent
from genops_otel_posthog.errors import GenOpsProviderError
from genops_otel_posthog.export.outbox.segment_file import make_record
from genops_otel_posthog.export.outbox.segments import create
from genops_otel_posthog.export.outbox.waiting import dead_letters, waiting_events

from .conftest import GUIDE_GDPR, NOON, PSEUDONYM_KEY, entries

pytestmark = pytest.mark.requirement("S4-49", "E-27")

ADA, BOB = "ada@example.com", "bob@example.com"


def body(number: int, person: str, **properties: str) -> bytes:
    content = {"event": "order", "distinct_id": person, "uuid": str(UUID(int=number)), "properties": properties}
    return json.dumps(content).encode()


def leave(directory: Path, *bodies: bytes, number: int = 1, destinations: tuple[str, ...] = ("posthog.1",)):
    """What a process that has ended left in its outbox."""
    directory.mkdir(parents=True, exist_ok=True)
    segment = create(directory, "critical", destinations, number=number)
    for each in bodies:
        os.write(segment.descriptor, make_record(each, segment.seed))
    return segment


def waiting(directory: Path) -> list[str]:
    return [event.content()["distinct_id"] for event in waiting_events(directory)]


def test_erasure_deletes_consent_waiting_events_and_dead_letters_and_is_in_the_trail(make, home):
    outbox = home / "outbox"
    leave(outbox, body(1, ADA), body(2, BOB), body(3, ADA), number=1).release()
    leave(outbox, body(4, BOB, invited_by=ADA), number=2).release()
    letters = dead_letters(outbox)
    letters.add("posthog.1", body(5, ADA), "http_400", "")
    letters.add("posthog.1", body(6, BOB), "http_400", "")
    made = make(GUIDE_GDPR)
    made.grant_consent(ADA)
    report = made.erase_person(ADA)
    assert report.erased == {"consent": 1, "waiting_events": 3, "dead_letters": 1}
    assert report.complete
    assert report.deadline - NOON == timedelta(days=30)
    assert waiting(outbox) == [BOB]
    assert [letter.content()["distinct_id"] for letter in letters.letters()] == [BOB]
    assert ADA.encode() not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    entry = entries(home / "audit")[-1]
    assert (entry["action"], entry["outcome"], entry["n"]) == ("erasure_requested", "complete", report.audit_entry)
    assert entry["facts"]["deadline"] == "2026-12-29T12:00:00+00:00"
    assert json.loads(json.dumps(report.document()))["erased"] == report.erased


def test_events_of_a_living_process_are_left_and_the_report_says_so(make, home):
    segment = leave(home / "outbox", body(1, ADA))
    report = make(GUIDE_GDPR).erase_person(ADA)
    assert (report.erased["waiting_events"], report.left["waiting_events"], report.complete) == (0, 1, False)
    assert entries(home / "audit")[-1]["outcome"] == "incomplete"
    segment.release()
    assert make(GUIDE_GDPR).erase_person(ADA).complete
    assert waiting(home / "outbox") == []


def test_events_under_the_pseudonym_of_a_person_are_the_persons_too(make, home, monkeypatch):
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    made = make(GUIDE_GDPR, "advisory")
    leave(home / "outbox", body(1, made.admit("capture", "order", ADA)[0]), body(2, BOB)).release()
    assert len(made.export_person(ADA)["waiting_events"]) == 1
    assert made.erase_person(ADA).erased["waiting_events"] == 1
    assert waiting(home / "outbox") == [BOB]


def test_access_exports_what_is_held_and_what_the_trail_says(make, home):
    outbox = home / "outbox"
    leave(outbox, body(1, ADA), body(2, BOB)).release()
    dead_letters(outbox).add("posthog.1", body(3, ADA), "http_400", "")
    made = make(GUIDE_GDPR)
    made.admit("capture", "order", ADA)
    made.admit("capture", "order", BOB)
    made.grant_consent(ADA, source="banner v3")
    document = json.loads(json.dumps(made.export_person(ADA)))
    assert document["distinct_id"] == ADA
    assert document["exported_at"] == NOON.isoformat()
    assert document["consent"] == [
        {"purpose": "analytics", "granted": True, "at": NOON.isoformat(), "source": "banner v3"}
    ]
    assert [event["uuid"][-1] for event in document["waiting_events"]] == ["1"]
    assert [event["uuid"][-1] for event in document["dead_letters"]] == ["3"]
    assert [(entry["action"], entry["outcome"]) for entry in document["audit"]] == [
        *[("capture", "blocked"), ("consent", "granted"), ("access_requested", "exported")]
    ]
    assert BOB not in json.dumps(document)


def test_of_somebody_unknown_nothing_is_held_and_nothing_erased(make, home):
    made = make(GUIDE_GDPR)
    document = made.export_person("nobody")
    assert (document["consent"], document["waiting_events"], document["dead_letters"]) == ([], [], [])
    assert made.erase_person("nobody").erased == {"consent": 0, "waiting_events": 0, "dead_letters": 0}
    assert not (home / "outbox").exists()


def test_an_application_adds_its_own_places(make):
    class Sessions:
        name = "sessions"

        def __init__(self):
            self.kept = [{"user": ADA, "pages": 3}, {"user": BOB, "pages": 5}]

        def of_person(self, ids):
            return [each for each in self.kept if each["user"] in ids]

        def erase(self, ids):
            before = len(self.kept)
            self.kept = [each for each in self.kept if each["user"] not in ids]
            return before - len(self.kept), 0

    sessions = Sessions()
    made = make(GUIDE_GDPR, consent=MemoryConsent())
    made.hold(sessions)
    assert made.export_person(ADA)["sessions"] == [{"user": ADA, "pages": 3}]
    assert made.erase_person(ADA).erased["sessions"] == 1
    assert sessions.kept == [{"user": BOB, "pages": 5}]


def test_an_outbox_that_cannot_be_read_is_an_error_and_not_a_person_without_data(make, home):
    (home / "outbox").mkdir(parents=True)
    (home / "outbox" / "dead.sqlite3").write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(GenOpsProviderError, match="run this as its user"):
        make(GUIDE_GDPR).erase_person(ADA)
