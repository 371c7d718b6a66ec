"""Rules from a file, and what is said when the file is wrong."""

from __future__ import annotations

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.rules import PRESENT, EventTemplate, Rules, SpanRule, one_of, prefix
from genops_otel_posthog.export.rules.toml import load_rules

WHOLE = """
[[rule]]
id = "checkout"
match.scope = "shop.*"
match.span_name = "POST /checkout"
match.kind = ["server"]
match.status = "unset"
match.attributes.http.response.status_code = 200
match.attributes."cart.total" = { present = true }
match.attributes.tier = ["gold", "silver"]
match.attributes.http.route = { prefix = "/check" }
match.any_attribute = ["a", "b"]
gate = "checkout_events"
final = true

[[rule.event]]
name = "checkout_{cart.kind}"
distinct_id = ["enduser.id"]
person_profile = false
groups.company = "tenant.id"
properties.amount = "cart.total"
constants = { source = "trace", version = 2 }
copy = ["cart."]
sample_rate = 0.5
importance = "critical"
timestamp = "start"

[[rule]]
id = "health"
match.attributes.http.route = { one_of = ["/health", "/ready"] }
drop = true

[[rule]]
id = "agents.tool_used"
enabled = false
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        file = tmp_path / "rules.toml"
        file.write_text(text, encoding="utf-8")
        return load_rules(file)

    return load


def test_a_file_says_all_that_python_can_say_but_code(load):
    assert load(WHOLE) == (
        SpanRule(
            "checkout",
            scope="shop.*",
            span_name="POST /checkout",
            kind=["server"],
            status="unset",
            attributes={
                "http.response.status_code": 200,
                "http.route": prefix("/check"),
                "cart.total": PRESENT,
                "tier": one_of("gold", "silver"),
            },
            any_attribute=["a", "b"],
            gate="checkout_events",
            final=True,
            events=[
                EventTemplate(
                    "checkout_{cart.kind}",
                    distinct_id=["enduser.id"],
                    person_profile=False,
                    groups={"company": "tenant.id"},
                    properties={"amount": "cart.total"},
                    constants={"source": "trace", "version": 2},
                    copy=["cart."],
                    sample_rate=0.5,
                    importance="critical",
                    timestamp="start",
                )
            ],
        ),
        SpanRule("health", attributes={"http.route": one_of("/health", "/ready")}, drop=True),
        SpanRule("agents.tool_used", enabled=False),
    )


def test_rules_of_a_file_work(load, spans):
    rules = Rules(load('[[rule]]\nid = "r"\nmatch.attributes.http.route = "/x"\n[[rule.event]]\nname = "seen"'))
    assert len(rules.events_for(spans.one(attributes={"http.route": "/x"})).events) == 1


def test_an_empty_file_has_no_rules(load):
    assert load("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]\n", "are not TOML: .*line 1"),
        ("[[rules]]", "the file has the key 'rules', which does not exist; did you mean 'rule'"),
        ("[rule]\nid = 'a'", r"rule = .* cannot be used; write \[\[rule\]\]"),
        ("[[rule]]\ndrop = true", "rule 1 has no id"),
        ("[[rule]]\nid = 'a'\ndroop = true", "rule 'a' has the key 'droop', which does not exist; did you mean 'drop'"),
        ("[[rule]]\nid = 'a'\ndrop = 'yes'", "rule 'a': drop = 'yes' cannot be used; write true or false"),
        ("[[rule]]\nid = 'a'\nmatch.nane = 'x'", "rule 'a', match has the key 'nane'"),
        ("[[rule]]\nid = 'a'\ndrop = true\nmatch.kind = 'sever'", "rule 'a': kind: 'sever' is not one of .*'server'"),
        ("[[rule]]\nid = 'a'\ndrop = true\nmatch.scope = 7", "rule 'a', match: scope = 7 cannot be used"),
        (
            "[[rule]]\nid = 'a'\ndrop = true\nmatch.attributes.x = {prefix = 7}",
            "rule 'a', match.attributes: x = {'prefix': 7} cannot be used; a condition is",
        ),
        ("[[rule]]\nid = 'a'", "rule 'a': rule 'a' makes nothing"),
        ("[[rule]]\nid = 'a'\n[[rule.event]]\nnmae = 'x'", "rule 'a', event 1 has the key 'nmae'.*did you mean 'name'"),
        ("[[rule]]\nid = 'a'\n[[rule.event]]\ncopy = 'x'", "rule 'a', event 1 has no name"),
        (
            "[[rule]]\nid = 'a'\n[[rule.event]]\nname = 'x'\nsample_rate = 2",
            "rule 'a', event 1: sample_rate: 2 is not a number from 0 to 1",
        ),
        (
            "[[rule]]\nid = 'a'\ndrop = true\n[[rule]]\nid = 'a'\ndrop = true",
            "id = 'a' cannot be used; an earlier rule",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_rule_key_and_value(load, text, said):
    with pytest.raises(GenOpsConfigurationError, match=said) as error:
        load(text)
    assert "rules.toml" in str(error.value)


def test_a_file_that_is_not_there_is_named_with_the_variable_to_check(tmp_path):
    with pytest.raises(
        GenOpsConfigurationError, match="No such file or directory; check the path in GENOPS_SPAN_RULES"
    ):
        load_rules(tmp_path / "absent.toml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "rules.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GenOpsConfigurationError, match="not UTF-8"):
        load_rules(tmp_path / "rules.toml")
