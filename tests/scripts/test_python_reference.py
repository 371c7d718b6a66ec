"""The page of the Python API says what the docstrings say."""

from __future__ import annotations

import generate_python_reference


def test_the_committed_page_is_what_the_docstrings_give():
    assert generate_python_reference.PAGE.read_text(encoding="utf-8") == generate_python_reference.render()


def test_every_public_name_has_a_section_with_a_text():
    page = generate_python_reference.render()
    for name in generate_python_reference.genops_otel_posthog.__all__:
        if not name.startswith("__"):
            assert f"## `{name}`\n" in page
    assert "\n\n\n" not in page
