"""The instrumentor: puts our functions around those of the PostHog SDK and takes them off again."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # is in __all__

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution, AttributionResolver
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.instrumentation.captures import CaptureAccount
from genops_otel_posthog.instrumentation.enforcement import Enforcement
from genops_otel_posthog.instrumentation.operations import ASYNC_CLIENT_COROUTINES, ASYNC_CLIENT_METHODS, CLIENT_METHODS
from genops_otel_posthog.instrumentation.options import merge_options
from genops_otel_posthog.instrumentation.own_calls import step_back, step_forth
from genops_otel_posthog.instrumentation.patches import Patches, Switch
from genops_otel_posthog.instrumentation.telemetry import RequestHook, ResponseHook, Telemetry
from genops_otel_posthog.instrumentation.waists import WAISTS
from genops_otel_posthog.instrumentation.watch import CaptureWatch
from genops_otel_posthog.instrumentation.wrappers import (
    around_coroutine,
    around_method,
    around_module_capture,
    warning_at_caller,
)
from genops_otel_posthog.metering.metering import SCOPE, Metering
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.version import __version__


class PostHogInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base class is untyped
    """Makes every call to the PostHog SDK a span that says what it costs and whose it is.

    Covers ``posthog.client.Client`` (and with it the module functions, ``Posthog`` and the MCP client) and
    ``posthog.async_client.AsyncClient``, for clients created before and after.

    Example:
        >>> PostHogInstrumentor().instrument(team="checkout", project="web-shop")  # doctest: +SKIP
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """The range of the SDK that is supported."""
        return ("posthog >= 6.0.0, < 8",)

    def instrument(self, **kwargs: Any) -> None:
        """Instruments the SDK.

        Args:
            tracer_provider: Where spans go; the global one when not given.
            meter_provider: Where metrics go; the global one when not given.
            budgets: Budgets besides those of the environment and of the budgets file.
            request_hook: ``hook(span, client, args, kwargs)``, called with every recording span.
            response_hook: ``hook(span, client, result)``, likewise.
            **kwargs: The options of :class:`PostHogConfig`. What is not given is taken from the environment.

        Raises:
            GenOpsConfigurationError: an option or an environment variable cannot be used. Under
                ``opentelemetry-instrument``
                it is logged instead and the default stands.
        """
        # `opentelemetry-instrument` has checked dependencies by itself and says so; nobody else passes this argument.
        # Its declarative configuration passes nothing but the options: it is known by who calls.
        caller = str(sys._getframe(1).f_globals.get("__name__", ""))
        self._zero_code = bool(kwargs.get("skip_dep_check", False)) or caller.startswith("opentelemetry.")
        super().instrument(**kwargs)

    def _instrument(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        budgets: Iterable[Budget] = (),
        request_hook: RequestHook | None = None,
        response_hook: ResponseHook | None = None,
        **options: Any,
    ) -> None:
        options.pop("logger_provider", None)
        strict = not self._zero_code
        settings = merge_options(Settings.from_environ(strict=strict), options, strict=strict)
        self.settings = settings
        tracer_provider = tracer_provider or trace.get_tracer_provider()
        resource = getattr(getattr(tracer_provider, "resource", None), "attributes", {})
        resolver = AttributionResolver(_default_owner(settings, resource), settings.baggage_in)
        self.metering = Metering(settings, meter_provider=meter_provider, strict=strict)
        self.budgeting = self.metering.open_budgets(budgets)
        telemetry = Telemetry(
            settings,
            resolver,
            self.metering,
            trace.get_tracer(SCOPE, __version__, tracer_provider, schema_url=semconv.SCHEMA_URL),
            None if self.budgeting is None else Enforcement(self.budgeting),
            request_hook,
            response_hook,
        )
        if self.budgeting is not None:
            self.budgeting.governor.prepare(resolver.defaults)
        self.telemetry = telemetry
        self._watch = CaptureWatch(settings, self.metering.meter)
        self._switch = Switch()
        self._patches = Patches()
        step_back()
        self._watch.put_around(self._patches, self._switch)
        self._replace_functions(telemetry, self._switch, self._patches)
        if settings.export_spans:
            _export_spans(tracer_provider)

    def _replace_functions(self, telemetry: Telemetry, switch: Switch, patches: Patches) -> None:
        for method, operation in CLIENT_METHODS:
            patches.replace("posthog.client", f"Client.{method}", around_method(telemetry, switch, operation))
        for method, operation in ASYNC_CLIENT_METHODS:
            around = warning_at_caller(around_method(telemetry, switch, operation))
            patches.replace("posthog.async_client", f"AsyncClient.{method}", around)
        for method, operation in ASYNC_CLIENT_COROUTINES:
            patches.replace(
                "posthog.async_client", f"AsyncClient.{method}", around_coroutine(telemetry, switch, operation)
            )
        for module, name, meter in WAISTS:
            patches.replace(module, name, meter(telemetry, switch))
        patches.replace("posthog", "capture", around_module_capture(switch))

    def _uninstrument(self, **_: Any) -> None:
        self._switch.on = self._switch.in_calls = False
        self._patches.undo()
        self._watch.close()
        step_forth()
        self.metering.close()

    @property
    def budgets(self) -> BudgetSet | None:
        """The budgets, to be changed while the application runs; ``None`` where there are none, see
        :func:`~genops_otel_posthog.budgets.opening.open_budgeting`."""
        return None if self.budgeting is None else self.budgeting.governor.budgets

    @property
    def captures(self) -> CaptureAccount:
        """What became of the application's own events since the SDK was instrumented; all zero before."""
        return self._watch.captures.account() if self.is_instrumented_by_opentelemetry else CaptureAccount()


def _export_spans(tracer_provider: trace.TracerProvider) -> None:
    """What ``opentelemetry-instrument`` does at its end, for those who instrument by a line of code."""
    for entry_point in entry_points(group="opentelemetry_post_instrument", name=SCOPE):
        entry_point.load()(tracer_provider)


def _default_owner(settings: Settings, resource: Mapping[str, Any]) -> Attribution:
    """Options over environment (already merged in ``settings``) over resource."""
    return Attribution.from_settings(settings).over(Attribution.from_resource(resource))
