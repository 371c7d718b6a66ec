"""``DEBUG=posthog*``: more in the log, and still nothing private."""

from __future__ import annotations

import logging

import pytest

from genops_otel_posthog.service import PostHogService
from genops_otel_posthog.service.debugging import LOGGERS, WithoutPrivateValues, blotted, debug_as_asked, reduced

EMAIL = "ann@example.com"


@pytest.fixture(autouse=True)
def loggers_as_they_were():
    before = {
        name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS.values()
    }
    yield
    for name, (level, handlers) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.filters[:] = [each for each in logger.filters if not isinstance(each, WithoutPrivateValues)]


@pytest.mark.requirement("S0-37", "D-34")
@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("posthog*", ["posthog"]),
        ("posthog", ["posthog"]),
        ("genops*", ["genops_otel_posthog"]),
        ("*", ["posthog", "genops_otel_posthog"]),
        ("express:*, PostHog*", ["posthog"]),
        ("* -posthog*", ["genops_otel_posthog"]),
        ("-posthog", []),
        ("1", []),
        ("true", []),
        ("posthog:consumer", []),
        ("", []),
    ],
)
def test_patterns_name_loggers_as_in_node(said, asked, monkeypatch):
    monkeypatch.setenv("DEBUG", said)
    assert debug_as_asked() == asked
    assert [name for name in LOGGERS.values() if logging.getLogger(name).level == logging.DEBUG] == asked


@pytest.mark.requirement("S0-37", "S0-39", "D-34")
def test_what_the_sdk_does_is_seen_and_what_an_event_says_is_not(receiver, monkeypatch, caplog):
    monkeypatch.setenv("DEBUG", "posthog*")
    service = PostHogService()
    assert service.initialize_sync(api_key="phc_s3cr3t_0123456789abcdef", host=receiver.url, flush_interval=50)
    assert service.capture_sync("signed_up", EMAIL, {"email": EMAIL, "plan": "secret-plan"})
    assert service.identify_sync(EMAIL, {"email": EMAIL, "plan": "secret-plan"})
    assert service.shutdown_sync(10)

    messages = [record.getMessage() for record in caplog.records if record.name == "posthog"]
    assert any("queueing: <signed_up:" in message and "email" in message for message in messages), messages
    assert any(record.levelno == logging.DEBUG for record in caplog.records if record.name == "posthog")
    for private in (EMAIL, "secret-plan", "s3cr3t"):
        assert private not in caplog.text
    assert len(receiver.events()) == 2


@pytest.mark.requirement("S0-39")
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_without_debug_neither_keys_nor_addresses_nor_properties_are_logged(level, new_service, caplog):
    caplog.set_level(level, logger="genops_otel_posthog")
    caplog.set_level(logging.INFO, logger="posthog")
    service = new_service(api_key="phc_s3cr3t_0123456789abcdef")
    service.capture_sync("signed_up", EMAIL, {"email": EMAIL, "plan": "secret-plan"})
    service.capture_sync("signed_up", EMAIL, timestamp="never")
    service.capture_sync({"event": "e", "distinctId": EMAIL, "emial": EMAIL})
    service.identify_sync(EMAIL, {"plan": "secret-plan"})
    service.alias_sync(EMAIL, "")
    service.shutdown_sync(10)
    assert "key phc_…" in caplog.text
    for private in (EMAIL, "secret-plan", "s3cr3t"):
        assert private not in caplog.text


def test_where_nobody_has_a_handler_messages_go_to_standard_error(monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setenv("DEBUG", "genops*")
    debug_as_asked()
    debug_as_asked()
    logging.getLogger("genops_otel_posthog.service").debug("one line")
    assert capsys.readouterr().err.count("one line") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"event": "e", "properties": {"b": 1, "a": EMAIL}}, "<e: a, b>"),
        ({"event": "$set", "$set": {"plan": 1}}, "<$set: plan>"),
        ({"x": 1}, "<mapping: x>"),
        ([1, 2], "<2 items>"),
        (b"abc", "<3 bytes>"),
        ('{"api_key": "phc_abc"}', "<22 characters of JSON>"),
        (7, 7),
        (None, None),
        (f"mail to {EMAIL} with phx_0123-abc", "mail to …@… with phx_…"),
    ],
)
def test_a_value_is_reduced_to_what_may_be_shown(value, shown):
    assert reduced(value) == shown


def test_messages_with_named_values_keep_their_form():
    record = logging.LogRecord("posthog", logging.DEBUG, "", 0, "%(who)s did %(n)d", ({"who": EMAIL, "n": 3},), None)
    assert WithoutPrivateValues().filter(record)
    assert record.getMessage() == "…@… did 3"
    assert blotted("nothing private") == "nothing private"
