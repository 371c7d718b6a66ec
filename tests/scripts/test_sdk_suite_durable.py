"""The list of what PostHog's own tests find different with durable captures names tests that exist, each once."""

from __future__ import annotations

import re
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from sdk_suite_durable import LIST, Differences, tomllib

pytestmark = pytest.mark.newest

CONTENT = tomllib.loads(LIST.read_text(encoding="utf-8"))
TESTS = [test for difference in CONTENT["difference"] for test in difference["tests"]]
SUITE = Path(str(distribution("posthog").locate_file("posthog"))) / "test"


def test_no_test_is_listed_twice_and_each_difference_has_a_reason() -> None:
    assert len(TESTS) == len(set(TESTS))
    assert all(difference["why"] for difference in CONTENT["difference"])
    differences = Differences.read()
    assert differences.different | differences.not_run == set(TESTS)


@pytest.mark.skipif(version("posthog") != CONTENT["posthog"], reason="the list is for another version of the SDK")
def test_every_test_that_is_listed_exists() -> None:
    for test in TESTS:
        file, _, name = test.partition("::")
        function = re.sub(r"\[.*|_\d+_\w+$", "", name.rpartition("::")[2].partition("[")[0])
        assert f"def {function}(" in (SUITE / file).read_text(encoding="utf-8"), test
