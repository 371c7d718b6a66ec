"""Any value as the text of a field.

Repaired or left out, never raised over, remarked on once, and not shown where it may name a customer or a person.
"""

from __future__ import annotations

import logging
import string
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.attribution.clean import warn_once

PRIVATE_FIELDS = ("customer_id", "user_id", "workspace_id", "organization_id", "session_id")


class Team(Enum):
    CHECKOUT = "checkout"


class TextTeam(str, Enum):
    CHECKOUT = "checkout"


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


class WithoutText:
    def __str__(self) -> str:
        raise RuntimeError("secret")


class WithoutObject:
    """Like a request-local proxy outside of any request."""

    @property
    def __class__(self) -> type:
        raise RuntimeError("no request")


def messages(caplog):
    return [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" checkout ", "checkout"),
        (Team.CHECKOUT, "checkout"),
        (TextTeam.CHECKOUT, "checkout"),
        (Loud("checkout"), "checkout"),
        (42, "42"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_values_with_an_obvious_text_are_taken_without_a_word(value, text, caplog):
    assert Attribution(project=value).project == text
    assert messages(caplog) == []


@pytest.mark.parametrize(
    ("value", "text", "said"),
    [
        (True, "True", "is of type bool and taken as its text; give a string"),
        (4.5, "4.5", "is of type float and taken as its text; give a string"),
        (PurePosixPath("a/b"), "a/b", "is of type PurePosixPath and taken as its text; give a string"),
        (["a"], "['a']", "is of type list and taken as its text; give a string"),
        (b"caf\xc3\xa9\xff", "caf\xe9\ufffd", "is bytes, read as UTF-8; give a string"),
        (float("nan"), None, "is not a number (NaN or infinite); it is left out"),
        (WithoutText(), None, "is of type WithoutText, whose text cannot be had (RuntimeError); it is left out"),
        (WithoutObject(), None, "is of type WithoutObject, whose text cannot be had (RuntimeError); it is left out"),
        (object(), None, "is of type object, which has no text of its own; it is left out. Give a string"),
        (int, None, "is of type type, which has no text of its own; it is left out. Give a string"),
        (messages, None, "is of type function, which has no text of its own; it is left out. Give a string"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_never_raise_and_are_remarked_on_once(value, text, said, caplog):
    assert Attribution(project=value).project == text
    assert Attribution(project=value).project == text
    assert messages(caplog) == [f"Attribution: project {said}"]


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (0, "0"), (0.5, "0.5"), (Team.CHECKOUT, "checkout")]
)
def test_in_a_tag_booleans_and_numbers_are_usual(value, text, caplog):
    assert Attribution(tags={"tier": value}).tags == {"tier": text}
    assert messages(caplog) == []


def test_a_decimal_in_a_tag_is_taken_as_its_text(caplog):
    assert Attribution(tags={"rate": Decimal("0.10")}).tags == {"rate": "0.10"}
    assert messages(caplog) == ["Attribution: tag rate is of type Decimal and taken as its text; give a string"]


def test_an_integer_of_any_length_is_cut_or_left_out():
    assert len(Attribution(project=10**5000).project or "") in (0, 256)


def test_a_long_value_is_cut(caplog):
    owner = Attribution(project="x" * 10_000_000, feature="checkout")
    assert owner.project == "x" * 256
    assert messages(caplog) == [
        "Attribution: project is longer than 256 characters and is cut; use a short, stable name"
    ]


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028", chr(0xD800), chr(0xDFFF)])
def test_what_cannot_be_printed_or_encoded_is_replaced(character, caplog):
    assert Attribution(project=f"a{character}b").project == "a\ufffdb"
    assert messages(caplog) == [
        "Attribution: project holds characters that cannot be printed or encoded; each is replaced by U+FFFD"
    ]


@pytest.mark.parametrize("text", ["café", "日本語", "👩‍💻", "a b"])
def test_text_of_any_language_stays_as_it_is(text, caplog):
    assert Attribution(project=text).project == text
    assert messages(caplog) == []


@given(st.text(st.characters(categories=None), max_size=400) | st.binary(max_size=400) | st.floats() | st.integers())
def test_the_text_of_any_value_is_short_encodable_stripped_and_stable(value):
    text = Attribution(project=value).project
    if text is not None:
        assert 0 < len(text) <= 256
        assert text.encode().decode() == text == text.strip()
        assert not set(text) & set(map(chr, range(32)))
        assert Attribution(project=text).project == text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("team", "Checkout Team", "is 'Checkout Team', which"),
        ("environment", "mars", "is 'mars', which"),
        ("feature", "x", "has a value that"),
        ("customer_id", "anna@example.org", "has a value that"),
    ],
)
def test_a_value_of_an_unusual_form_is_used_and_remarked_on_once(field, value, said, caplog):
    for _ in range(3):
        assert getattr(Attribution(**{field: value}), field) == value
    (message,) = messages(caplog)
    assert message.startswith(f"Attribution: {field} {said} is not of the usual form (")
    assert message.endswith("); it is used as it is")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("team", "checkout"),
        ("team", "growth-eu_2"),
        ("environment", "production"),
        ("environment", "production-primary"),
        ("environment", "prod"),
        ("feature", "One-click checkout"),
        ("customer_id", "Acme_42:eu.west-1"),
        ("user_id", "anna@example.org"),
    ],
)
def test_a_value_of_the_usual_form_is_not_remarked_on(field, value, caplog):
    assert getattr(Attribution(**{field: value}), field) == value
    assert messages(caplog) == []


