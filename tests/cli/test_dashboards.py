"""``genops-posthog dashboards``: listed, and written without replacing what is somebody's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from genops_otel_posthog.cli import main
from genops_otel_posthog.dashboards import FILES, GRAFANA_DASHBOARD


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["dashboards", *arguments])


def document(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_file_is_listed_with_who_reads_it():
    result = run("list")

    assert result.exit_code == 0
    for file in FILES:
        assert file.name in result.output
        assert file.program in result.output
    assert [entry["name"] for entry in document("list")["files"]] == [file.name for file in FILES]


def test_all_are_written_as_they_are(tmp_path: Path):
    result = run("write", "--to", str(tmp_path / "new" / "folder"))

    assert result.exit_code == 0, result.output
    for file in FILES:
        assert (tmp_path / "new" / "folder" / file.path.name).read_bytes() == file.path.read_bytes()


def test_what_is_named_is_written_and_nothing_else(tmp_path: Path):
    assert document("write", "grafana", "--to", str(tmp_path))["files"] == [
        {
            "name": "grafana",
            "program": FILES[0].program,
            "use": FILES[0].use,
            "path": str(tmp_path / "grafana.json"),
            "written": True,
        }
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["grafana.json"]


def test_what_is_there_already_is_as_it_was(tmp_path: Path):
    run("write", "--to", str(tmp_path))

    assert {entry["written"] for entry in document("write", "--to", str(tmp_path))["files"]} == {False}


def test_what_somebody_has_changed_is_replaced_only_by_force(tmp_path: Path):
    changed = tmp_path / "grafana.json"
    changed.write_text("{}", encoding="utf-8")

    refused = run("write", "--to", str(tmp_path))
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["grafana.json"]
    assert changed.read_text(encoding="utf-8") == "{}"

    assert run("write", "--to", str(tmp_path), "--force").exit_code == 0
    assert changed.read_bytes() == GRAFANA_DASHBOARD.read_bytes()


def test_one_can_be_piped():
    assert json.loads(run("write", "grafana", "--to", "-").stdout)["uid"] == "genops-otel-posthog"


@pytest.mark.parametrize("arguments", [("write", "kibana"), ("write", "--to", "/dev/null/nowhere"), ("show",)])
def test_wrong_use_ends_with_2(arguments: tuple[str, ...]):
    assert run(*arguments).exit_code == 2
