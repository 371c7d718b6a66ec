"""Pseudonyms: stable, keyed, and not to be undone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms, is_pseudonym, local_pseudonyms

from .conftest import PSEUDONYM_KEY

ONE = Pseudonyms(PSEUDONYM_KEY)


@given(st.text(st.characters()))
def test_every_text_has_one_pseudonym_that_looks_like_one(identity):
    assert ONE.of(identity) == Pseudonyms(PSEUDONYM_KEY).of(identity)
    assert is_pseudonym(ONE.of(identity))


@given(st.text(), st.text())
def test_different_people_have_different_pseudonyms(one, other):
    assert (ONE.of(one) == ONE.of(other)) is (one == other)


def test_another_key_makes_other_pseudonyms_also_when_it_differs_at_its_end():
    assert Pseudonyms("x" * 100 + "1").of("ada") != Pseudonyms("x" * 100 + "2").of("ada")


def test_a_key_that_could_be_guessed_is_refused():
    with pytest.raises(ValueError, match="at least 32 characters"):
        Pseudonyms("x" * 31)


def test_the_key_is_not_shown():
    assert PSEUDONYM_KEY not in repr(ONE) + repr(vars(ONE))


@pytest.mark.parametrize("text", ["ada", "p_", "p_" + "g" * 32, "p_" + "a" * 31, "q_" + "a" * 32])
def test_an_id_is_not_taken_for_a_pseudonym(text):
    assert not is_pseudonym(text)


def test_the_key_of_a_directory_is_made_once_for_its_user_alone(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: local_pseudonyms(tmp_path).of("ada"), range(32)))
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["subjects.key"]
    assert stat.S_IMODE((tmp_path / "subjects.key").stat().st_mode) == 0o600


def test_a_key_file_without_a_key_is_an_error_and_not_a_new_key(tmp_path):
    (tmp_path / "subjects.key").write_text("")
    with pytest.raises(ValueError, match="there is no key in"):
        local_pseudonyms(tmp_path)
