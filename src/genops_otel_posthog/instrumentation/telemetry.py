"""What every instrumented call needs, assembled once: whose it is, what it costs, where that is counted and shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from genops_otel_posthog import semconv
from genops_otel_posthog.acceptance import person_processing_allowed
from genops_otel_posthog.attribution import NOBODY, Attribution, AttributionResolver
from genops_otel_posthog.budgets.decision import Refusal, Reservation
from genops_otel_posthog.instrumentation.call import PostHogCall, current_call, onlooker_in
from genops_otel_posthog.instrumentation.caller import called_by_application
from genops_otel_posthog.instrumentation.enforcement import Decision, Enforcement, weightier
from genops_otel_posthog.instrumentation.event_properties import (
    governance_properties,
    merge_with_application,
    owner_in_properties,
)
from genops_otel_posthog.instrumentation.operations import Operation
from genops_otel_posthog.instrumentation.remarks import remark_on_event, remark_on_key
from genops_otel_posthog.instrumentation.spans import (
    common_attributes,
    host_attributes,
    span_attributes,
    span_name,
)
from genops_otel_posthog.links import event_link, person_link
from genops_otel_posthog.metering.metering import Metering
from genops_otel_posthog.pricing.billing import Charge, charges_for_event, is_identified
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

#: ``hook(span, client, args, kwargs)``
RequestHook = Callable[[Span, Any, tuple[Any, ...], dict[str, Any]], None]
#: ``hook(span, client, result)``
ResponseHook = Callable[[Span, Any, Any], None]

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MOST_KINDS = 2048  # of calls, by operation, owner and destination, whose common attributes are kept


class Telemetry:
    """Opens, prices, counts and shows calls.

    Args:
        settings: The merged options.
        resolver: Answers whose call it is.
        metering: Answers what it costs, counts it, and makes the metrics.
        tracer: Makes the spans.
        enforcement: Answers whether it may be made; ``None``: everything may.
        request_hook: Called with each recording span and the call's arguments.
        response_hook: Called with each recording span and the call's result.
    """

    def __init__(
        self,
        settings: Settings,
        resolver: AttributionResolver,
        metering: Metering,
        tracer: Tracer,
        enforcement: Enforcement | None = None,
        request_hook: RequestHook | None = None,
        response_hook: ResponseHook | None = None,
    ) -> None:
        self.pricer = metering.pricer
        self.resolver = resolver
        self.totals = metering.totals
        self._event_properties = settings.event_properties
        self._group_analytics = settings.group_analytics
        self._spans = settings.spans
        self._record_distinct_id = settings.record_distinct_id
        self._project_url = settings.posthog_project_url
        self.tracer = tracer
        self._request_hook = request_hook
        self._response_hook = response_hook
        self._hooked = request_hook is not None or response_hook is not None
        self._duration = metering.meter.create_histogram(
            semconv.METRIC_POSTHOG_CLIENT_OPERATION_DURATION,
            unit="s",
            description="Duration of PostHog SDK calls that touched the network.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self.hold_to(settings.governance_policy, enforcement)

    def hold_to(self, policy: str, enforcement: Enforcement | None) -> None:
        """What calls are held to from now on.

        Args:
            policy: ``advisory``, ``enforced`` or ``strict``.
            enforcement: Answers whether they may be made; ``None``: all may.
        """
        self.governance_policy = policy
        self.application_wins = policy == "advisory"
        self.enforcement = enforcement
        self._constant: dict[str, Any] = {
            semconv.GENOPS_PROVIDER: "posthog",
            semconv.GENOPS_COST_CURRENCY: self.pricer.book.currency,
            semconv.GENOPS_COST_PRICE_BOOK: self.pricer.book.name,
            semconv.GENOPS_COST_ESTIMATED: True,
            semconv.GENOPS_POLICY_NAME: policy,
        }
        if enforcement is not None:
            self._constant[semconv.GENOPS_POLICY_RESULT] = semconv.POLICY_RESULT_ALLOWED
        # Last, so that nothing of before is found in it.
        self._common: dict[tuple[str, Attribution, object, object], dict[str, Any]] = {}

    # --- a call of the application ---------------------------------------------------------------------------------

    def open_call(self, operation: Operation, kwargs: dict[str, Any], context: Context) -> PostHogCall:
        """Opens a call. Never raises.

        Args:
            operation: What is asked for.
            kwargs: Keyword arguments of the SDK's method; event properties among them may name an owner.
            context: The OpenTelemetry context it is made in.
        """
        owner = None
        if operation.takes_properties and self.application_wins:
            try:
                declared = owner_in_properties(kwargs.get("properties"))
                if declared is not NOBODY:
                    owner = self.resolver.resolve(context, declared)
            except Exception:
                _logger.exception("The owner of a PostHog call could not be read from its properties")
        return PostHogCall(self, operation, owner, context)

    def owner_of(self, call: PostHogCall | None) -> Attribution:
        """Whose call it is; without a call, whose it would be here. Who reads a flag locally is asked only for a
        span."""
        if call is None:
            return self.resolver.resolve()
        if call.owner is None:
            call.owner = self.resolver.resolve(call.context)
        return call.owner

    def finish_call(
        self,
        call: PostHogCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
        error: BaseException | None,
    ) -> None:
        """Makes the span and the duration of a call that has returned or raised. Never raises."""
        try:
            ended_ns = time_ns()
            if call.reserved is not None:
                self.conclude(call.reserved, made=False)
            client = args[0]
            operation = call.operation
            span = None
            if (operation.switch if call.touched_network else operation.local_switch) in self._spans:
                call.span = span = self._start_span(call, operation.target_of(args, kwargs), client, result, error)
                if self._hooked and span.is_recording():
                    self._run_hooks(span, client, args[1:], kwargs, result)
            if call.touched_network:
                self._record_duration(call, ended_ns, client, span, error)
            if span is not None:
                span.end(ended_ns)
            onlooker = onlooker_in(call.context)
            if onlooker is not None:
                onlooker(call)
        except Exception:
            _logger.exception("The span of a PostHog call could not be made; the call itself is not affected")

    def _start_span(
        self, call: PostHogCall, target: str | None, client: Any, result: Any, error: BaseException | None
    ) -> Span:
        operation = call.operation
        attributes = span_attributes(call, target, self._common_for(call, client))
        if error is not None:
            attributes[semconv.ERROR_TYPE] = type(error).__qualname__
        elif operation.result_attributes is not None:
            attributes.update(operation.result_attributes(result, call.touched_network))
        if self._record_distinct_id and call.events:
            attributes[semconv.POSTHOG_DISTINCT_ID] = call.distinct_id
        if self._project_url is not None and call.events and operation.sends_event:
            attributes[semconv.POSTHOG_EVENT_URL] = event_link(self._project_url, call.event_uuid, str(call.event_time))
            if self._record_distinct_id and call.identified:
                attributes[semconv.POSTHOG_PERSON_URL] = person_link(self._project_url, call.distinct_id)
        told = None
        decision = call.decision
        if decision is not None and decision.result != semconv.POLICY_RESULT_ALLOWED and self.enforcement is not None:
            attributes.update(self.enforcement.attributes(decision))
            told = self.enforcement.span_event(decision)
        kind = operation.kind if call.touched_network else operation.local_kind
        span = self.tracer.start_span(
            span_name(operation, target), call.context, kind, attributes, start_time=call.started_ns
        )
        if error is not None:
            # The type alone: messages of HTTP errors repeat URLs, and those carry the project key.
            span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
        if told is not None:
            span.add_event(*told)
        return span

    def _run_hooks(self, span: Span, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if self._request_hook is not None:
            _run_hook(self._request_hook, span, client, args, kwargs)
        if self._response_hook is not None:
            _run_hook(self._response_hook, span, client, result)

    def _record_duration(
        self, call: PostHogCall, ended_ns: int, client: Any, span: Span | None, error: BaseException | None
    ) -> None:
        attributes: dict[str, Any] = {semconv.POSTHOG_OPERATION_NAME: call.operation.name}
        address = self._common_for(call, client).get(semconv.SERVER_ADDRESS)
        if address is not None:
            attributes[semconv.SERVER_ADDRESS] = address
        if error is not None:
            attributes[semconv.ERROR_TYPE] = type(error).__qualname__
        context = call.context if span is None else set_span_in_context(span, call.context)
        self._duration.record((ended_ns - call.started_ns) / 1e9, attributes, context)

    def _common_for(self, call: PostHogCall, client: Any) -> dict[str, Any]:
        operation, owner = call.operation, self.owner_of(call)
        host, key = getattr(client, "host", None), getattr(client, "api_key", None)
        kind = (operation.name, owner, host, key)
        kept = self._common
        common = kept.get(kind)
        if common is None:
            remark_on_key(key)
            common = common_attributes(operation, owner, {**self._constant, **host_attributes(host)})
            if len(kept) >= _MOST_KINDS:
                kept.clear()
            kept[kind] = common
        return common

    # --- what the waists saw ---------------------------------------------------------------------------------------

    def charges_for(self, client: Any, message: Mapping[str, Any]) -> tuple[Charge, ...]:
        """What PostHog bills for an event that the SDK has been given.

        Nothing for a name that is no string: PostHog refuses it, and with it the batch.
        """
        if not isinstance(message["event"], str):
            return ()
        properties = message.get("properties") or {}
        super_properties = getattr(client, "super_properties", None)
        if super_properties:
            properties = {**properties, **super_properties}
        return charges_for_event(
            message["event"],
            identified=is_identified(properties)
            and (
                # Only capture mode v1 refuses to process a person for some distinct ids.
                getattr(client, "capture_mode", None) != "v1" or person_processing_allowed(str(message["distinct_id"]))
            ),
            grouped="$groups" in properties,
            group_analytics=self._group_analytics,
        )

    def judge_event(
        self, message: dict[str, Any], call: PostHogCall | None, charges: tuple[Charge, ...]
    ) -> Decision | None:
        """Whether budgets admit an event that the SDK is about to queue; ``None`` where nobody is asked."""
        if self.enforcement is None:
            return None
        context = get_current() if call is None else call.context
        decision = self.enforcement.judge_event(
            message, self.owner_of(call), charges, context, always=call is not None and call.always
        )
        if call is not None:
            # What is said of an event counts, whatever became of flags that it was to carry.
            first = call.operation.sends_event and not call.events
            call.decision = decision if first else weightier(call.decision, decision)
        return decision

    def judge_request(self, charges: tuple[Charge, ...]) -> Decision | None:
        """The same for a request that PostHog bills by itself. Never raises."""
        if self.enforcement is None:
            return None
        try:
            call = current_call()
            decision = self.enforcement.judge_request(self.owner_of(call), charges)
        except Exception:
            _logger.exception("Budgets could not be asked about a PostHog request; it is made")
            return None
        if call is not None:
            call.decision = weightier(call.decision, decision)
        return decision

    def conclude(self, decision: Decision | None, *, made: bool) -> None:
        """Spends what was set aside for an event or a request that was made, or gives it back."""
        if isinstance(decision, Reservation) and self.enforcement is not None:
            (self.enforcement.settle if made else self.enforcement.release)(decision)

    def raise_if_refused(self, call: PostHogCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Tells the application that its event was refused, if it wants to be told that way.

        Raises:
            GenOpsBudgetExceededError: the event was refused, and ``GENOPS_ON_BUDGET_EXCEEDED=raise``.
        """
        decision = call.decision
        if isinstance(decision, Refusal) and self.enforcement is not None and self.enforcement.raises:
            operation = call.operation
            if operation.sends_event and called_by_application(operation.name):
                raise decision.error(span_name(operation, operation.target_of(args, kwargs)))

    def govern_event(self, message: dict[str, Any], call: PostHogCall | None, charges: tuple[Charge, ...]) -> None:
        """Adds owner, cost and trace to an event that the SDK is about to queue, where that is wanted.

        An event whose owner nobody named is sent exactly as the application wrote it, unless
        ``GENOPS_EVENT_PROPERTIES=on``. The SDK adds its own properties to the same dictionary, so it is never the
        application's.
        """
        if self._event_properties == "off":
            return
        context = get_current() if call is None else call.context
        owner = self.owner_of(call)
        if not owner.event_properties() and self._event_properties == "auto":
            return
        cost_nano = self.pricer.quote(charges).amount_nano
        given = message.get("properties") or {}
        added = governance_properties(owner, cost_nano, context)
        merged = {**given, **added}
        if len(merged) < len(given) + len(added):  # they name the same somewhere
            merged = merge_with_application(
                given, added, self.resolver.resolve(context), application_wins=self.application_wins
            )
        message["properties"] = merged
        if call is not None:
            call.sent = merged

    def count_event(self, message: Mapping[str, Any], call: PostHogCall | None, charges: tuple[Charge, ...]) -> None:
        """Prices and counts an event that the SDK took."""
        price = self.pricer.charge(charges)
        if call is not None:
            call.add_event(message, len(charges) > 1, price)
        self.totals.add(self.owner_of(call), charges, price)
        remark_on_event(message["event"], message["distinct_id"])

    def count_request(self, charges: tuple[Charge, ...]) -> None:
        """Prices and counts a request that PostHog answered and bills by itself: flags, definitions."""
        price = self.pricer.charge(charges)
        call = current_call()
        if call is not None:
            call.add_price(price)
        self.totals.add(self.owner_of(call), charges, price)


def _run_hook(hook: Callable[..., None], *given: Any) -> None:
    try:
        hook(*given)
    except Exception:
        _logger.warning("Exception raised by hook %r", hook, exc_info=True)
