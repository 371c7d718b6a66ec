"""PostHog's acceptance rules for single values."""

from __future__ import annotations

import pytest

from genops_otel_posthog.acceptance import (
    ILLEGAL_DISTINCT_IDS,
    MAX_AI_EVENT_BYTES,
    MAX_EVENT_BYTES,
    distinct_id_problem,
    event_name_problem,
    masked_key,
    max_event_bytes,
    person_processing_allowed,
    project_key_problem,
    token_refusal,
    v0_distinct_id,
    v1_boolean_option,
    v1_drop,
)

PERSONAL_KEY = "phx_abcdefghijklmnopqrstuvwxyz0123"


@pytest.mark.parametrize("distinct_id", sorted(ILLEGAL_DISTINCT_IDS))
def test_an_illegal_distinct_id_turns_person_processing_off(distinct_id: str) -> None:
    assert not person_processing_allowed(distinct_id)


@pytest.mark.parametrize("distinct_id", ["Backend", "ANONYMOUS", "  system  ", "\tnull\n", " " * 40 + "guest"])
def test_case_and_surrounding_whitespace_do_not_make_an_illegal_distinct_id_legal(distinct_id: str) -> None:
    assert not person_processing_allowed(distinct_id)


@pytest.mark.parametrize(
    "distinct_id", ["user-1", "backend-7", "1", "b6a24fc0-18c6-41a4-a76c-216ab0ba6b34", "x" * 200, " user 1 "]
)
def test_the_id_of_a_person_keeps_person_processing_on(distinct_id: str) -> None:
    assert person_processing_allowed(distinct_id)


@pytest.mark.parametrize("name", ["user_signed_up", "$pageview", "a", "é" * 100, "x" * 200])
def test_an_ordinary_event_name_has_no_problem(name: str) -> None:
    assert event_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "empty"),
        (None, "must be a string, not NoneType"),
        (7, "must be a string, not int"),
        ("x" * 201, "201 bytes"),
        ("é" * 101, "202 bytes"),
        ("$performance_event", "drops $performance_event"),
        ("a\0b", "NUL"),
    ],
)
def test_an_event_name_that_posthog_will_not_take_as_it_is_is_explained(name: object, said: str) -> None:
    assert said in (event_name_problem(name) or "")


@pytest.mark.parametrize(
    ("distinct_id", "said"),
    [
        (None, "missing"),
        ("", "empty"),
        ("  ", "empty"),
        (17, "of type int"),
        ("x" * 201, "201 bytes"),
        ("a\0b", "NUL"),
        ("Backend ", "'Backend' names no person"),
    ],
)
def test_a_distinct_id_that_posthog_will_not_take_as_it_is_is_explained(distinct_id: object, said: str) -> None:
    assert said in (distinct_id_problem(distinct_id) or "")


@pytest.mark.parametrize("distinct_id", ["user-1", "x" * 200, "jane@example.com"])
def test_an_ordinary_distinct_id_has_no_problem(distinct_id: str) -> None:
    assert distinct_id_problem(distinct_id) is None


def test_a_message_about_a_long_distinct_id_does_not_repeat_it() -> None:
    assert "jane" not in (distinct_id_problem("jane@example.com" * 20) or "jane")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("x" * 65, "too_long"),
        ("phc_é", "not_ascii"),
        (PERSONAL_KEY, "personal_api_key"),
        ("phc_a\0b", "null_byte"),
    ],
)
def test_a_refused_key_has_posthogs_reason(key: str, reason: str) -> None:
    assert token_refusal(key) == reason


@pytest.mark.parametrize("key", ["phc_test", "  phc_test\n", "anything-up-to-64-characters", "x" * 64])
def test_a_key_that_breaks_no_rule_is_taken(key: str) -> None:
    assert token_refusal(key) is None
    assert project_key_problem(key) is None


def test_a_personal_key_is_named_as_such_with_what_to_use() -> None:
    problem = project_key_problem(PERSONAL_KEY) or ""
    assert "personal API key, not a project key" in problem
    assert "phc_" in problem


@pytest.mark.parametrize("key", [PERSONAL_KEY, "k" * 40 + "SECRET" + "k" * 40, "phc_éSECRETSECRET", "phx_SECRET"])
def test_no_message_shows_more_of_a_key_than_its_ends(key: str) -> None:
    problem = project_key_problem(key) or ""
    assert "SECRET" not in problem
    assert key not in problem


def test_a_missing_key_says_which_variable_to_set() -> None:
    assert "POSTHOG_API_KEY" in (project_key_problem(None) or "")


@pytest.mark.parametrize(("key", "shown"), [("phc_0123456789", "phc_…6789"), ("phc_12345", "phc_…"), ("abc", "…")])
def test_a_masked_key_keeps_its_ends_only_when_the_middle_is_long(key: str, shown: str) -> None:
    assert masked_key(key) == shown


@pytest.mark.parametrize(
    ("given", "kept", "changes"),
    [
        ("user-1", "user-1", ()),
        ("  user-1  ", "  user-1  ", ()),
        (23, "23", ("distinct_id_stringified",)),
        (23.4, "23.4", ("distinct_id_stringified",)),
        (["a", "b"], '["a","b"]', ("distinct_id_stringified",)),
        ({"b": 1, "a": "x"}, '{"a":"x","b":1}', ("distinct_id_stringified",)),
        ("x" * 222, "x" * 200, ("distinct_id_truncated",)),
        ("€" * 150, "€" * 150, ()),
        ("a\0b", "a\ufffdb", ("distinct_id_nul_replaced",)),
        ("", None, ()),
        (" \t", None, ()),
        (None, None, ()),
    ],
)
def test_v0_repairs_a_distinct_id_or_refuses_it(given: object, kept: str | None, changes: tuple[str, ...]) -> None:
    assert v0_distinct_id(given) == (kept, changes)


@pytest.mark.parametrize(
    ("name", "distinct_id", "reason"),
    [
        ("signed_up", "user-1", None),
        ("x" * 200, "y" * 200, None),
        ("", "user-1", "missing_event_name"),
        ("é" * 101, "user-1", "event_name_too_long"),
        ("signed_up", "", "missing_distinct_id"),
        ("signed_up", "é" * 101, "distinct_id_too_large"),
        ("$performance_event", "user-1", "dropped_performance_event"),
    ],
)
def test_v1_drops_what_v0_would_repair(name: str, distinct_id: str, reason: str | None) -> None:
    assert v1_drop(name, distinct_id) == reason


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (True, True),
        (False, False),
        ("TRUE", True),
        (" 0 ", False),
        ("1", True),
        (0, False),
        (2.5, True),
        ("yes", None),
        ([], None),
        (None, None),
    ],
)
def test_a_v1_option_is_a_boolean_or_what_reads_like_one(given: object, read: bool | None) -> None:
    assert v1_boolean_option(given) is read


def test_ai_events_and_the_ai_lane_have_room_for_prompts() -> None:
    assert max_event_bytes("signed_up", ai_lane=False) == MAX_EVENT_BYTES
    assert max_event_bytes("$ai_generation", ai_lane=False) == MAX_AI_EVENT_BYTES
    assert max_event_bytes("signed_up", ai_lane=True) == MAX_AI_EVENT_BYTES
