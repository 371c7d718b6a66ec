"""One process set up for measuring: a bare PostHog SDK, an instrumented one, and the traces they end up in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from itertools import cycle
from types import SimpleNamespace
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Tracer

from benchmarks.sdk_pair import bare_posthog, drain, queueing_client
from benchmarks.slices import Variant
from benchmarks.traces import Traces, current_span, detached_span
from genops_otel_posthog import PostHogInstrumentor, governance

#: Makes the call to be timed, given a client.
Work = Callable[[Any], Callable[[], object]]

_CUSTOMERS = tuple(f"customer-{number:02d}" for number in range(50))


class _Complaints(logging.Handler):
    """Keeps what the package logs: a call that went wrong must not be timed as one that went well."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        logging.getLogger("genops_otel_posthog").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


class Stage:
    """Everything that one scenario needs. There can be one in a process.

    Every variant runs inside a request: within a span, and within a governance block that names team, project,
    environment and one of 50 customers. So do the bare spans that it is compared with.

    Args:
        sampler: Sampler of the traces that the instrumented SDK writes to; the SDK's default when not given.
        providers: Whether the instrumentor is given providers. Without, it finds none and the OpenTelemetry API does
            nothing.
        **options: Options of the instrumentor.
    """

    def __init__(self, *, sampler: Sampler | None = None, providers: bool = True, **options: Any) -> None:
        self._complaints = _Complaints()
        self._bare_sdk = bare_posthog()
        self._traces = Traces()
        self._governed_traces = self._traces if sampler is None else Traces(sampler)
        self._clients: list[Any] = []
        self._customers = cycle(_CUSTOMERS)
        self._request_tracer: Tracer | None = self._governed_traces.tracer if providers else None
        given: dict[str, Any] = {}
        if providers:
            given["tracer_provider"] = self._governed_traces.provider
            given["meter_provider"] = MeterProvider([InMemoryMetricReader()])
        self._instrumentor = PostHogInstrumentor()
        self._instrumentor.instrument(**given, **options)
        self._governed_sdk = import_module("posthog.client")

    @property
    def tracer_provider(self) -> Any:
        """The provider of the bare spans."""
        return self._traces.provider

    def current_span(self) -> Variant:
        """The span that is the unit of every ratio."""
        return Variant(current_span(self._traces.tracer), self._recorded_request)

    def detached_span(self) -> Variant:
        """The same span, never current."""
        return Variant(detached_span(self._traces.tracer), self._recorded_request)

    def bare(self, work: Work) -> Variant:
        """A call of the SDK's own copy that nobody has instrumented."""
        return Variant(work(self._client(self._bare_sdk)), self._request)

    def governed(self, work: Work) -> Variant:
        """The same call of the instrumented SDK."""
        return Variant(work(self._client(self._governed_sdk)), self._request)

    def suppressed(self, work: Work) -> Variant:
        """The same, where OpenTelemetry's instrumentation is suppressed."""
        return Variant(work(self._client(self._governed_sdk)), self._suppressed_request)

    def other(self, call: Callable[[], object]) -> Variant:
        """A call of something else within the same request."""
        return Variant(call, self._recorded_request)

    def held(self, work: Work, method: str) -> Variant:
        """The same through ``method = client.method``, taken now: it stays wrapped when the instrumentation is taken
        off."""
        client = self._client(self._governed_sdk)
        return Variant(work(SimpleNamespace(**{method: getattr(client, method)})), self._request)

    def then(self, variant: Variant, second: Variant) -> Variant:
        """One call of ``variant`` and right after it one of ``second``, within one request."""
        first_call, second_call = variant.call, second.call

        def call() -> None:
            first_call()
            second_call()

        return Variant(call, self._recorded_request)

    def drained(self, client: Any) -> None:
        """Has the queue of a client of somebody else emptied between slices, too."""
        self._clients.append(client)

    def uninstrument(self) -> None:
        """Takes the instrumentation off."""
        self._instrumentor.uninstrument()

    def clear(self) -> None:
        """Takes away what a slice has queued; for the time between slices.

        Raises:
            RuntimeError: the package has logged a warning or an error.
        """
        if self._complaints.messages:
            raise RuntimeError(f"the calls that were timed did not go well: {self._complaints.messages[0]}")
        for client in self._clients:
            drain(client)
        self._traces.flush()
        self._governed_traces.flush()

    def close(self) -> None:
        """Removes what is left behind when everything was measured."""

    def _client(self, sdk: Any) -> Any:
        client = queueing_client(sdk)
        self._clients.append(client)
        return client

    @contextmanager
    def _in_request(self, tracer: Tracer | None) -> Iterator[None]:
        with governance(
            team="checkout",
            project="web-shop",
            environment="production",
            customer_id=next(self._customers),
            baggage=False,
        ):
            if tracer is None:
                yield
            else:
                with tracer.start_as_current_span("POST /checkout"):
                    yield

    def _request(self) -> AbstractContextManager[None]:
        return self._in_request(self._request_tracer)

    def _recorded_request(self) -> AbstractContextManager[None]:
        return self._in_request(self._traces.tracer)

    @contextmanager
    def _suppressed_request(self) -> Iterator[None]:
        with self._request(), suppress_instrumentation():
            yield
