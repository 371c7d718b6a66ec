"""What the page about rules says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genops_otel_posthog.export.rules import FAMILIES, Reason, builtin_rules
from genops_otel_posthog.export.rules.toml import load_rules

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")


def test_the_file_of_rules_on_the_page_is_usable(tmp_path):
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    assert [rule.id for rule in load_rules(tmp_path / "rules.toml")] == [
        "checkout",
        "health-checks",
        "agents.tool_used",
    ]


def test_every_built_in_rule_is_on_the_page():
    table = PAGE[PAGE.index("## Built in") : PAGE.index("### Calls to models")]
    named = set(re.findall(r"`((?:" + "|".join(FAMILIES) + r")\.\w+)`", table))
    assert named == {rule.id for rule in builtin_rules()}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_on_the_page(reason):
    assert f"| `{reason.value}` |" in PAGE
