"""The two commands of a newcomer, and the pieces they are made of.

    python3 scripts/run.py demo     the main job, on an example web shop
    python3 scripts/run.py test     everything that must hold before a change is accepted

Nothing but Python 3.10 or newer and PyPI is needed: environments are made below ``.venvs`` and used again. ``run.py
--help`` lists the pieces; arguments that are not listed go to pytest (or to the command that is run).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - this file is started with whatever Python there is
    sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}. Try: python3.13 {' '.join(sys.argv)}")

from environments import ROOT, VENVS, Environment, EnvironmentFailure, clean_environ, remove_all

CHECKED = ["src", "scripts", "tests", "benchmarks", "examples"]
GENERATORS = sorted(path.relative_to(ROOT) for path in (ROOT / "scripts").glob("generate_*.py"))
ANSI = re.compile(r"\x1b\[[0-9;]*m")
PYTEST_SUMMARY = re.compile(r"\d+ (passed|failed|errors?|skipped|deselected|xfailed|warnings?)\b.* in [\d.]+s")
PYTEST_FOUND_NO_TEST = 5

# Tests of what imports neither PostHog nor OpenTelemetry nor any other dependency whose version could matter: files,
# processes that are killed, decisions about money, the environment, and the repository itself.
OF_NO_VERSION = [
    "tests/faults",
    "tests/budgets/test_*.py",
    "tests/settings",
    "tests/scripts",
    "tests/dashboards",
    "tests/test_repository.py",
    "tests/test_requirements.py",
]

# Files of tests, to two processes: much of what tests do is to wait for other processes.
SHARED_OUT = ["-n", "2", "--dist", "loadfile"]

# OpenTelemetry's instrumentations ask for one exact release of each other, and some appear later than others. Named
# first they decide which release it is; otherwise pip tries the combinations one by one, and gives up on some.
PACE_MAKERS = [
    f"opentelemetry-instrumentation-{name}" for name in ("flask", "redis", "requests", "threading", "fastapi")
]

# What applications that use the wheel bring along in the end-to-end tests.
BESIDE_THE_WHEEL = [
    *(name for name in PACE_MAKERS if name.endswith(("flask", "requests"))),
    "gunicorn",
    "httpx",
    "opentelemetry-configuration",
    "opentelemetry-instrumentation-httpx",
    "opentelemetry-instrumentation-urllib3",
    "sqlalchemy",
]

DEVELOPMENT = Environment("dev", [*PACE_MAKERS, "--editable", ".[test,newest,lint,sdk-suite-core]"])
OLDEST = Environment("oldest", ["--editable", ".[test]"], ROOT / "scripts" / "oldest-constraints.txt")
DEMO = Environment("demo", [*PACE_MAKERS[:1], "--editable", ".[demo,prices]"])
SDK_SUITE = Environment("sdk-suite", [*PACE_MAKERS, "--editable", ".[sdk-suite]"])


class StepFailure(Exception):
    """A step did not succeed; its own output says why."""


@dataclass
class Result:
    """How a step ended."""

    name: str
    seconds: float
    outcome: str
    pytest_summary: str = ""


@dataclass
class Session:
    """One invocation: the options, and how each step ended."""

    slow: bool = False
    keep_going: bool = False
    extra: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    last_summary: str = ""

    def step(self, name: str, action: Callable[[Session], None]) -> None:
        """Run one step and note its time; a failure is noted and passed on."""
        print(f"\n── {name} " + "─" * max(3, 76 - len(name)), flush=True)
        started = time.monotonic()
        outcome = "FAILED"
        self.last_summary = ""
        try:
            action(self)
            outcome = "ok"
        finally:
            seconds = time.monotonic() - started
            self.results.append(Result(name, seconds, outcome, self.last_summary))
            print(f"   {name}: {outcome}, {seconds:.1f} s", flush=True)

    def report(self) -> None:
        """Print the table of steps, and as the very last line pytest's own summary of the run that matters most.

        That is the run that failed, or else the tests with the newest dependencies.
        """
        print(f"\n{'step':<22}{'seconds':>8}  result")
        for result in self.results:
            counts = result.pytest_summary.strip("= ")
            print(f"{result.name:<22}{result.seconds:>8.1f}  {result.outcome:<7} {counts}".rstrip())
        print(f"{'total':<22}{sum(result.seconds for result in self.results):>8.1f}")
        summaries = {result.name: result.pytest_summary for result in self.results if result.pytest_summary}
        failed = [result for result in self.results if result.outcome != "ok"]
        if failed:
            print(summaries.get(failed[-1].name, f"FAILED: {failed[-1].name}"))
        elif summaries:
            print(summaries.get("tests, newest", list(summaries.values())[-1]))


def run(command: list[str | Path], *, quiet: bool = False) -> None:
    """Run a command at the root of the repository; ``quiet`` shows its output only when it fails.

    Raises:
        StepFailure: It ended with another code than 0.
    """
    words = [str(part) for part in command]
    finished = subprocess.run(words, cwd=ROOT, env=clean_environ(), capture_output=quiet, check=False)
    if finished.returncode:
        shown = (finished.stdout + finished.stderr).decode(errors="replace") if quiet else ""
        raise StepFailure(f"{shown}{' '.join([Path(words[0]).name, *words[1:]])} ended with code {finished.returncode}")


def pytest(session: Session, environment: Environment, arguments: list[str], **variables: str) -> None:
    """Run pytest, passing its output through and keeping its summary line.

    Raises:
        StepFailure: A test failed, or none was found although none was excluded on the command line.
    """
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    # Whoever gives arguments looks for something, and wants to see one test after the other.
    shared = [] if session.extra else SHARED_OUT
    command = [str(environment.python), "-m", "pytest", *colour, *shared, *arguments, *session.extra]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**clean_environ(), **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    end = b""
    try:
        while chunk := os.read(process.stdout.fileno(), 65_536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            end = (end + chunk)[-4_096:]
    finally:
        process.wait()
    lines = [ANSI.sub("", line) for line in end.decode(errors="replace").splitlines()]
    session.last_summary = next((line for line in reversed(lines) if PYTEST_SUMMARY.search(line)), "")
    if process.returncode == PYTEST_FOUND_NO_TEST and session.extra:
        return
    if process.returncode:
        raise StepFailure(f"pytest ended with code {process.returncode}")


def selection(session: Session, *excluded: str) -> list[str]:
    """The ``-m`` argument that leaves out some marks, and the slow tests unless they are asked for."""
    return ["-m", " and ".join(f"not {mark}" for mark in (*excluded, *(() if session.slow else ("slow",))))]


def existing(paths: list[str]) -> list[str]:
    """Those of the paths that are there."""
    return [path for path in paths if (ROOT / path).exists()]


def check_format(_: Session) -> None:
    """Everything is laid out as ruff would lay it out."""
    try:
        run([DEVELOPMENT.script("ruff"), "format", "--check", *existing(CHECKED)])
    except StepFailure as failure:
        raise StepFailure(f"{failure}; `make format` lays them out") from None


def lint(_: Session) -> None:
    """Ruff finds nothing."""
    run([DEVELOPMENT.script("ruff"), "check", *existing(CHECKED)])


def typecheck(_: Session) -> None:
    """Strict types on the package and on these scripts."""
    run([DEVELOPMENT.python, "-m", "mypy"])


def walls(_: Session) -> None:
    """No room imports a room below it."""
    run([DEVELOPMENT.script("lint-imports")])


def generated(_: Session) -> None:
    """The generated files are what their sources say."""
    for script in GENERATORS:
        run([DEVELOPMENT.python, script, "--check"])


def generate(_: Session) -> None:
    """Write the generated files."""
    for script in GENERATORS:
        run([DEVELOPMENT.ready().python, script])


def newest(session: Session) -> None:
    """Unit and integration tests, with the newest dependencies."""
    pytest(session, DEVELOPMENT.ready(), [*selection(session, "wheel", "docs")])


def oldest(session: Session) -> None:
    """The same with the oldest supported PostHog SDK and OpenTelemetry.

    Not what none of these versions has a part in (:data:`OF_NO_VERSION`).
    """
    left_out = [f"--ignore-glob={pattern}" for pattern in OF_NO_VERSION]
    pytest(session, OLDEST.ready(), [*selection(session, "wheel", "docs", "newest"), *left_out])


def wheel(session: Session) -> None:
    """Build sdist and wheel, install the wheel where nothing else of this repository is, and use it from there."""
    built = build()
    environment = Environment("wheel", [*BESIDE_THE_WHEEL, f"{built}[demo]"]).ready()
    # The environment is kept while its dependencies are the same; the wheel itself is always the one just built.
    environment.install("--force-reinstall", "--no-deps", str(built))
    pytest(session, DEVELOPMENT, ["tests/e2e", "-m", "wheel"], WHEEL_PYTHON=str(environment.python))


def build() -> Path:
    """Build the sdist, and from it the wheel. Returns the wheel."""
    target = VENVS / "dist"
    shutil.rmtree(target, ignore_errors=True)
    run([DEVELOPMENT.ready().python, "-m", "build", "--outdir", target, "."], quiet=True)
    (built,) = target.glob("*.whl")
    return built


def docs(session: Session) -> None:
    """The examples in the documentation run."""
    pytest(session, DEVELOPMENT.ready(), ["-m", "docs"])


def sdk_suite_core(_: Session) -> None:
    """PostHog's own tests of what the instrumentor touches most."""
    run([DEVELOPMENT.ready().python, "scripts/sdk_suite.py", "--core"])


