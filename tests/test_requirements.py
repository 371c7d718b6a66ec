"""Every requirement has a test that names it; every number that a test names exists."""

from __future__ import annotations

import pytest

import generate_requirements as script
from generate_semconv import ROOT

NUMBERS = {number for section in script.sections(ROOT) for number in section.requirements}
NAMED = {claim.number for claim in script.claims(ROOT)}


def test_the_committed_page_is_a_fresh_rendering():
    for path, text in script.rendered(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: run `make format`"


def test_what_tests_name_are_requirements():
    unknown = NAMED - NUMBERS
    assert unknown == set()


def test_every_requirement_has_a_test_that_names_it():
    without_a_test = NUMBERS - NAMED
    assert without_a_test == set()


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('@pytest.mark.requirement("S3-01", "E-36")\ndef test_it(): ...', [("E-36", "test_it"), ("S3-01", "test_it")]),
        ('@pytest.mark.requirement("S3-01")\nasync def test_it(): ...', [("S3-01", "test_it")]),
        (
            '@pytest.mark.parametrize("x", [pytest.param(1, marks=mark.requirement("S0-21"))])\ndef test_it(x): ...',
            [("S0-21", "test_it")],
        ),
        ('pytestmark = [pytest.mark.slow, pytest.mark.requirement("S0-33")]', [("S0-33", None)]),
        ("def test_it(): ...", []),
    ],
    ids=["several", "asynchronous", "parameter", "file", "none"],
)
def test_a_number_is_named_by_a_mark(text, claims, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(text)
    assert [(claim.number, claim.test) for claim in script.claims(tmp_path)] == claims


def test_a_number_that_is_computed_is_refused(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text('@pytest.mark.requirement(f"S3-{1}")\ndef test_it(): ...')
    with pytest.raises(ValueError, match=r"test_it\.py:1: a requirement is named by a plain string"):
        script.claims(tmp_path)
