"""Properties that are left out or replaced, however deep they are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genops_otel_posthog.adapter.compliance.property_rules import DENIED, OPAQUE, PSEUDONYMISED, PropertyRules
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms
from genops_otel_posthog.adapter.compliance.safe_harbor import IDENTIFIERS

from .conftest import PSEUDONYM_KEY

HEALTH = PropertyRules(safe_harbor=True)
PEOPLE = Pseudonyms(PSEUDONYM_KEY)


@pytest.mark.requirement("S4-51")
def test_all_18_identifiers_of_the_rule_are_there():
    letters = {name.split()[0] for name in IDENTIFIERS}
    assert letters == set("ABCDEFGHIJKLMNOPQR")


@pytest.mark.requirement("S4-51")
@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("patientName", "A name"),
        ("$set.last-name", "A name"),
        ("ZIP", "B place"),
        ("billing_address", "B place"),
        ("dateOfBirth", "C date"),
        ("phoneNumber", "D telephone"),
        ("fax", "E fax"),
        ("e-mail", "F email"),
        ("userEmail", "F email"),
        ("SSN", "G social security"),
        ("patientSSN", "G social security"),
        ("MRN", "H medical record"),
        ("insuranceId", "I health plan"),
        ("account_number", "J account"),
        ("driversLicense", "K licence"),
        ("VIN", "L vehicle"),
        ("$device_id", "M device"),
        ("$current_url", "N url"),
        ("$ip", "O ip address"),
        ("fingerprintHash", "P biometric"),
        ("photoURL", "N url"),
        ("avatar", "Q photograph"),
        ("distinct_id", "R other number"),
    ],
)
def test_a_name_is_recognised_however_it_is_written(name, identifier):
    kept, counts = HEALTH.apply({name: "secret", "plan": "pro"})
    assert kept == {"plan": "pro"}
    assert counts == {identifier: 1}


@pytest.mark.parametrize(
    "name",
    [
        *("event_name", "plan_name", "template", "shipping_method", "quantity", "zipped", "page", "genops_customer_id"),
        *("$exception_fingerprint", "$process_person_profile", "wagon", "description", "emoji", "$session_id"),
        *("trace_id", "$lib", "genops_team", "category", "capacity", "latency_ms", "filename"),
    ],
)
def test_names_that_only_look_alike_stay(name):
    assert HEALTH.apply({name: "x"}) == ({name: "x"}, {})


@pytest.mark.parametrize(("age", "left"), [(42, 42), (89, 89), (90, 90), (104, 90), (93.5, 90), ("ninety-one", None)])
def test_ages_over_89_are_one_category(age, left):
    assert HEALTH.apply({"age": age, "patientAge": age})[0] == {"age": left, "patientAge": left}


def test_the_given_properties_are_not_changed():
    given = {"email": "a@example.com", "deep": [{"phone": 1}]}
    HEALTH.apply(given)
    assert given == {"email": "a@example.com", "deep": [{"phone": 1}]}


@dataclass
class Patient:
    email: str
    ward: str


def test_what_the_sdk_would_take_apart_later_is_looked_into():
    model = SimpleNamespace(model_dump=lambda: {"phone": "1", "ward": "b"})
    kept, counts = HEALTH.apply({"one": Patient("a@example.com", "a"), "two": model, "three": ({"ssn": 1}, {"x"})})
    assert kept == {"one": {"ward": "a"}, "two": {"ward": "b"}, "three": [{}, ["x"]]}
    assert counts.total() == 3


def test_what_cannot_be_looked_into_does_not_stay():
    loop: dict[str, object] = {"plan": "pro"}
    loop["again"] = loop
    kept, counts = HEALTH.apply({"thing": object(), "bytes": b"ada@example.com", "list": [object(), 1], "loop": loop})
    assert kept["list"] == [1]
    assert kept["loop"]["again"]["plan"] == "pro"
    assert "thing" not in kept
    assert "bytes" not in kept
    assert counts == {OPAQUE: 4}


def test_an_application_may_deny_further_names():
    rules = PropertyRules(deny=("diagnosis*", "cardNumber"))
    kept, counts = rules.apply({"diagnosis_code": 1, "card-number": 2, "email": 3})
    assert kept == {"email": 3}
    assert counts == {DENIED: 2}


def test_ids_of_people_are_replaced_wherever_they_are():
    rules = PropertyRules(pseudonymise=("email",), pseudonyms=PEOPLE)
    kept, counts = rules.apply(
        {"email": "ada@example.com", "userId": 7, "who": "ada", "with": ["ada", "bob"], "n": 1, "user_id": None}, "ada"
    )
    ada = PEOPLE.of("ada")
    assert kept == {
        **{"email": PEOPLE.of("ada@example.com"), "userId": PEOPLE.of("7"), "who": ada, "with": [ada, "bob"]},
        **{"n": 1, "user_id": None},
    }
    assert counts == {PSEUDONYMISED: 4}
    assert rules.apply(kept, "ada") == (kept, {}), "a pseudonym stays as it is"


def test_health_data_with_a_key_keeps_pseudonyms_of_ids_and_nothing_else():
    rules = PropertyRules(safe_harbor=True, pseudonyms=PEOPLE)
    assert rules.apply({"user_id": "u-1", "email": "x"})[0] == {"user_id": PEOPLE.of("u-1")}


NAMES = st.sampled_from(["email", "phoneNumber", "ssn", "plan", "items", "$set", "note", "patient_name"])
NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just("SECRET"), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=25,
)


@pytest.mark.requirement("S4-51", "E-29")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a shared machine may pause at any example
@given(st.dictionaries(NAMES, NESTED, max_size=6))
def test_no_denied_name_is_left_at_any_depth_and_nothing_else_is_gone(properties):
    kept, counts = HEALTH.apply(properties)
    text = json.dumps(kept)
    assert not re.search(r'"(email|phoneNumber|ssn|patient_name)":', text)
    assert kept == _without(properties)
    assert counts.total() == _denied(properties)


def _is_denied(name):
    return name in ("email", "phoneNumber", "ssn", "patient_name")


def _without(value):
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if not _is_denied(name)}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def _denied(value):
    if isinstance(value, dict):
        return sum(1 if _is_denied(name) else _denied(inner) for name, inner in value.items())
    return sum(map(_denied, value)) if isinstance(value, list) else 0