@pytest.mark.parametrize("field", PRIVATE_FIELDS)
def test_no_warning_shows_who_the_customer_or_the_user_is(field, caplog):
    for secret in ("s3cr3t ?", "s3cr3t\x00", "s3cr3t" * 100, b"s3cr3t", ["s3cr3t"], float("nan"), WithoutText()):
        Attribution(**{field: secret})
    assert messages(caplog)
    assert "s3cr3t" not in caplog.text
    assert "secret" not in caplog.text


def test_no_warning_shows_the_value_of_a_tag(caplog):
    for secret in ("s3cr3t\x00", "s3cr3t" * 100, b"s3cr3t", ["s3cr3t"]):
        Attribution(tags={"account": secret})
    assert messages(caplog)
    assert "s3cr3t" not in caplog.text


def test_warnings_about_a_field_end_after_ten_different_ones(caplog):
    for number in range(1000):
        Attribution(team=f"Team {number}")
    assert len(messages(caplog)) == 11
    assert messages(caplog)[-1] == "There are more warnings about team; they are not logged"


def test_one_field_with_many_warnings_does_not_silence_another(caplog):
    for number in range(1000):
        Attribution(team=f"Team {number}")
    Attribution(environment="mars")
    assert "environment is 'mars'" in messages(caplog)[-1]


def test_warnings_go_to_the_logger_of_the_room(caplog):
    Attribution(team="Checkout Team")
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("genops_otel_posthog.attribution", logging.WARNING)
    ]


@pytest.mark.parametrize("tags", ["tier=gold", ["tier"], 7, object()])
def test_tags_that_are_not_a_mapping_are_left_out_and_remarked_on(tags, caplog):
    assert Attribution(tags=tags) == NOBODY
    assert messages(caplog) == [
        f"Attribution: tags are of type {type(tags).__name__} "
        "and not a mapping like {'platform': 'ios'}; none is used"
    ]


class Unreadable(dict):
    def items(self):
        raise OSError("gone")


@pytest.mark.parametrize(
    ("tags", "error"),
    [(WithoutObject(), "RuntimeError"), (Unreadable(tier="gold"), "OSError")],
    ids=["proxy", "mapping"],
)
def test_tags_that_cannot_be_read_are_left_out_and_remarked_on(tags, error, caplog):
    assert Attribution(tags=tags) == NOBODY
    assert messages(caplog) == [
        f"Attribution: tags are of type {type(tags).__name__}, which cannot be read ({error}); none is used"
    ]


def test_tags_may_be_any_mapping():
    assert Attribution(tags=MappingProxyType({"tier": "gold"})).tags == {"tier": "gold"}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("app version", "app_version"),
        ("größe", "gr__e"),
        ("x" * 100, "x" * 64),
        (Team.CHECKOUT, "checkout"),
        (7, "7"),
    ],
)
def test_the_key_of_a_tag_becomes_letters_digits_and_three_signs(key, name):
    assert Attribution(tags={key: "x"}).tags == {name: "x"}


def test_a_tag_key_that_had_to_be_changed_is_remarked_on(caplog):
    Attribution(tags={"app version": "2"})
    assert messages(caplog) == [
        "Attribution: tags have a key that is read as 'app_version'; a key is up to 64 letters, digits and _ . -"
    ]


@pytest.mark.parametrize("key", ["", " ", None, WithoutText()], ids=["empty", "blank", "none", "without text"])
def test_a_tag_without_a_key_is_left_out(key):
    assert Attribution(tags={key: "x", "tier": "gold"}).tags == {"tier": "gold"}


def test_of_ten_thousand_tags_the_first_32_are_kept(caplog):
    owner = Attribution(tags={f"t{number}": number for number in range(10_000)})
    assert list(owner.tags) == [f"t{number}" for number in range(32)]
    assert len(messages(caplog)) == 1


def test_a_mapping_that_is_changed_afterwards_changes_nothing():
    tags = {"tier": "gold"}
    owner = Attribution(tags=tags)
    tags["tier"] = "silver"
    assert owner.tags == {"tier": "gold"}


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=5), max_size=40))
def test_every_tag_that_is_kept_can_be_an_attribute(tags):
    allowed = set(string.ascii_letters + string.digits + "_.-")
    kept = Attribution(tags=tags).tags
    assert len(kept) <= 32
    assert all(key and len(key) <= 64 and set(key) <= allowed for key in kept)


ODD = st.sampled_from([WithoutText(), object(), int, len, ...])
ANYTHING = st.recursive(
    ODD | st.booleans() | st.floats() | st.binary() | st.decimals() | st.dates() | st.complex_numbers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["team", "customer_id", "tags"], ANYTHING)))
def test_no_value_of_any_type_raises(given_values):
    warn_once.forget()
    Attribution(**given_values)
