"""``genops-posthog flags``: setting, reading, listing and removing, and asking PostHog."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from genops_otel_posthog.cli import main
from genops_otel_posthog.receiver.server import LocalReceiver


@pytest.fixture
def run(tmp_path: Path):
    """Runs a command on a database of the test's own; returns its exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        url = f"sqlite://{tmp_path}/flags.sqlite3"
        result = CliRunner().invoke(main, ["flags", *arguments, "--database", url])
        return result.exit_code, result.output

    return run


@pytest.fixture
def document(run):
    """Runs it with ``--json``; returns the document."""
    return lambda *arguments: json.loads(run(*arguments, "--json")[1])


def test_a_flag_is_set_read_listed_and_removed(run):
    assert run("set", "beta", "--on") == (0, "beta is now on for everybody (version 1).\n")
    assert run("get", "beta") == (0, "beta: on, says database (global row, within its rollout)\n")
    code, output = run("list")
    assert (code, "beta" in output, "everybody" in output) == (0, True, True)
    assert run("unset", "beta") == (0, "beta is no longer set for everybody.\n")
    assert run("list") == (0, "Nothing is set.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--off", "--user", "u1"], "off for user u1"),
        (["--on", "--workspace", "acme"], "on for workspace acme"),
        (["--on", "--rollout", "12.5"], "on, for 12.5 % for everybody"),
        (["--on", "--variant", "short"], "on as short for everybody"),
        (["--on", "--split", "a=50, b=25%"], "on, a 50 % / b 25 % for everybody"),
    ],
)
def test_it_says_what_is_in_force(run, arguments, said):
    assert run("set", "beta", *arguments) == (0, f"beta is now {said} (version 1).\n")


def test_the_narrowest_setting_is_read(run):
    run("set", "beta", "--on")
    run("set", "beta", "--off", "--workspace", "acme")
    run("set", "beta", "--on", "--user", "u1", "--variant", "short", "--payload", '{"x": 1}')
    assert run("get", "beta", "--workspace", "acme")[1] == "beta: off, says database (workspace row, off)\n"
    assert run("get", "beta", "--user", "u1", "--workspace", "acme")[1].startswith(
        'beta: on, variant short, with {"x": 1}, says database'
    )


def test_what_nobody_knows_is_a_problem_found(run):
    assert run("get", "beta") == (1, "beta: unknown (flag_missing); the coded default holds\n")
    assert run("unset", "beta", "--user", "u1") == (1, "beta was not set for user u1.\n")
    assert run("list", "beta") == (0, "Nothing is set for beta.\n")


def test_programs_get_documents(run, document):
    stored = document("set", "pricing", "--on", "--split", "a=50,b=50", "--payload", "[1]", "--rollout", "80")
    assert (stored["flag_key"], stored["scope"], stored["version"]) == ("pricing", "global", 1)
    assert [variant["key"] for variant in stored["variants"]] == ["a", "b"]
    assert document("list")["flags"] == [stored]
    assert document("list", "other") == {"flags": []}
    answer = document("get", "pricing", "--user", "u1")
    assert (answer["source"], answer["known"]) == ("database", True)
    assert answer["value"] in ("a", "b", False)
    assert document("unset", "pricing") == {"flag_key": "pricing", "scope": "global", "scope_id": "", "removed": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "beta"], "Missing option '--on'"),
        (["set", "beta", "--on", "--user", "u", "--workspace", "w"], "give one of --user and --workspace"),
        (["set", "beta", "--on", "--split", "a"], "'a' is not like control=50"),
        (["set", "beta", "--on", "--split", "a=60,b=60"], "together at most 100"),
        (["set", "beta", "--on", "--split", "a=50", "--variant", "a"], "one variant for all or a split"),
        (["set", "beta", "--on", "--payload", "{"], "this is no JSON"),
        (["set", "beta", "--on", "--rollout", "101"], "101"),
        (["get", "beta", "--posthog"], "set POSTHOG_API_KEY=phc_"),
    ],
)
def test_wrong_use_is_said_in_one_message(run, arguments, said):
    code, output = run(*arguments)
    assert (code, said in output, "Traceback" in output) == (2, True, False), output


def test_a_database_that_cannot_be_used_is_a_problem_found(tmp_path):
    path = tmp_path / "flags.sqlite3"
    path.write_text("no database, and long enough for SQLite to look at it" * 40)
    result = CliRunner().invoke(main, ["flags", "list", "--database", f"sqlite://{path}"])
    assert (result.exit_code, "cannot be used" in result.output) == (1, True)


def test_posthog_is_asked_if_that_is_wanted_and_the_database_if_it_does_not_answer(run, monkeypatch):
    with LocalReceiver(flags=[{"key": "beta", "filters": {"groups": [{"rollout_percentage": 0}]}}]) as receiver:
        monkeypatch.setenv("POSTHOG_API_KEY", "phc_test")
        monkeypatch.setenv("POSTHOG_HOST", receiver.url)
        run("set", "beta", "--on")
        assert run("get", "beta", "--user", "u1")[1].startswith("beta: on, says database")
        assert receiver.flag_requests() == []
        assert run("get", "beta", "--user", "u1", "--posthog")[1].startswith("beta: off, says posthog remote")
        assert len(receiver.flag_requests()) == 1
        assert receiver.events() == []  # a look at a flag is no evaluation by the application
        with receiver.fail("flags", status=500):
            assert run("get", "beta", "--user", "u1", "--posthog")[1].startswith("beta: on, says database")
