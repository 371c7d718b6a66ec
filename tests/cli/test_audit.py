"""``genops-posthog audit``."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timezone

import pytest
from click.testing import CliRunner

from genops_otel_posthog.adapter.compliance import AuditTrail
from genops_otel_posthog.cli import main

pytestmark = pytest.mark.requirement("S4-50", "E-28")

KEY = "an audit key of a test, long enough"


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A trail of four entries on four days."""
    path = tmp_path / "audit"
    monkeypatch.setenv("GENOPS_AUDIT_PATH", str(path))
    for day, action, person in ((1, "capture", "ada"), (2, "flag", "ada"), (3, "capture", "bob"), (4, "capture", "ä")):
        moment = datetime(2026, 11, day, 12, tzinfo=timezone.utc)
        AuditTrail(path, key=KEY, clock=moment.timestamp).append(action, "sent", subject=person, event="ordered, paid")
    return path


def run(*arguments, **environment):
    return CliRunner().invoke(main, ["audit", *map(str, arguments)], env=environment)


def text(*arguments, exit_code=0, **environment):
    result = run(*arguments, **environment)
    assert result.exit_code == exit_code, result.output
    return result.output


def rows(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def break_entry(directory, number):
    file = directory / "trail.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(b"paid", b"free")
    file.write_bytes(b"".join(lines))


def test_verify_says_that_all_is_as_it_was_written_and_shows_the_head(directory):
    output = text("verify")
    assert f"4 entries in {directory} are as they were written, without signatures" in output
    assert "Head: 4:" in output
    assert "with their signatures" in text("verify", GENOPS_AUDIT_KEY=KEY)


def test_verify_names_the_first_broken_entry_and_is_a_problem_found(directory):
    break_entry(directory, 3)
    output = " ".join(text("verify", exit_code=1).split())
    assert "entry 3 (trail.jsonl, line 3): its hash is not that of what it says" in output
    assert "2 entries before it are as they were written" in output


def test_verify_speaks_json(directory):
    document = json.loads(text("verify", "--json", GENOPS_AUDIT_KEY=KEY))
    assert (document["intact"], document["entries"], document["signatures_checked"]) == (True, 4, True)
    assert document["broken"] is None
    break_entry(directory, 2)
    broken = json.loads(text("verify", "--json", exit_code=1))["broken"]
    assert (broken["entry"], broken["line"], broken["file"]) == (2, 2, str(directory / "trail.jsonl"))


def test_verify_misses_entries_that_a_noted_head_knows(directory):
    head = json.loads(text("verify", "--json"))["head"]
    assert "as they were written" in text("verify", "--head", head)
    file = directory / "trail.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert "entry 3" in text("verify", "--head", head, exit_code=1)


@pytest.mark.parametrize("head", ["17", "x:abcdef01", "3:xyz", "3:abc"])
def test_a_head_that_is_none_is_wrong_use(directory, head):
    assert "is no head; write what verify has shown" in text("verify", "--head", head, exit_code=2)


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_trail_that_is_not_there_is_wrong_use_and_is_not_made(tmp_path, command):
    output = text(command, "--path", tmp_path / "nothing", exit_code=2)
    assert "cannot be read: No such file or directory; give --path" in " ".join(output.split())
    assert not (tmp_path / "nothing").exists()


def test_a_key_that_is_none_is_wrong_use(directory):
    output = text("verify", exit_code=2, GENOPS_AUDIT_KEY="short-secret")
    assert "fewer than 32 characters" in output
    assert "short-secret" not in output


def test_export_writes_json_lines(directory):
    found = rows(text("export"))
    assert [row["n"] for row in found] == [1, 2, 3, 4]
    assert found[0]["facts"] == {"event": "ordered, paid"}
    assert len(found[0]["hash"]) == 64


def test_export_writes_csv(directory, tmp_path):
    text("export", tmp_path / "out.csv", "--csv")
    found = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    assert [row["n"] for row in found] == ["1", "2", "3", "4"]
    assert json.loads(found[0]["facts"]) == {"event": "ordered, paid"}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--since", "2026-11-02"), [2, 3, 4]),
        (("--since", "2026-11-02T12:00:00+00:00", "--until", "2026-11-03T12:00Z"), [2]),
        (("--action", "capture"), [1, 3, 4]),
        (("--person", "ada"), [1, 2]),
        (("--person", "ä"), [4]),
        (("--person", "eve"), []),
    ],
)
def test_export_writes_only_what_is_asked_for(directory, options, wanted):
    assert [row["n"] for row in rows(text("export", *options))] == wanted


def test_export_to_a_file(directory, tmp_path):
    assert "4 entries written" in text("export", tmp_path / "out.jsonl")
    assert len(rows((tmp_path / "out.jsonl").read_text(encoding="utf-8"))) == 4


def test_export_of_a_broken_trail_writes_what_is_before_it_and_is_a_problem_found(directory):
    break_entry(directory, 3)
    output = text("export", exit_code=1)
    assert [row["n"] for row in rows(output)] == [1, 2]
    assert "The trail is broken: entry 3" in output


def test_a_time_that_is_none_is_wrong_use(directory):
    assert "is no time; write 2026-11-29" in text("export", "--since", "yesterday", exit_code=2)
