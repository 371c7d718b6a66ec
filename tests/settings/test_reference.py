"""The page with all environment variables is what the package reads."""

from __future__ import annotations

import generate_environment_reference as script
from generate_semconv import ROOT


def test_the_committed_page_is_a_fresh_rendering():
    assert (ROOT / script.REFERENCE).read_text(encoding="utf-8") == script.render()


def test_every_line_of_a_table_has_the_columns_of_its_header():
    columns = 0
    for line in script.render().splitlines():
        if line.startswith("|---"):
            columns = line.count("|")
        elif line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == columns, line


def test_a_stale_page_is_reported_and_then_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "ROOT", tmp_path)
    (tmp_path / script.REFERENCE).parent.mkdir(parents=True)
    assert script.main(["--check"]) == 1
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "stale, run `make format`: docs/reference/environment.md",
        "written: docs/reference/environment.md",
    ]
