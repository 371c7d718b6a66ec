"""Where the shop sends its events and its telemetry: to the local receiver, or to what the user's environment names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import DEFAULT_HOST

#: The organisation's usage when the shop opens: a little before the end of every free tier, so that some calls are free
#: and some are not.
USAGE_TO_DATE = (
    "events=999_800,identified_events=999_900,feature_flag_requests=999_900,llm_events=99_989,exceptions=99_997"
)
BUDGETS = Path(__file__).with_name("budgets.toml")
PERSONAL_KEY = "POSTHOG_PERSONAL_API_KEY"
TRACE_URL_TEMPLATE = "GENOPS_TRACE_URL_TEMPLATE"
SERVICE = "shop"
DATABASE = "events.sqlite3"
"""The database that gets the shop's events too, in its own directory, which is removed at the end."""

_OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_OTLP_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_GRPC_PORT = 4317
_HTTP = "http/protobuf"
_OURS = ("GENOPS_", "OTEL_", "POSTHOG_", "RUDDERSTACK_")


@dataclass(frozen=True)
class Backends:
    """Where things go.

    Attributes:
        posthog_key: Project key of the real PostHog; ``None`` when events go to the local receiver.
        posthog_host: Its ingestion host.
        personal_key: Personal or secret key for local flag evaluation there, if any.
        otlp_endpoint: OTLP endpoint for traces and metrics; ``None`` when they go to the local receiver.
        otlp_protocol: As in ``OTEL_EXPORTER_OTLP_PROTOCOL``.
    """

    posthog_key: str | None = None
    posthog_host: str = DEFAULT_HOST
    personal_key: str | None = None
    otlp_endpoint: str | None = None
    otlp_protocol: str = _HTTP

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Backends:
        """What the variables say: ``POSTHOG_API_KEY``, ``POSTHOG_HOST``, ``POSTHOG_PERSONAL_API_KEY`` and
        ``OTEL_EXPORTER_OTLP_ENDPOINT``.

        Raises:
            GenOpsConfigurationError: the endpoint is a gRPC port, and nothing says that gRPC is to be spoken.
        """
        endpoint = environ.get(_OTLP_ENDPOINT) or None
        if endpoint and _OTLP_PROTOCOL not in environ and urlsplit(endpoint).port == _GRPC_PORT:
            raise GenOpsConfigurationError(
                f"{_OTLP_ENDPOINT}={endpoint} is the port of OTLP over gRPC, and the demo speaks OTLP over HTTP; "
                f"use port 4318, or set {_OTLP_PROTOCOL}=grpc and install opentelemetry-exporter-otlp-proto-grpc"
            )
        return cls(
            posthog_key=environ.get("POSTHOG_API_KEY") or None,
            posthog_host=environ.get("POSTHOG_HOST") or DEFAULT_HOST,
            personal_key=environ.get(PERSONAL_KEY) or None,
            otlp_endpoint=endpoint,
            otlp_protocol=environ.get(_OTLP_PROTOCOL) or _HTTP,
        )

    @property
    def speaks_http(self) -> bool:
        """Whether telemetry is sent by OTLP over HTTP."""
        return self.otlp_protocol.startswith("http")

    @property
    def events_are_local(self) -> bool:
        """Whether events and flag requests go to the local receiver."""
        return self.posthog_key is None

    @property
    def telemetry_is_local(self) -> bool:
        """Whether traces and metrics go to the local receiver."""
        return self.otlp_endpoint is None


def shop_command(shop: Path) -> list[str]:
    """The command a user would type, with this interpreter's own ``opentelemetry-instrument``."""
    script = Path(sys.executable).with_name("opentelemetry-instrument")
    if script.exists():
        return [str(script), sys.executable, str(shop)]
    run = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    return [sys.executable, "-c", run, sys.executable, str(shop)]


def shop_environment(
    environ: Mapping[str, str], backends: Backends, receiver_url: str, port: int, *, metrics: bool = True
) -> dict[str, str]:
    """The environment the shop is started with.

    Settings of the surrounding shell do not leak in, so that the demonstration is the same everywhere; only with an
    OTLP endpoint of the user's own do the other ``OTEL_*`` variables stay, because they may hold its headers and
    certificates, and the address of its traces.

    Args:
        environ: The surrounding environment.
        backends: Where things go.
        receiver_url: The local receiver, for RudderStack's messages and what else goes there.
        port: Where the shop is to listen.
        metrics: Whether metrics are to be sent.
    """
    shop = {name: value for name, value in environ.items() if not name.startswith(_OURS)}
    # Loopback is never behind a proxy.
    shop["NO_PROXY"] = shop["no_proxy"] = ",".join(filter(None, [environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    shop |= {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        # The shop still calls two methods that PostHog has deprecated, as much code does.
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
        "GENOPS_TEAM": "platform",
        "GENOPS_PROJECT": "shop",
        "GENOPS_ENVIRONMENT": "development",
        "GENOPS_USAGE_TO_DATE": USAGE_TO_DATE,
        "GENOPS_BUDGETS_FILE": str(BUDGETS),
        "GENOPS_LEDGER_URL": "sqlite:///./ledger.sqlite3",  # in the shop's own directory, which is removed at the end
        # Spans of the assistant become events, of PostHog and of these two, which are always on this machine.
        "GENOPS_EXPORT_SPANS": "true",
        "GENOPS_OUTBOX_PATH": "./outbox",
        "GENOPS_DATABASE_URL": f"sqlite:///./{DATABASE}",
        "RUDDERSTACK_WRITE_KEY": "demo",
        "RUDDERSTACK_DATA_PLANE_URL": receiver_url,
    }
    shop |= _telemetry(environ, backends, receiver_url)
    if not metrics:
        shop["OTEL_METRICS_EXPORTER"] = "none"
    if backends.posthog_key is None:
        shop |= {"POSTHOG_API_KEY": "phc_demo", "POSTHOG_HOST": receiver_url, PERSONAL_KEY: "phx_demo"}
        shop["FLAG_POLL_SECONDS"] = "1"
    else:
        shop |= {"POSTHOG_API_KEY": backends.posthog_key, "POSTHOG_HOST": backends.posthog_host}
        if backends.personal_key is not None:
            shop[PERSONAL_KEY] = backends.personal_key
    return shop


def _telemetry(environ: Mapping[str, str], backends: Backends, receiver_url: str) -> dict[str, str]:
    usual = {
        "OTEL_SERVICE_NAME": SERVICE,
        _OTLP_PROTOCOL: _HTTP,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "health",
    }
    if backends.otlp_endpoint is None:
        return usual | {_OTLP_ENDPOINT: receiver_url, TRACE_URL_TEMPLATE: f"{receiver_url}/api/traces/{{trace_id}}"}
    kept = {name: value for name, value in environ.items() if name.startswith("OTEL_") or name == TRACE_URL_TEMPLATE}
    return usual | kept
