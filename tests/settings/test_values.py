"""What the text of a variable may be."""

from __future__ import annotations

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import BAGGAGE_FIELDS, POLICIES, POLICY_ALIASES, SPAN_KINDS, Settings, parse_tags


def setting(name, value, field):
    return getattr(Settings.from_environ({name: value}), field)


def refusal(name, value):
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ({name: value})
    return str(caught.value).split(" cannot be used: ")[1].split("; for example ")[0]


def messages(caplog):
    return [record.message for record in caplog.records]


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "yes", "On"])
def test_words_for_yes(value):
    assert setting("GENOPS_GROUP_ANALYTICS", value, "group_analytics") is True


@pytest.mark.parametrize("value", ["false", "FALSE", "0", "no", "Off"])
def test_words_for_no(value):
    assert setting("POSTHOG_ENABLE", value, "enabled") is False


@pytest.mark.parametrize("value", ["2", "y", "enabled", "-1", "tru"])
def test_other_words_are_neither(value):
    assert refusal("POSTHOG_ENABLE", value) == "it is neither true nor false"


@pytest.mark.parametrize("value", ["list", "LIST", " list "])
def test_a_choice_may_be_written_in_any_case(value):
    assert setting("GENOPS_PRICING_MODE", value, "pricing_mode") == "list"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_taken_by_its_name(policy, caplog):
    assert setting("GENOPS_GOVERNANCE_POLICY", policy.upper(), "governance_policy") == policy
    assert messages(caplog) == []


@pytest.mark.parametrize(("alias", "policy"), POLICY_ALIASES.items())
def test_a_policy_is_taken_by_the_guides_other_name_with_a_warning(alias, policy, caplog):
    for _ in range(2):
        assert setting("GENOPS_GOVERNANCE_POLICY", alias, "governance_policy") == policy
    assert messages(caplog) == [f"Governance policy '{alias}' is read as '{policy}'; write '{policy}'"]


def test_an_unknown_policy_is_refused_with_the_known_ones():
    assert refusal("GENOPS_GOVERNANCE_POLICY", "lenient") == (
        "it must be one of advisory, enforced, strict (also basic = advisory, standard = enforced, enhanced = strict)"
    )


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("capture,flags", {"capture", "flags"}),
        (" Capture , ,flags,", {"capture", "flags"}),
        ("none", set()),
        ("ALL", set(SPAN_KINDS)),
    ],
)
def test_names_are_a_list_or_all_or_none(value, kinds):
    assert setting("GENOPS_SPANS", value, "spans") == kinds


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            "capture,spam,eggs",
            "'eggs', 'spam' is not among capture, flags, local_flags, definitions, config (or all, or none)",
        ),
        ("capture,none", "'none' is not among capture, flags, local_flags, definitions, config (or all, or none)"),
        (",", "it names nothing; give some of capture, flags, local_flags, definitions, config, or none"),
    ],
)
def test_names_that_do_not_exist_are_refused(value, reason):
    assert refusal("GENOPS_SPANS", value) == reason


@pytest.mark.parametrize(
    ("value", "fields"),
    [("true", set(BAGGAGE_FIELDS)), ("false", set()), ("none", set()), ("team,user_id", {"team", "user_id"})],
)
def test_outgoing_baggage_is_a_switch_or_a_list(value, fields):
    assert setting("GENOPS_BAGGAGE_OUT", value, "baggage_out") == fields


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("tier=gold", {"tier": "gold"}),
        (" tier = gold , platform=ios,, ", {"tier": "gold", "platform": "ios"}),
        ("query=a=b", {"query": "a=b"}),
        ("tier=", {"tier": ""}),
        ("", {}),
    ],
)
def test_tags_are_keys_and_values(value, tags):
    assert parse_tags(value) == tags


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("gold", "'gold' is not key=value"),
        ("tier=gold,=x", "'=x' is not key=value"),
        ("tier=gold,tier=silver", "'tier' is given twice"),
    ],
)
def test_tags_of_another_form_are_refused(value, reason):
    assert refusal("GENOPS_TAGS", value) == reason


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://us.i.posthog.com", "https://us.i.posthog.com"),
        ("https://eu.i.posthog.com/", "https://eu.i.posthog.com"),
        ("https://app.posthog.com", "https://app.posthog.com"),
        ("https://us.posthog.com", "https://us.posthog.com"),
        ("https://eu.posthog.com", "https://eu.posthog.com"),
        ("app.posthog.com", "https://app.posthog.com"),
        ("us.i.posthog.com/", "https://us.i.posthog.com"),
        ("https://posthog.example.org:8443/ingest/", "https://posthog.example.org:8443/ingest"),
        ("posthog.example.org/ingest", "https://posthog.example.org/ingest"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_host_is_posthogs_or_your_own(value, host, caplog):
    assert setting("POSTHOG_HOST", value, "host") == host
    assert messages(caplog) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("posthog", "it does not begin with https://"),
        ("phc_abc", "it does not begin with https://"),
        ("ftp://posthog.example.org", "it does not begin with https:// or http://"),
        ("https://", "it names no host"),
        ("https://:443", "it names no host"),
        ("https://posthog.example.org:port", "its address or its port cannot be read"),
        ("https://posthog.example.org:99999", "its address or its port cannot be read"),
        ("https://[::1", "its address or its port cannot be read"),
        ("https://posthog.example.org?key=1", "it goes on after the address with ? or #"),
        ("https://us.posthog.com/project/42#insights", "it goes on after the address with ? or #"),
        (
            "https://us.posthog.com/project/42",
            "it goes on after the address, which only a proxy of your own can need, not PostHog's hosts",
        ),
        ("https://posthog .example.org", "it holds a space or a control character"),
        ("https://posthog.example\u0000.org", "it holds a space or a control character"),
    ],
)
def test_a_host_that_is_no_address_is_refused(value, reason):
    assert refusal("POSTHOG_HOST", value) == reason


@pytest.mark.parametrize("value", ["http://posthog.example.org", "http://10.0.0.7:8000"])
def test_a_host_without_encryption_is_used_and_remarked_on_once(value, caplog):
    for _ in range(2):
        assert setting("POSTHOG_HOST", value, "host") == value
    (message,) = messages(caplog)
    assert "is not encrypted" in message


def test_a_key_of_another_form_is_used_and_remarked_on_once(caplog):
    for _ in range(2):
        assert setting("POSTHOG_API_KEY", "your-posthog-api-key-here", "api_key") == "your-posthog-api-key-here"
    (message,) = messages(caplog)
    assert message.startswith("The PostHog project key does not start with 'phc_'")
    assert "your-posthog" not in message


@pytest.mark.parametrize("key", ["phx_x", "phc_" + "x" * 61, "phc_ключ", "phc_\0"])
def test_a_key_that_posthog_refuses_is_refused(key):
    assert "key" in refusal("POSTHOG_API_KEY", key)
