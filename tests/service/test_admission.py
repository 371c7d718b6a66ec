"""May it be told of this person: lists of events, names of properties, consent."""

from __future__ import annotations

import pytest


def told(service, receiver, *names, distinct_id="ann", **properties):
    results = [service.capture_sync(name, distinct_id, properties) for name in names]
    assert service.flush_sync(10)
    assert all(results)
    return [event.event for event in receiver.events()]


@pytest.mark.requirement("S0-48")
@pytest.mark.parametrize(
    ("variables", "arrived"),
    [
        ({}, ["checkout_done", "checkout_begun", "hover"]),
        ({"GENOPS_EXPORT_DENY_EVENTS": "hover"}, ["checkout_done", "checkout_begun"]),
        ({"GENOPS_EXPORT_ALLOW_EVENTS": "checkout_*"}, ["checkout_done", "checkout_begun"]),
        (
            {"GENOPS_EXPORT_ALLOW_EVENTS": "checkout_*", "GENOPS_EXPORT_DENY_EVENTS": "*_begun"},
            ["checkout_done"],
        ),
    ],
)
def test_lists_say_which_events_are_sent(variables, arrived, new_service, receiver, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    service = new_service()
    assert told(service, receiver, "checkout_done", "checkout_begun", "hover") == arrived
    assert service.counts().withheld == ({"event_list": 3 - len(arrived)} if len(arrived) < 3 else {})


@pytest.mark.requirement("S0-39", "S0-48")
def test_properties_that_are_secret_by_their_name_do_not_leave(service, receiver):
    told(service, receiver, "login", password="hunter2", Authorization="Bearer x", plan="pro")
    (event,) = receiver.events()
    assert event.properties["plan"] == "pro"
    assert "password" not in event.properties
    assert "hunter2" not in str(event.properties)
    assert "Authorization" not in event.properties


@pytest.mark.requirement("S0-47")
def test_without_consent_nothing_about_a_person_leaves(new_service, receiver):
    asked = []

    def consent(distinct_id, event):
        asked.append((distinct_id, event))
        return distinct_id == "ann"

    service = new_service(consent=consent)
    assert service.capture_sync("event", "ann")
    assert service.capture_sync("event", "bert")
    assert service.identify_sync("bert", {"email": "bert@example.com"})
    assert service.alias_sync("bert", "robert")
    assert service.flush_sync(10)
    assert [(event.event, event.distinct_id) for event in receiver.events()] == [("event", "ann")]
    assert service.counts().withheld == {"consent": 3}
    assert asked == [("ann", "event"), ("bert", "event"), ("bert", "$set"), ("bert", "$create_alias")]


@pytest.mark.requirement("S0-47")
def test_consent_that_is_withdrawn_holds_from_then_on(service, receiver):
    assert told(service, receiver, "before") == ["before"]
    service.set_consent(lambda *_: False)
    assert told(service, receiver, "after") == ["before"]
    service.set_consent(None)
    assert told(service, receiver, "again") == ["before", "again"]


@pytest.mark.requirement("S0-47")
@pytest.mark.parametrize("consent", [lambda *_: 1 / 0, lambda *_: "yes", lambda *_: None, lambda: True])
def test_only_a_clear_yes_is_consent(consent, new_service, receiver, caplog):
    service = new_service(consent=consent)
    assert told(service, receiver, "event", "event") == []
    assert service.counts().withheld == {"consent": 2}
    assert len([record for record in caplog.records if "The consent hook failed" in record.message]) <= 1
