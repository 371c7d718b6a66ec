"""The instrumentor: puts the wrappers on the PostHog SDK and takes them off again."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # is in __all__
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution, AttributionResolver
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.instrumentation import waists
from genops_otel_posthog.instrumentation.legacy import accept_legacy_capture
from genops_otel_posthog.instrumentation.options import OPTION_NAMES, PostHogConfig, merge_options
from genops_otel_posthog.instrumentation.telemetry import RequestHook, ResponseHook, Telemetry
from genops_otel_posthog.instrumentation.wrapped_calls import ASYNC_CLIENT_CALLS, ASYNC_CLIENT_COROUTINES, CLIENT_CALLS
from genops_otel_posthog.instrumentation.wrappers import Switch, Wrapper, warn_at_caller, wrap_coroutine, wrap_method
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.pricer import Pricer
from genops_otel_posthog.pricing.usage import InProcessUsage, parse_usage_to_date
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK, Settings
from genops_otel_posthog.version import __version__

_logger = logging.getLogger(__name__)

_SCOPE = "genops_otel_posthog"

#: What is wrapped at the narrow waists: (module, name in it, meter). What a version lacks is left out.
_WAISTS: tuple[tuple[str, str, Callable[[Telemetry, Switch], Wrapper]], ...] = (
    ("posthog.client", "Client._enqueue", waists.enqueue_meter),
    ("posthog.client", "flags", waists.flags_meter),
    ("posthog.client", "get", waists.definitions_meter),
    ("posthog.client", "_get_with_identity", waists.definitions_meter),
    ("posthog.client", "remote_config", waists.network_marker),
    ("posthog.client", "_remote_config_with_identity", waists.network_marker),
    ("posthog.client", "batch_post", waists.network_marker),
    ("posthog.client", "_send_v1_batch", waists.network_marker),
    ("posthog.async_client", "AsyncClient._prepare_event", waists.prepare_meter),
    ("posthog.async_client", "AsyncClient._enqueue_prepared_event", waists.admission_meter),
    ("posthog.async_client", "_async_flags", waists.async_flags_meter),
    ("posthog.async_client", "_async_remote_config", waists.network_marker),
    ("posthog._async_consumer", "_AsyncConsumer.request", waists.immediate_meter),
)


class PostHogInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base class is untyped
    """Makes every call to the PostHog SDK a span that says what it costs and whose it is.

    Covers ``posthog.client.Client`` (and with it the module functions, ``Posthog`` and the MCP client) and
    ``posthog.async_client.AsyncClient``, for clients created before and after.

    Example:
        >>> PostHogInstrumentor().instrument(team="checkout", project="web-shop")  # doctest: +SKIP
    """

    #: Schema of ``instrumentation/development: python: posthog:`` in OpenTelemetry's declarative configuration.
    configuration = PostHogConfig

    def instrumentation_dependencies(self) -> Collection[str]:
        """The range of the SDK that is supported."""
        return ("posthog >= 6.0.0, < 8",)

    def instrument(self, **kwargs: Any) -> None:
        """Instruments the SDK.

        Args:
            tracer_provider: Where spans go; the global one when not given.
            meter_provider: Where metrics go; the global one when not given.
            request_hook: ``hook(span, client, args, kwargs)``, called with every recording span.
            response_hook: ``hook(span, client, result)``, likewise.
            **kwargs: The options of :class:`PostHogConfig`. What is not given is taken from the environment.

        Raises:
            GenOpsConfigurationError: an option or an environment variable cannot be used. Under
                ``opentelemetry-instrument``
                it is logged instead and the default stands.
        """
        # `opentelemetry-instrument` has checked dependencies by itself and says so; nobody else passes this argument.
        self._zero_code = bool(kwargs.get("skip_dep_check", False))
        super().instrument(**kwargs)

    def _instrument(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        request_hook: RequestHook | None = None,
        response_hook: ResponseHook | None = None,
        **options: Any,
    ) -> None:
        options.pop("logger_provider", None)
        unknown = sorted(options.keys() - OPTION_NAMES)
        if unknown:
            raise GenOpsConfigurationError(
                f"PostHogInstrumentor().instrument() has no option {', '.join(unknown)}; "
                f"it has {', '.join(sorted(OPTION_NAMES))}"
            )
        strict = not self._zero_code
        settings = merge_options(Settings.from_environ(strict=strict), options)
        tracer_provider = tracer_provider or trace.get_tracer_provider()
        resource = getattr(getattr(tracer_provider, "resource", None), "attributes", {})
        telemetry = Telemetry(
            settings,
            AttributionResolver(_default_owner(settings, resource), settings.baggage_in),
            Pricer(_price_book(settings, strict=strict), _usage(settings, strict=strict), settings.pricing_mode),
            trace.get_tracer(_SCOPE, __version__, tracer_provider, schema_url=semconv.SCHEMA_URL),
            metrics.get_meter(_SCOPE, __version__, meter_provider, schema_url=semconv.SCHEMA_URL),
            request_hook,
            response_hook,
        )
        self.telemetry = telemetry
        self._switch = Switch()
        self._wrapped: list[tuple[Any, str]] = []
        self._wrap_everything(telemetry, self._switch)

    def _wrap_everything(self, telemetry: Telemetry, switch: Switch) -> None:
        for call in CLIENT_CALLS:
            self._wrap("posthog.client", f"Client.{call.method}", wrap_method(telemetry, switch, call))
        for call in ASYNC_CLIENT_CALLS:
            self._wrap(
                "posthog.async_client",
                f"AsyncClient.{call.method}",
                warn_at_caller(wrap_method(telemetry, switch, call)),
            )
        for call in ASYNC_CLIENT_COROUTINES:
            self._wrap("posthog.async_client", f"AsyncClient.{call.method}", wrap_coroutine(telemetry, switch, call))
        for module, name, meter in _WAISTS:
            self._wrap(module, name, meter(telemetry, switch))
        self._wrap("posthog", "capture", _module_capture(switch))

    def _wrap(self, module_name: str, name: str, wrapper: Wrapper) -> None:
        try:
            owner: Any = import_module(module_name)
        except ImportError:  # an older SDK, or its optional dependency is not installed
            return
        *path, attribute = name.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        if owner is None or not hasattr(owner, attribute):
            return
        wrap_function_wrapper(owner, attribute, wrapper)
        self._wrapped.append((owner, attribute))

    def _uninstrument(self, **_: Any) -> None:
        self._switch.on = False
        while self._wrapped:
            unwrap(*self._wrapped.pop())


def _default_owner(settings: Settings, resource: Mapping[str, Any]) -> Attribution:
    """Options over environment (already merged in ``settings``) over resource."""
    return Attribution.from_settings(settings).over(Attribution.from_resource(resource))


def _price_book(settings: Settings, *, strict: bool) -> PriceBook:
    try:
        return PriceBook.load(settings.price_book)
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("GENOPS_PRICE_BOOK: %s. %s is used instead.", error, DEFAULT_PRICE_BOOK)
        return PriceBook.load(DEFAULT_PRICE_BOOK)


@functools.lru_cache(maxsize=8)
def _usage_since(usage_to_date: str | None) -> InProcessUsage:
    """The process's month-to-date usage on top of what was given. Instrumenting again goes on counting where it was."""
    return InProcessUsage(parse_usage_to_date(usage_to_date) if usage_to_date else {})


def _usage(settings: Settings, *, strict: bool) -> InProcessUsage:
    try:
        return _usage_since(settings.usage_to_date)
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("GENOPS_USAGE_TO_DATE: %s. Usage starts at 0 instead.", error)
        return _usage_since(None)


def _module_capture(switch: Switch) -> Wrapper:
    """``posthog.capture`` takes one positional argument, so the old shapes have to be understood before it."""

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1 and switch.on:
            args, kwargs = accept_legacy_capture(args, kwargs, stacklevel=3)
        return wrapped(*args, **kwargs)

    return wrapper