def sdk_suite(_: Session) -> None:
    """All of PostHog's own tests."""
    run([SDK_SUITE.ready().python, "scripts/sdk_suite.py"])


def sdk_suite_durable(_: Session) -> None:
    """What they find different with durable captures is what is listed."""
    run([DEVELOPMENT.ready().python, "scripts/sdk_suite_durable.py"])


TEST_STEPS: list[tuple[str, Callable[[Session], None]]] = [
    ("format", check_format),
    ("lint", lint),
    ("types", typecheck),
    ("walls", walls),
    ("generated files", generated),
    ("tests, newest", newest),
    ("tests, oldest", oldest),
    ("wheel", wheel),
    ("documentation", docs),
    ("PostHog's tests, core", sdk_suite_core),
]
SLOW_STEPS: list[tuple[str, Callable[[Session], None]]] = [
    *TEST_STEPS[:-1],
    ("PostHog's tests", sdk_suite),
    ("PostHog's tests, durable captures", sdk_suite_durable),
]


def steps(session: Session, chosen: list[tuple[str, Callable[[Session], None]]]) -> None:
    """Run steps until one fails (or all of them, when asked to keep going), then say how each went.

    Raises:
        StepFailure: One or more steps failed.
    """
    DEVELOPMENT.ready()
    failures: list[StepFailure] = []
    try:
        for name, action in chosen:
            try:
                session.step(name, action)
            except StepFailure as failure:
                print(failure, file=sys.stderr, flush=True)
                failures.append(failure)
                if not session.keep_going:
                    break
    finally:
        session.report()
    if failures:
        raise StepFailure("")


