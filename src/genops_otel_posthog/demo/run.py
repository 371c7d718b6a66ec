"""The demonstration from start to end: receiver, shop, visitors, goodbye, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Protocol

from genops_otel_posthog.demo.backends import DATABASE, USAGE_TO_DATE, Backends, shop_command, shop_environment
from genops_otel_posthog.demo.evidence import read_figures
from genops_otel_posthog.demo.exported import ExportedEvent, read_exported
from genops_otel_posthog.demo.figures import Figures
from genops_otel_posthog.demo.one_trace import OneTrace, read_one_trace
from genops_otel_posthog.demo.otlp_probe import takes_metrics
from genops_otel_posthog.demo.shop_process import free_port, running_shop, terminated_like_interrupted
from genops_otel_posthog.demo.traffic import Journey, Traffic, plan_journeys, send_journeys
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.usage import parse_usage_to_date
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

SHOP = Path(__file__).with_name("shop.py")
FLAGS = Path(__file__).with_name("flags.json")

_NEEDED = (
    "flask",
    "posthog",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "opentelemetry.distro",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.flask",
    "opentelemetry.proto",
)
_COMPLAINTS = ("Failed to export", "error uploading")
"""What OpenTelemetry's exporters and PostHog's SDK say when they could not deliver."""

_OLDEST_SDK = (7, 42)
"""The package works with older ones; the shop is written for today's."""


class Screen(Protocol):
    """Tells what is going on while it goes on."""

    def doing(self, what: str) -> AbstractContextManager[object]:
        """Something that takes a moment has begun; it lasts as long as the block."""
        ...

    def counting(self, what: str, total: int) -> AbstractContextManager[Callable[[], object]]:
        """The same for something that has steps; the block calls what it is given after each."""
        ...

    def done(self, what: str, detail: str) -> None:
        """Something has ended well."""
        ...


@dataclass(frozen=True)
class Demonstration:
    """What was done and what came of it.

    Attributes:
        backends: Where things went.
        traffic: The requests.
        figures: What arrived at the local receiver; ``None`` when PostHog and the trace backend are elsewhere.
        one_trace: What every system on this machine has of one request.
        seconds: How long it took.
        log: What the shop wrote.
    """

    backends: Backends
    traffic: Traffic
    figures: Figures | None
    one_trace: OneTrace
    seconds: float
    log: str

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be; empty when all is well."""
        complaints = dict.fromkeys(line for line in self.log.splitlines() if any(map(line.__contains__, _COMPLAINTS)))
        figures = () if self.figures is None else self.figures.problems
        return (*figures, *self.one_trace.problems, *complaints)


def run_demonstration(
    environ: Mapping[str, str], backends: Backends, screen: Screen, *, requests: int = 360, seed: int = 1
) -> Demonstration:
    """Runs the shop, visits it, stops it and reads what arrived.

    Args:
        environ: The surrounding environment.
        backends: Where the shop's events and telemetry go.
        screen: Is told how it goes.
        requests: How many requests to send.
        seed: Decides which.

    Raises:
        GenOpsConfigurationError: a package is missing, or nothing answers at the OTLP endpoint.
        GenOpsError: the shop could not be started, visited or stopped; the message ends with its log.
    """
    check_installation()
    started = perf_counter()
    with ExitStack() as stack:
        stack.enter_context(terminated_like_interrupted())
        with screen.doing("starting the local receiver"):
            receiver = stack.enter_context(LocalReceiver(flags=FLAGS))
        screen.done("local receiver", f"{receiver.url}  stands for {_roles(backends)}")
        port = free_port()
        environment = shop_environment(
            environ, backends, receiver.url, port, metrics=_metrics_are_wanted(backends, screen)
        )
        visited = _open_shop_and_visit_it(environment, port, plan_journeys(seed, requests), screen)
        figures = None
        local = {"telemetry": backends.telemetry_is_local, "events": backends.events_are_local}
        with screen.doing("adding up"):
            one_trace = read_one_trace(receiver, visited.exported, **local)
            if any(local.values()):
                figures = read_figures(
                    receiver,
                    parse_usage_to_date(USAGE_TO_DATE),
                    DEFAULT_PRICE_BOOK,
                    requests=visited.traffic.requests,
                    exported=visited.exported,
                    **local,
                )
    return Demonstration(backends, visited.traffic, figures, one_trace, perf_counter() - started, visited.log)


def _metrics_are_wanted(backends: Backends, screen: Screen) -> bool:
    if backends.otlp_endpoint is None or not backends.speaks_http:
        return True
    with screen.doing("asking your OTLP endpoint"):
        wanted = takes_metrics(backends.otlp_endpoint)
    screen.done("OTLP endpoint", backends.otlp_endpoint + ("" if wanted else "  takes traces, but no metrics"))
    return wanted


class _Visited(NamedTuple):
    """What is left of a shop that was visited and stopped."""

    traffic: Traffic
    log: str
    exported: list[ExportedEvent]


def _open_shop_and_visit_it(
    environment: Mapping[str, str], port: int, journeys: Sequence[Journey], screen: Screen
) -> _Visited:
    began = perf_counter()
    with ExitStack() as stack:
        with screen.doing("starting the shop under opentelemetry-instrument"):
            shop = stack.enter_context(running_shop(shop_command(SHOP), environment, port))
        screen.done("example shop", f"opentelemetry-instrument python {SHOP.name}  ({perf_counter() - began:.1f} s)")
        with screen.counting("visiting the shop", sum(map(len, journeys))) as count:
            traffic = send_journeys(journeys, port, on_answer=count)
        screen.done(f"{traffic.requests} requests", f"by {len(journeys)} visitors in {traffic.seconds:.1f} s")
        with screen.doing("stopping the shop, which sends what it still holds"):
            shop.stop()
        screen.done("shop stopped", "having sent what it still held")
        return _Visited(traffic, shop.log(), read_exported(shop.directory / DATABASE))


def check_installation() -> None:
    """Sees that the shop can run and that ``opentelemetry-instrument`` will find the instrumentor.

    Raises:
        GenOpsConfigurationError: something is missing; the message has the command that installs it.
    """
    missing = [name for name in _NEEDED if not _is_installed(name)]
    if missing:
        raise GenOpsConfigurationError(
            f"the demo needs {', '.join(missing)}; install it with: pip install 'genops-otel-posthog[demo]'"
        )
    sdk = version("posthog")
    if tuple(map(int, sdk.split(".")[:2])) < _OLDEST_SDK:
        oldest = ".".join(map(str, _OLDEST_SDK))
        raise GenOpsConfigurationError(
            f"the demo's shop needs posthog {oldest} or newer, and {sdk} is installed; "
            "update it with: pip install --upgrade posthog"
        )
    if not entry_points(group="opentelemetry_instrumentor", name="posthog"):
        raise GenOpsConfigurationError(
            "opentelemetry-instrument cannot find this package, because it is not installed but only on the path; "
            "install it with: pip install -e '.[demo]'"
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _roles(backends: Backends) -> str:
    roles = (("PostHog, ", backends.events_are_local), ("your tracing backend, ", backends.telemetry_is_local))
    others = "".join(role for role, here in roles if here)
    return f"{others.removesuffix(', ')} and RudderStack" if others else "RudderStack"
