"""The gate: PostHog's own published tests must pass with the instrumentor active exactly as they pass without it.

The SDK ships its tests inside its wheel. They are the best description there is of what the SDK does for an
application, so a test that passes alone and fails under instrumentation is a change of behaviour that a user could
meet. The gate runs them twice, without and with ``PostHogInstrumentor``, compares test by test, and also counts the
spans made: a run without spans would prove nothing.

The suite runs from a copy of the installed package outside ``site-packages``, because some of its tests look at whether
a frame belongs to the application, and everything in ``site-packages`` does not.

Usage: ``python scripts/sdk_suite.py [--core | --files test_client.py …] [--fresh]``, in an environment that has the
tests' dependencies (``python3 scripts/run.py sdk-suite`` makes one).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import distribution, distributions, version
from pathlib import Path

from sdk_suite_plugin import INSTRUMENT, REPORT

ROOT = Path(__file__).resolve().parent.parent
WORKPLACE = ROOT / ".venvs" / "sdk-suite-work"
SUITE = Path("posthog", "test")

# They read files of PostHog's repository that its wheel does not contain (workflows, scenarios, fixtures, a reference
# page).
NEEDS_THE_REPOSITORY = (
    "test_posthog_upgrade_workflow.py",
    "test_experiment_exposure.py",
    "test_flags_released_behaviour.py",
    "test_flags_v4_response.py",
    "test_reference_markdown.py",
    "test_utils_acceptance.py",
)

# What the instrumentor touches most, without the files that wait for timers or need AI and web frameworks: about half a
# minute.
CORE = (
    "test_ai_capture_lane.py",
    "test_async_client.py",
    "test_async_consumer.py",
    "test_async_feature_flags.py",
    "test_before_send.py",
    "test_capture_v1.py",
    "test_client.py",
    "test_client_fork.py",
    "test_contexts.py",
    "test_emails.py",
    "test_evaluate_flags.py",
    "test_exception_capture.py",
    "test_feature_flag.py",
    "test_feature_flag_called_minimization.py",
    "test_feature_flag_has_experiment.py",
    "test_feature_flag_result.py",
    "test_feature_flags.py",
    "test_flag_definition_cache.py",
    "test_flag_payload_parsing.py",
    "test_module.py",
    "test_request.py",
)

# (tests that pass without the instrumentor, spans made with it), at least. Fewer mean that the suite or the
# instrumentor was not really there. With posthog 7.91.1 the whole passes 5,811 tests, the core 1,679 with 6,300 spans.
AT_LEAST = {"whole": (5_000, 5_000), "core": (1_500, 3_000), "files": (1, 1)}

HARNESS = ("sdk_suite", "sdk_suite_plugin", "loopback_only")
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
BEST_OF = 3
OPTIONS = ["--timeout=120"]


@dataclass(frozen=True)
class Outcomes:
    """What one run of the suite left behind."""

    by_test: dict[str, str]
    spans: int

    @classmethod
    def read(cls, report: Path) -> Outcomes:
        """Read a report of the plugin, or what ``write`` wrote."""
        content = json.loads(report.read_text(encoding="utf-8"))
        return cls(content["outcomes"], content["spans"])

    def write(self, path: Path) -> None:
        """Keep it for a later time; the file is there as a whole or not at all."""
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"outcomes": self.by_test, "spans": self.spans}), encoding="utf-8")
        partial.replace(path)

    def steadied(self, tree: Path, suspects: set[str], *, instrument: bool) -> Outcomes:
        """The same after the suspects have run again, alone: on a busy machine a test that waits may fail once."""
        by_test = dict(self.by_test)
        for _ in range(BEST_OF - 1):
            if suspects:
                with closing(PytestRun("again", tree, sorted(suspects), instrument=instrument)) as again:
                    passed_now = again.result().passed
                by_test.update(dict.fromkeys(passed_now, "passed"))
                suspects = suspects - passed_now
        return Outcomes(by_test, self.spans)

    @property
    def not_collected(self) -> list[str]:
        """The files that could not be imported, so that none of their tests ran."""
        return sorted(test for test in self.by_test if "::" not in test)

    @property
    def failed(self) -> set[str]:
        """The ids of the tests that failed."""
        return {test for test, outcome in self.by_test.items() if outcome in {"failed", "error"}}

    @property
    def passed(self) -> set[str]:
        """The ids of the tests that passed."""
        return {test for test, outcome in self.by_test.items() if outcome == "passed"}


class SuiteError(Exception):
    """The suite could not be run to its end."""


def suite_tree() -> Path:
    """A copy of the installed SDK, tests included, outside ``site-packages``; made once per version."""
    tree = WORKPLACE / f"posthog-{version('posthog')}"
    if not tree.exists():
        installed = Path(str(distribution("posthog").locate_file("posthog")))
        partial = tree.with_name(f"{tree.name}.partial-{os.getpid()}")
        shutil.copytree(installed, partial / "posthog", ignore=shutil.ignore_patterns("__pycache__"))
        partial.replace(tree)
    return tree


class PytestRun:
    """One run of pytest over the suite, in its own process."""

    def __init__(self, name: str, tree: Path, tests: list[str], *, instrument: bool) -> None:
        """Start it on ``tests`` (paths or node ids below ``tree``); ``name`` names its log, which stays."""
        self._report = WORKPLACE / f"{name}-{os.getpid()}.json"
        self._log = WORKPLACE / f"last-run-{name}.log"
        ini = WORKPLACE / "pytest.ini"
        ini.write_text(INI, encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSTHOG_", "GENOPS_", "OTEL_", "PYTEST_"))}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT / "scripts")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_STATE_HOME": str(WORKPLACE / "state"),
            REPORT: str(self._report),
            **({INSTRUMENT: "1"} if instrument else {}),
        }
        ignored = [f"--ignore={SUITE / name}" for name in NEEDS_THE_REPOSITORY]
        command = [sys.executable, "-m", "pytest", "-c", str(ini), f"--rootdir={tree}", "-p", "no:cacheprovider"]
        command += ["-p", "sdk_suite_plugin", "-q", *OPTIONS, *ignored, *tests]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def result(self) -> Outcomes:
        """Wait for the end and read what was recorded.

        Raises:
            SuiteError: pytest did not get as far as writing its report, or could not import all test files.
        """
        self.process.wait()
        if not self._report.exists():
            tail = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
            raise SuiteError(
                f"pytest ended with code {self.process.returncode} and no report; the end of {self._log}:\n{tail}"
            )
        outcomes = Outcomes.read(self._report)
        if outcomes.not_collected:
            raise SuiteError(f"not even collected: {', '.join(outcomes.not_collected)}; see {self._log}")
        return outcomes

    def close(self) -> None:
        """End the process if it still runs and remove the report, but not the log."""
        self.process.kill()
        self.process.wait()
        self._report.unlink(missing_ok=True)


def wait_aloud(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process, saying every quarter of a minute that it still runs."""
    started = time.monotonic()
    while process.poll() is None:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            print(f"  … running, {time.monotonic() - started:.0f} s", flush=True)


