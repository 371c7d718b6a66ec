"""What the service is told: the environment with its documented defaults, and what is wrong with it."""

from __future__ import annotations

import logging

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.service import (
    PostHogServiceConfig,
    get_posthog_config,
    get_validated_posthog_config,
    validate_posthog_config,
)
from genops_otel_posthog.service.configuration import config_from

KEY = "phc_0123456789abcdefghij"


@pytest.fixture
def environment(monkeypatch):
    def environment(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return environment


@pytest.mark.requirement("S0-01", "S0-03", "S0-04", "S0-05", "S0-09", "S0-41", "D-29")
def test_an_empty_environment_gives_the_documented_defaults():
    config = get_posthog_config()
    assert (config.enable, config.api_key) == (False, None)
    assert (config.host, config.flush_at, config.flush_interval) == ("https://app.posthog.com", 20, 10_000)


@pytest.mark.requirement("S0-01", "S0-12", "S0-38", "S0-44")
def test_the_environment_is_read(environment):
    environment(
        POSTHOG_ENABLE="true",
        POSTHOG_API_KEY=KEY,
        POSTHOG_HOST="https://eu.posthog.com/",
        POSTHOG_FLUSH_AT="50",
        POSTHOG_FLUSH_INTERVAL="2500",
    )
    assert get_posthog_config() == PostHogServiceConfig(KEY, "https://eu.posthog.com", 50, 2500, True)


@pytest.mark.requirement("S0-01")
@pytest.mark.parametrize(
    ("said", "enabled"),
    [("true", True), ("TRUE", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("No", False)],
)
def test_the_switch_is_read_in_its_usual_spellings(said, enabled, environment):
    environment(POSTHOG_ENABLE=said, POSTHOG_API_KEY=KEY)
    assert get_posthog_config().is_enabled is enabled


@pytest.mark.requirement("D-29")
def test_a_key_alone_does_not_switch_the_service_on_where_the_environment_configures_it(environment):
    environment(POSTHOG_API_KEY=KEY)
    assert not get_posthog_config().is_enabled


@pytest.mark.requirement("D-29")
@pytest.mark.parametrize(
    ("variable", "told", "enabled"),
    [
        (None, {"apiKey": KEY}, True),
        (None, {"apiKey": KEY, "enable": False}, False),
        ("false", {"apiKey": KEY}, False),
        ("false", {"apiKey": KEY, "enable": True}, True),
        ("true", {"apiKey": KEY, "enable": "no"}, False),
        (None, {"host": "https://eu.posthog.com"}, False),
    ],
)
def test_who_passes_a_key_wants_to_send_unless_somebody_says_otherwise(variable, told, enabled, environment):
    if variable is not None:
        environment(POSTHOG_ENABLE=variable)
    assert config_from(told).is_enabled is enabled


@pytest.mark.requirement("S0-04", "S0-05")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTHOG_FLUSH_AT", "0"),
        ("POSTHOG_FLUSH_AT", "twenty"),
        ("POSTHOG_FLUSH_AT", "NaN"),
        ("POSTHOG_FLUSH_AT", "20.5"),
        ("POSTHOG_FLUSH_INTERVAL", "-1"),
        ("POSTHOG_FLUSH_INTERVAL", "10s"),
        ("POSTHOG_ENABLE", "maybe"),
        ("POSTHOG_HOST", "ftp://posthog"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_an_example(name, value, environment, caplog):
    environment(**{name: value})
    with pytest.raises(GenOpsConfigurationError, match=f"{name}=.* cannot be used: .*; for example {name}="):
        get_posthog_config()
    assert get_validated_posthog_config() is None
    assert name in caplog.text


@pytest.mark.requirement("S0-12")
def test_settings_of_other_parts_of_the_package_do_not_matter(environment):
    environment(GENOPS_DAILY_BUDGET_LIMIT="lots", POSTHOG_ENABLE="false")
    assert get_validated_posthog_config() is not None


@pytest.mark.requirement("S0-02", "S0-12")
def test_enabled_without_a_key_is_invalid_with_a_warning(environment, caplog):
    environment(POSTHOG_ENABLE="true")
    assert get_validated_posthog_config() is None
    assert "PostHog is enabled and has no key to send with; set POSTHOG_API_KEY=phc_…" in caplog.text


@pytest.mark.requirement("S0-12", "S0-41")
def test_what_is_switched_off_is_valid_whatever_else_it_says():
    assert validate_posthog_config({"enable": False, "flushAt": 0, "host": "nonsense"})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"flushAt": 0}, "flush_at must be a whole number from 1 to 10,000, not 0"),
        ({"flushAt": True}, "flush_at must be a whole number"),
        ({"flush_interval": "10000"}, "flush_interval must be a whole number"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds above 0"),
        ({"host": "nonsense"}, "host cannot be used: it does not begin with https://"),
        ({"apiKey": "phx_0123456789abcdefgh"}, "personal API key, not a project key"),
        ({"flushat": 3}, "the configuration of PostHog has no field 'flushat'; did you mean 'flush_at'?"),
        ({"colour": 3}, "the configuration of PostHog has no field 'colour'; there are api_key, host"),
        ({"enable": "perhaps"}, "enable='perhaps' cannot be used: it is neither true nor false"),
    ],
)
def test_what_is_wrong_is_said_with_the_field(told, said, caplog):
    assert not validate_posthog_config({"apiKey": KEY, "enable": True} | told)
    assert said in caplog.text


@pytest.mark.requirement("S0-38", "S0-39")
def test_no_key_is_shown(caplog):
    config = PostHogServiceConfig("phx_0123456789abcdefgh", enable=True)
    validate_posthog_config(config)
    assert "456789" not in repr(config) + caplog.text


@pytest.mark.requirement("S0-40")
@pytest.mark.parametrize(
    ("host", "is_said"),
    [("http://posthog.internal", True), ("http://127.0.0.1:8000", False), ("https://posthog.internal", False)],
)
def test_an_unencrypted_host_that_is_not_this_machine_is_a_warning(host, is_said, caplog):
    caplog.set_level(logging.WARNING)
    assert validate_posthog_config(PostHogServiceConfig(KEY, host, enable=True))
    assert ("is not encrypted" in caplog.text) is is_said
