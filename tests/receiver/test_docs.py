"""The page on the receiver says what the receiver does."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from genops_otel_posthog.acceptance import ILLEGAL_DISTINCT_IDS
from genops_otel_posthog.cli.dev import dev
from genops_otel_posthog.receiver.capture_v1 import REQUIRED_HEADERS
from genops_otel_posthog.receiver.faults import PATH_NAMES, FaultRule
from genops_otel_posthog.receiver.flag_evaluation import read_definitions
from genops_otel_posthog.receiver.query import LISTINGS
from genops_otel_posthog.receiver.quotas import RESOURCES
from genops_otel_posthog.receiver.server import environment_for

pytestmark = pytest.mark.docs

PAGE = (Path(__file__).parents[2] / "docs" / "receiver.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("code", "printed"),
    [(code, after[1]) for (kind, code), after in itertools.pairwise(BLOCKS) if kind == "python"],
)
def test_an_example_prints_what_the_page_says(code: str, printed: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "docs/receiver.md", "exec"), {})
    assert output.getvalue() == printed


def test_the_flags_of_the_page_can_be_read() -> None:
    (document,) = (text for kind, text in BLOCKS if kind == "json")
    assert list(read_definitions(json.loads(document), source="page").by_key) == ["new-checkout"]


@pytest.mark.parametrize(
    "name",
    [
        *sorted(ILLEGAL_DISTINCT_IDS),
        *sorted(RESOURCES),
        *PATH_NAMES,
        *sorted(REQUIRED_HEADERS),
        *(one.name for one in fields(FaultRule)),
        *(f"/api/{name}" for name in LISTINGS),
    ],
)
def test_the_page_names(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_has_every_option_of_the_command() -> None:
    for parameter in dev.params:
        assert any(f"`{option}" in PAGE for option in parameter.opts), parameter.name


def test_the_page_has_the_environment_the_command_prints() -> None:
    for name, value in environment_for("http://127.0.0.1:8123").items():
        assert f"export {name}={value}" in PAGE
