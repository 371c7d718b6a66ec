"""``genops-posthog rules``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from genops_otel_posthog.cli import main

RECORDED = Path(__file__).parents[1] / "export" / "recorded"
RULES = """
[[rule]]
id = "ai.model_call"
match.attributes."gen_ai.operation.name" = ["chat"]
[[rule.event]]
name = "asked_{gen_ai.request.model}"
[[rule]]
id = "agents.tool_used"
enabled = false
"""


@pytest.fixture
def rule_file(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(RULES, encoding="utf-8")
    return file


def run(*arguments, **options):
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], **options)


def test_check_shows_what_each_rule_is_about(rule_file):
    result = run("check", rule_file)
    assert result.exit_code == 0, result.output
    assert "2 rules, all usable" in result.output
    assert "gen_ai.operation.name one of 'chat'" in result.output
    assert "asked_{gen_ai.request.model} (instead of the built-in rule)" in result.output
    assert "turned off, and with it the built-in rule" in result.output


def test_check_speaks_json(rule_file):
    document = json.loads(run("check", rule_file, "--json").output)
    assert [(rule["id"], rule["enabled"], rule["replaces_built_in"]) for rule in document["rules"]] == [
        ("ai.model_call", True, True),
        ("agents.tool_used", False, True),
    ]


def test_check_of_a_file_with_a_mistake_is_wrong_use_and_names_it(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text("[[rule]]\nid = 'a'\ndrop = true\nmatch.kind = 'sever'")
    result = run("check", file)
    assert result.exit_code == 2
    assert "did you mean 'server'" in result.output


def test_explain_shows_events_and_reasons():
    result = run("explain", RECORDED / "openfeature.json")
    assert result.exit_code == 0, result.output
    assert "event $feature_flag_called by flags.recorded, of user-42" in result.output
    assert "no event by errors.exception: filtered: the exception was handled" in result.output


def test_explain_reads_standard_input_and_speaks_json():
    span = (RECORDED / "google-genai.json").read_text()
    result = run("explain", "-", "--json", input=span)
    (told,) = json.loads(result.output)["spans"]
    assert told["events"][0]["event"] == "$ai_generation"
    assert "$ai_input" not in told["events"][0]["properties"]


def test_explain_shows_content_when_it_is_asked_to():
    result = run("explain", RECORDED / "google-genai.json", "--json", "--content")
    assert "Portugal" in json.dumps(json.loads(result.output)["spans"][0]["events"][0]["properties"]["$ai_input"])


def test_explain_asks_rules_of_ones_own_before_the_built_in_ones(rule_file):
    result = run("explain", RECORDED / "openai-v2.json", "--rules", rule_file, "--json")
    spans = json.loads(result.output)["spans"]
    assert [event["event"] for event in spans[0]["events"]] == ["asked_gpt-4o"]


def test_explain_of_a_span_without_an_event_is_a_problem_found():
    result = run("explain", RECORDED / "google-genai.json", "--no-built-in")
    assert result.exit_code == 1
    assert "no event: filtered: no rule is about such a span" in result.output


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("{}", "is not a span")])
def test_explain_of_something_else_is_wrong_use(text, said):
    result = run("explain", "-", input=text)
    assert result.exit_code == 2
    assert said in result.output
