"""Fixtures: applications in processes of their own, with the installed wheel, sending to one local receiver.

Each application has a project key and a service name of its own, by which what arrived of it is told apart. So several
can run at the same time, and one run can be looked at by many tests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from packaging.requirements import Requirement
from typing_extensions import Self

from genops_otel_posthog.receiver.records import MetricSeries, ReceivedEvent, ReceivedSpan
from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

SCOPE = "genops_otel_posthog"
TIMEOUT = 90.0  # seconds; an application is over within a few, but many may share two cores

# Settings of this machine that would reach the application, and what keeps it from reaching anything but loopback.
FOREIGN = ("GENOPS_", "OTEL_", "POSTHOG_", "PYTHON", "COVERAGE_")
LOOPBACK_ONLY = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}

FLAGS = [
    {"id": 1, "key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}},
    {"id": 2, "key": "old-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 0}]}},
]

Launch = Callable[..., "Application"]


class Application:
    """A process, and what arrived of it at the receiver.

    Args:
        command: What to run.
        environment: All of its environment variables.
        directory: Its working directory, which also gets its output.
        receiver: Where it sends to.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], directory: Path, receiver: LocalReceiver
    ) -> None:
        self.key = environment.get("POSTHOG_API_KEY", "")
        self.service = environment.get("OTEL_SERVICE_NAME", "")
        self.directory = directory
        self._receiver = receiver
        self._files = directory / "stdout.txt", directory / "stderr.txt"
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self._process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def finish(self, timeout: float = TIMEOUT) -> Self:
        """Returns when it has ended by itself; one that does not is killed, and that is a failure."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the application did not end within {timeout:.0f} s; it wrote:\n{self.out}\n{self.err}")
        return self

    def succeed(self, timeout: float = TIMEOUT) -> Self:
        """:meth:`finish`, and it ended with code 0."""
        self.finish(timeout)
        assert self.code == 0, self.err
        return self

    def wait_until_it_listens(self, port: int) -> None:
        """Returns when somebody answers on the port; an application that has ended before is a failure."""
        deadline = monotonic() + TIMEOUT
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.05)
                pytest.fail(f"the application ended with code {self.code} before it listened:\n{self.err}")
            if monotonic() > deadline:
                pytest.fail(f"nobody listened on port {port} within {TIMEOUT:.0f} s:\n{self.err}")

    def terminate(self) -> Self:
        """Asks it to end, and returns when it has."""
        self._process.send_signal(signal.SIGTERM)
        return self.finish()

    def kill(self) -> None:
        """Ends it at once."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, ``None`` while it runs."""
        return self._process.poll()

    @property
    def out(self) -> str:
        return self._files[0].read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._files[1].read_text(encoding="utf-8")

    @property
    def log(self) -> list[str]:
        """Lines it wrote to standard error."""
        return self.err.splitlines()

    def lines_about(self, word: str) -> list[str]:
        """The lines of its log that hold a word."""
        return [line for line in self.log if word in line]

    # --- what arrived ---------------------------------------------------------------------------------------------

    def events(self, name: str | None = None) -> list[ReceivedEvent]:
        """Its events, in the order they arrived."""
        return self._receiver.events(name, token=self.key)

    @property
    def event_names(self) -> list[str]:
        return [event.event for event in self.events()]

    def all_spans(self) -> list[ReceivedSpan]:
        """Its spans, ours and those of other instrumentations."""
        return self._receiver.spans(service=self.service)

    def spans(self, name: str | None = None) -> list[ReceivedSpan]:
        """Our spans, in the order they were made."""
        return self._receiver.spans(name, service=self.service, scope=SCOPE)

    def span(self, name: str) -> ReceivedSpan:
        (span,) = self.spans(name)
        return span

    @property
    def span_names(self) -> list[str]:
        return [span.name for span in self.spans()]

    def series(self, metric: str) -> list[MetricSeries]:
        """The series of one metric; each process of the application has its own."""
        return self._receiver.metrics(metric, service=self.service)

    def usage(self) -> dict[str, int]:
        """Units by meter, as the metrics of all its processes say."""
        units: Counter[str] = Counter()
        for series in self.series("genops.usage"):
            units[series.attributes["genops.cost.meter"]] += int(series.value or 0)
        return dict(units)

    def cost(self) -> float:
        """USD, as the metrics of all its processes say."""
        return sum(series.value or 0 for series in self.series("genops.cost.usage"))

    def bill(self) -> dict[str, int]:
        """Units by meter, as PostHog would bill them."""
        return self._receiver.bill(token=self.key).meters


