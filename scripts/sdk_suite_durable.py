"""PostHog's own tests with durable captures: what they find different is listed, and meant.

With ``GENOPS_DURABLE_CAPTURE`` events do not enter the SDK's queue, and many of its tests look into that. Each that
fails for this is in ``sdk_suite_durable.toml``, with the reason. This script runs the core of the suite as
``sdk_suite.py`` does, and fails when a test fails that is not listed, or when one that is listed passes.

Usage: ``python scripts/sdk_suite_durable.py [--files test_client.py …]``, or ``python3 scripts/run.py sdk-suite
--durable``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import sdk_suite
from sdk_suite_plugin import OUTBOX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECONDS = 20
"""Most time of a test: many of those that are listed wait for a request of the SDK that is never made."""
WITHOUT = ("test_evaluate_flags.py",)
"""Files of the core that wait for flags, and capture nothing else."""
LIST = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Differences:
    """The list.

    Attributes:
        posthog: The version of the SDK that it was made with.
        different: Tests that fail.
        not_run: Those that would never end.
    """

    posthog: str
    different: frozenset[str]
    not_run: frozenset[str]

    @classmethod
    def read(cls) -> Differences:
        """Read the list."""
        content = tomllib.loads(LIST.read_text(encoding="utf-8"))
        tests: dict[bool, set[str]] = {True: set(), False: set()}
        for difference in content["difference"]:
            tests[difference.get("run", True)].update(difference["tests"])
        return cls(content["posthog"], frozenset(tests[True]), frozenset(tests[False]))


def main() -> int:
    """Run, compare with the list, print. Returns 0 when the list is exact."""
    parser = argparse.ArgumentParser(description="PostHog's own tests with durable captures.")
    parser.add_argument("--files", nargs="+", metavar="FILE", help="only these, as named below posthog/test")
    parser.add_argument("--durable", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    differences = Differences.read()
    if version("posthog") != differences.posthog:
        print(f"{LIST.name} is for posthog {differences.posthog}, not for {version('posthog')}: make the list anew")
        return 2
    sdk_suite.WORKPLACE.mkdir(parents=True, exist_ok=True)
    tree = sdk_suite.suite_tree()
    names = options.files or [name for name in sdk_suite.CORE if name not in WITHOUT]
    tests = [str(sdk_suite.SUITE / name) for name in names]
    # Tracebacks of so many failures would take longer than the tests.
    not_run = [f"--deselect={sdk_suite.SUITE / test}" for test in sorted(differences.not_run)]
    sdk_suite.OPTIONS = [f"--timeout={SECONDS}", "--tb=line", *not_run]
    print(f"PostHog's own tests with durable captures, posthog {differences.posthog}", flush=True)
    with tempfile.TemporaryDirectory() as outbox:
        os.environ[OUTBOX] = outbox
        try:
            without, first = sdk_suite.both_runs(tree, tests, fresh=False)
            if len(first.by_test) < len(without.by_test):
                raise sdk_suite.SuiteError(f"the run ended early; see {sdk_suite.WORKPLACE / 'last-run-with.log'}")
            suspects = {test for test in without.passed - first.passed if _short(test) not in differences.different}
            under = first.steadied(tree, suspects, instrument=True)
        except sdk_suite.SuiteError as error:
            print(error, file=sys.stderr)
            return 1
    return compare(without, under, differences)


def compare(without: sdk_suite.Outcomes, under: sdk_suite.Outcomes, differences: Differences) -> int:
    """Print what the list does not say, and return the exit code."""
    listed = differences.different
    ran = {_short(test) for test in without.passed}
    failing = {_short(test) for test in without.passed - under.passed}
    unlisted, passing = failing - listed, (listed & ran) - failing
    print(f"  passed without the instrumentor  {len(without.passed):>7,}")
    print(f"  passed with durable captures     {len(under.passed):>7,}")
    print(f"  different, as listed             {len(failing & listed):>7,}")
    print(f"  different, and not listed        {len(unlisted):>7,}")
    print(f"  listed, and not different        {len(passing):>7,}")
    print(f"  listed, and not run              {len(differences.not_run):>7,}")
    print(f"  spans made                       {under.spans:>7,}")
    for test in sorted(unlisted):
        print(f"  not listed: {test}")
    for test in sorted(passing):
        print(f"  not different: {test}")
    as_listed = not unlisted and not passing and under.spans > 0 and len(failing) < len(ran)
    print("as listed" if as_listed else "NOT AS LISTED")
    return 0 if as_listed else 1


def _short(test: str) -> str:
    return test.removeprefix("posthog/test/")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