def baseline_key(tests: list[str]) -> str:
    """Names the un-instrumented result that may be used again: same packages, same Python, same tests, same harness."""
    installed = sorted(f"{package.name}=={package.version}" for package in distributions())
    harness = [Path(__file__).with_name(f"{name}.py").read_text() for name in HARNESS]
    digest = hashlib.sha256(json.dumps([installed, sys.version, tests, harness]).encode()).hexdigest()
    return f"without-{version('posthog')}-{sys.version_info[0]}.{sys.version_info[1]}-{digest[:12]}"


def both_runs(tree: Path, tests: list[str], *, fresh: bool) -> tuple[Outcomes, Outcomes]:
    """The suite without and with the instrumentor, side by side; the first is not repeated where it is known."""
    baseline = WORKPLACE / f"{baseline_key(tests)}.json"
    known = baseline.exists() and not fresh
    print(f"  without the instrumentor: {'known from earlier' if known else 'running'}; with it: running", flush=True)
    with ExitStack() as running:
        under = running.enter_context(closing(PytestRun("with", tree, tests, instrument=True)))
        if known:
            without = Outcomes.read(baseline)
            wait_aloud(under.process)
        else:
            alone = running.enter_context(closing(PytestRun("without", tree, tests, instrument=False)))
            # This one first: when it cannot even start, nobody waits for the other.
            wait_aloud(under.process)
            under.result()
            wait_aloud(alone.process)
            outcomes = alone.result()
            without = outcomes.steadied(tree, outcomes.failed, instrument=False)
            without.write(baseline)
        return without, under.result()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="PostHog's own tests, without and with the instrumentor.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--core", action="store_true", help="only the files that the instrumentor touches most")
    which.add_argument("--files", nargs="+", metavar="FILE", help="only these, as named below posthog/test")
    parser.add_argument(
        "--fresh", action="store_true", help="run without the instrumentor again, even if its result is known"
    )
    return parser.parse_args()


def main() -> int:
    """Run, compare, print. Returns 0 when nothing that passed alone fails under instrumentation."""
    options = arguments()
    scope = "core" if options.core else "files" if options.files else "whole"
    WORKPLACE.mkdir(parents=True, exist_ok=True)
    tree = suite_tree()
    names = {"core": CORE, "files": options.files or (), "whole": ("",)}[scope]
    missing = [name for name in names if not (tree / SUITE / name).exists()]
    if options.files and missing:
        print(f"posthog {version('posthog')} has no {', '.join(missing)} below posthog/test", file=sys.stderr)
        return 2
    tests = [str(SUITE / name) for name in names if name not in missing]
    print(
        f"PostHog's own tests, posthog {version('posthog')}, Python {sys.version.split()[0]}, {scope} suite", flush=True
    )
    try:
        without, first = both_runs(tree, tests, fresh=options.fresh)
        under = first.steadied(tree, without.passed - first.passed, instrument=True)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 1
    return compare(without, first, under, *AT_LEAST[scope])


def compare(without: Outcomes, first: Outcomes, under: Outcomes, least_passed: int, least_spans: int) -> int:
    """Print what the runs found and return the exit code; ``first`` is ``under`` before its suspects ran again."""
    failing = without.passed - under.passed
    unsteady = under.passed - first.passed
    others = Counter(outcome for outcome in without.by_test.values() if outcome != "passed")
    print(f"  passed without the instrumentor  {len(without.passed):>7,}  (at least {least_passed:,})")
    print(f"  passed with the instrumentor     {len(under.passed):>7,}")
    print(f"  newly failing                    {len(failing):>7,}")
    print(f"  passed only when run again       {len(unsteady):>7,}")
    print(f"  not passing by themselves        {others.total():>7,}  {dict(others) or ''}".rstrip())
    print(f"  spans made                       {under.spans:>7,}  (at least {least_spans:,})")
    if failing or unsteady:
        print(f"  the output is in {WORKPLACE.relative_to(ROOT)}/last-run-*.log")
    for test in sorted(unsteady):
        print(f"  passed only when run again: {test}")
    for test in sorted(failing):
        print(f"  newly failing: {test} ({under.by_test.get(test, 'not run')})")
    meaningful = len(without.passed) >= least_passed and under.spans >= least_spans
    if not meaningful:
        print(
            "  too few tests or spans: the suite or the instrumentor was not really there, so this run proves nothing"
        )
    same = meaningful and not failing
    print("no difference" if same else "DIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