def environment(directory: Path, **variables: str | None) -> dict[str, str]:
    """The environment of an application: nothing of this machine's settings, and the given variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    clean |= LOOPBACK_ONLY | {"HOME": str(directory), "XDG_STATE_HOME": str(directory)}
    given = {**clean, **variables}
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture(scope="session")
def flagged_receiver() -> Iterator[LocalReceiver]:
    """The receiver of all applications, with two flags."""
    with LocalReceiver(flags=FLAGS) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def launch(
    wheel_python: Path, flagged_receiver: LocalReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts applications.

    ``launch(program)`` runs the text of a program under ``opentelemetry-instrument``. ``prefix`` replaces the words in
    front of the program, of which the first is a command of the environment; ``python`` chooses the environment. Other
    keywords are environment variables; ``None`` takes one away.
    """
    started: list[Application] = []

    def launch(
        program: str,
        *arguments: str,
        prefix: tuple[str, ...] = ("opentelemetry-instrument", "python"),
        python: Path = wheel_python,
        receiver: LocalReceiver = flagged_receiver,
        **variables: str | None,
    ) -> Application:
        directory = tmp_path_factory.mktemp("application")
        (directory / "app.py").write_text(program, encoding="utf-8")
        number = len(started)
        command = [str(python.with_name(word)) if word in BESIDE_PYTHON else word for word in prefix]
        named = {
            **environment_for(receiver.url),
            "POSTHOG_API_KEY": f"phc_application{number}",
            "OTEL_SERVICE_NAME": f"application-{number}",
            **variables,
        }
        application = Application(
            [*command, *(arguments or ("app.py",))], environment(directory, **named), directory, receiver
        )
        started.append(application)
        return application

    yield launch
    for application in started:
        application.kill()


#: Commands that are taken from the environment of the wheel.
BESIDE_PYTHON = ("python", "opentelemetry-instrument", "gunicorn", "genops-posthog")


@pytest.fixture(scope="session")
def beside_the_wheel(wheel_python: Path) -> Callable[..., None]:
    """Skips a test unless packages are installed beside the wheel, given as requirements: ``posthog >= 7.50``."""
    program = (
        "import json; from importlib.metadata import distributions;"
        "print(json.dumps({d.name.lower(): d.version for d in distributions()}))"
    )
    finished = subprocess.run([wheel_python, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    installed = json.loads(finished.stdout)

    def needs(*requirements: str) -> None:
        for requirement in map(Requirement, requirements):
            version = installed.get(requirement.name)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                pytest.skip(f"needs {requirement} beside the wheel, there is {version}")

    return needs


@pytest.fixture(scope="session")
def changed_environment(wheel_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an environment like the wheel's, without the PostHog SDK or with another version of it.

    Everything but the SDK is linked, so that this takes a second and nothing is installed but what differs.
    """

    def change(name: str, *requirements: str) -> Path:
        directory = tmp_path_factory.mktemp(name)
        subprocess.run([wheel_python, "-m", "venv", "--without-pip", directory], check=True)
        python = directory / wheel_python.parent.name / wheel_python.name
        original, changed = _site_packages(wheel_python), _site_packages(python)
        for entry in original.iterdir():
            if not re.fullmatch(r"posthog(-.*\.dist-info)?", entry.name):
                (changed / entry.name).symlink_to(entry)
        script = wheel_python.with_name("opentelemetry-instrument").read_text(encoding="utf-8")
        copy = python.with_name("opentelemetry-instrument")
        copy.write_text(script.replace(str(wheel_python), str(python), 1), encoding="utf-8")
        copy.chmod(0o755)
        if requirements:
            pip = [str(wheel_python), "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--quiet", *requirements], check=True, timeout=300)
        return python

    return change


def _site_packages(python: Path) -> Path:
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    finished = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return Path(finished.stdout.strip())