def command_test(session: Session) -> None:
    """everything that must hold; --slow adds the slow tests and all of PostHog's own"""
    steps(session, SLOW_STEPS if session.slow else TEST_STEPS)


def command_demo(session: Session) -> None:
    """the main job on an example web shop, against a local receiver"""
    run([DEMO.ready().script("genops-posthog"), "demo", *session.extra])


def command_install(_: Session) -> None:
    """prepare the development environment and say where it is"""
    print(DEVELOPMENT.ready().directory)


def command_lint(session: Session) -> None:
    """layout, ruff, walls between rooms, generated files"""
    steps(session, [step for step in TEST_STEPS if step[0] in {"format", "lint", "walls", "generated files"}])


def command_typecheck(_: Session) -> None:
    """strict types"""
    DEVELOPMENT.ready()
    typecheck(_)


def command_unit(session: Session) -> None:
    """tests with the newest dependencies"""
    newest(session)


def command_oldest(session: Session) -> None:
    """tests with the oldest supported dependencies"""
    oldest(session)


def command_wheel(session: Session) -> None:
    """build the wheel and test it installed"""
    wheel(session)


def command_docs(session: Session) -> None:
    """write the generated reference and run the examples of the documentation"""
    generate(session)
    docs(session)


def command_sdk_suite(session: Session) -> None:
    """PostHog's own tests, without and with the instrumentor (--core, --files …, --fresh; --durable)"""
    if "--durable" in session.extra:
        run([DEVELOPMENT.ready().python, "scripts/sdk_suite_durable.py", *session.extra])
    else:
        run([SDK_SUITE.ready().python, "scripts/sdk_suite.py", *session.extra])


def command_bench(session: Session) -> None:
    """what a governed call costs, as ratios"""
    run([DEVELOPMENT.ready().python, "-m", "benchmarks", *session.extra])


def command_format(session: Session) -> None:
    """write generated files, fix what ruff can fix, lay out the code"""
    generate(session)
    run([DEVELOPMENT.script("ruff"), "check", "--fix", "--quiet", "--exit-zero", *existing(CHECKED)])
    run([DEVELOPMENT.script("ruff"), "format", *existing(CHECKED)])


def command_clean(_: Session) -> None:
    """remove the environments and every cache"""
    remove_all()
    for name in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis", "dist", "build"):
        shutil.rmtree(ROOT / name, ignore_errors=True)


COMMANDS: dict[str, Callable[[Session], None]] = {
    name.removeprefix("command_").replace("_", "-"): value
    for name, value in list(globals().items())
    if name.startswith("command_")
}


def main() -> int:
    """Read the command line and run one command. Returns the exit code."""
    listing = "\n".join(f"  {name:<11} {action.__doc__}" for name, action in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=f"commands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    parser.add_argument("--slow", action="store_true", help="with tests: also the slow ones")
    parser.add_argument("--keep-going", action="store_true", help="with test and lint: do all steps, even if one fails")
    options, extra = parser.parse_known_args()
    try:
        COMMANDS[options.command](Session(slow=options.slow, keep_going=options.keep_going, extra=extra))
    except (EnvironmentFailure, StepFailure) as error:
        # What a step had to say has been said above the table, which ends the output.
        if str(error):
            print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again, it starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
