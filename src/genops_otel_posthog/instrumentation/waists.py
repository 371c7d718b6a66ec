"""The meters: functions around the places inside the SDK that everything of one kind passes through.

Every event of the synchronous client passes ``Client._enqueue``; every event of the asynchronous one
``_prepare_event`` and then ``_enqueue_prepared_event``; every remote flag request the module global ``flags``; every
download of flag definitions the module global ``get``. They have kept these names since version 6.0. What is recorded
here is what really happened, whichever public method, background thread or exception hook caused it. Nothing here ever
raises on its own account.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from inspect import unwrap
from typing import Any

from opentelemetry.context import get_current

from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.instrumentation.call import PostHogCall, context_to_observe, current_call, latest_call
from genops_otel_posthog.instrumentation.enforcement import Decision
from genops_otel_posthog.instrumentation.operations import LOAD_FLAG_DEFINITIONS
from genops_otel_posthog.instrumentation.patches import Around, Switch
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.pricing.billing import FLAG_REQUEST, Charge, definitions_poll

_logger = logging.getLogger(__name__)

_SPENT = "a budget of this application is spent"
_DEFINITION_PATHS = ("/flags/definitions", "/api/feature_flag/local_evaluation")


def _observed(switch: Switch, call: PostHogCall | None) -> bool:
    """Whether what passes here is observed: in a call always, else unless instrumentation is suppressed."""
    return switch.in_calls if call is not None else context_to_observe(switch) is not None


def _safely(step: Callable[..., None], *given: Any) -> None:
    try:
        step(*given)
    except Exception:
        _log_uncounted()


def _log_uncounted() -> None:
    _logger.exception("A PostHog call could not be counted; the call itself is not affected")


def enqueue_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``Client._enqueue(msg, ...) -> uuid or None``. The SDK completes ``msg`` in place.

    Our properties of a call's event are added by :func:`clean_meter`, once the SDK has cleaned its own: to have ours
    cleaned as well would take longer than all else that is done for them. They are added before where no call is open,
    where the SDK keeps only the properties of an allow-list, and to an SDK that cleans events somewhere else.
    """

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        cleans = "clean" in getattr(getattr(unwrap(original), "__code__", None), "co_names", ())

        # `args` begins with the client and the message. Everything is written out: this is in the way of every event.
        def _enqueue(*args: Any, **kwargs: Any) -> Any:
            call = latest_call.get()
            if call is None or call.closed:
                call = None
                if context_to_observe(switch) is None:
                    return original(*args, **kwargs)
                its = telemetry
            elif switch.in_calls:
                its = call.telemetry
            else:
                return original(*args, **kwargs)
            decision = None
            try:
                client, message = args[0], args[1]
                charges = its.charges_for(client, message)
                decision = its.judge_event(message, call, charges)
                if decision is not None and not decision.allowed:
                    return None
                if call is None or not cleans or kwargs.get("property_allowlist") is not None:
                    its.govern_event(message, call, charges)
                else:
                    call.uncleaned = message, charges
            except Exception:
                _log_uncounted()
                its.conclude(decision, made=False)
                return original(*args, **kwargs)
            taken = False
            try:
                uuid = original(*args, **kwargs)
                taken = uuid is not None and client.send
            finally:
                if decision is not None:
                    its.conclude(decision, made=taken)
            if taken:
                try:
                    its.count_event(message, call, charges)
                except Exception:
                    _log_uncounted()
            return uuid

        return _enqueue

    return around


def clean_meter(_telemetry: Telemetry, _: Switch) -> Around:
    """The meter at ``posthog.client.clean(item)``, where a call's event is complete and ``before_send`` has not seen
    it."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def clean(item: Any) -> Any:
            cleaned = original(item)
            call = latest_call.get()
            if call is not None and call.uncleaned is not None and call.uncleaned[0] is item:
                charges = call.uncleaned[1]
                call.uncleaned = None
                try:
                    call.telemetry.govern_event(cleaned, call, charges)
                except Exception:
                    _log_uncounted()
            return cleaned

        return clean

    return around


def prepare_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``AsyncClient._prepare_event(msg, ...)``, where an event can still be given its owner."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _prepare_event(self: Any, msg: Any, *args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if _observed(switch, call):
                try:
                    admitted = govern(self, msg, call)
                except Exception:
                    _log_uncounted()
                else:
                    if not admitted:
                        return None, None
            return original(self, msg, *args, **kwargs)

        return _prepare_event

    def govern(client: Any, message: Any, call: PostHogCall | None) -> bool:
        its = telemetry if call is None else call.telemetry
        charges = its.charges_for(client, message)
        decision = its.judge_event(message, call, charges)
        if decision is not None and not decision.allowed:
            return False
        if call is None:
            its.conclude(decision, made=True)  # nobody would say later whether the SDK took it
        elif isinstance(decision, Reservation):
            call.reserved = decision
        its.govern_event(message, call, charges)
        return True

    return around


def admission_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``AsyncClient._enqueue_prepared_event(event) -> bool``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _enqueue_prepared_event(self: Any, prepared: Any) -> Any:
            admitted = original(self, prepared)
            call = current_call()
            if admitted and _observed(switch, call):
                _safely(_count_event, telemetry if call is None else call.telemetry, self, prepared, call)
            return admitted

        return _enqueue_prepared_event

    return around


def _count_event(telemetry: Telemetry, client: Any, message: Any, call: PostHogCall | None) -> None:
    if call is not None and call.reserved is not None:
        reserved, call.reserved = call.reserved, None
        telemetry.conclude(reserved, made=True)
    telemetry.count_event(message, call, telemetry.charges_for(client, message))


def immediate_meter(_telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``_AsyncConsumer.request(batch)`` as ``capture_immediate`` calls it: sent at once, never queued."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def request(self: Any, batch: Any) -> Any:
            result = await original(self, batch)
            call = current_call()
            if switch.in_calls and call is not None:
                call.touched_network = True
                for message in batch:
                    _safely(_count_event, call.telemetry, self, message, call)
            return result

        return request

    return around


def flags_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``posthog.client.flags(...)``: one answered request is one unit, however many flags it asks for."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def flags(*args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if not _observed(switch, call):
                return original(*args, **kwargs)
            its = telemetry if call is None else call.telemetry
            decision = _ask_for_request(its, FLAG_REQUEST)
            try:
                answer = original(*args, **kwargs)
            except Exception as error:
                its.conclude(decision, made=False)
                _note_unanswered(error)
                raise
            its.conclude(decision, made=True)
            _safely(_count_flags, its)
            return answer

        return flags

    return around


def async_flags_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The same at ``posthog.async_client._async_flags(...)``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def _async_flags(*args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if not _observed(switch, call):
                return await original(*args, **kwargs)
            its = telemetry if call is None else call.telemetry
            decision = _ask_for_request(its, FLAG_REQUEST)
            try:
                answer = await original(*args, **kwargs)
            except Exception as error:
                its.conclude(decision, made=False)
                _note_unanswered(error)
                raise
            its.conclude(decision, made=True)
            _safely(_count_flags, its)
            return answer

        return _async_flags

    return around


def _ask_for_request(telemetry: Telemetry, charges: tuple[Charge, ...]) -> Decision | None:
    """Asks budgets about a flag request.

    Raises:
        QuotaLimitError: they refuse it. PostHog's own answer when a quota is used up, which the SDK understands: it
            goes on with what it knows, and the application gets its default value.
    """
    decision = telemetry.judge_request(charges)
    if decision is not None and not decision.allowed:
        call = current_call()
        if call is not None:
            call.quota_limited = True
        refused: Exception = sys.modules["posthog.request"].QuotaLimitError(
            402, "a budget of this application is spent"
        )
        raise refused
    return decision


def _count_flags(telemetry: Telemetry) -> None:
    call = current_call()
    if call is not None:
        call.touched_network = True
        call.flag_requests += 1
    telemetry.count_request(FLAG_REQUEST)


def _note_unanswered(error: Exception) -> None:
    call = current_call()
    if call is not None:
        call.touched_network = True
        call.unanswered = type(error).__name__
        call.quota_limited = call.unanswered == "QuotaLimitError"


def definitions_meter(telemetry: Telemetry, switch: Switch) -> Around:
    """The meter at ``posthog.client.get(key, url, host, ...)``.

    A poll that nobody asked for (the SDK's poller) is a call of its own.
    """

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(api_key: Any, url: Any, host: Any = None, *args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if not str(url).startswith(_DEFINITION_PATHS) or not _observed(switch, call):
                return original(api_key, url, host, *args, **kwargs)
            if call is not None:
                return download(call, api_key, url, host, *args, **kwargs)
            poll = telemetry.open_call(LOAD_FLAG_DEFINITIONS, {}, get_current())
            token = latest_call.set(poll)
            error: BaseException | None = None
            try:
                return download(poll, api_key, url, host, *args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                poll.closed = True
                latest_call.reset(token)
                telemetry.finish_call(poll, (_PollingClient(host),), {}, None, error)

        def download(call: PostHogCall, *args: Any, **kwargs: Any) -> Any:
            its = call.telemetry
            decision = its.judge_request(definitions_poll(its.pricer.book, not_modified=False))
            if decision is not None and not decision.allowed:
                return _unchanged_definitions(kwargs.get("etag"))
            call.touched_network = True
            answer = None
            try:
                answer = original(*args, **kwargs)
            finally:
                its.conclude(decision, made=answer is not None and not _is_unchanged(answer))
            _safely(_count_definitions, its, call, answer)
            return answer

        return get

    return around


class _PollingClient:
    """Stands for the client that polls, which the SDK does not name at this place."""

    def __init__(self, host: Any) -> None:
        self.host = host


def _is_unchanged(answer: Any) -> bool:
    return bool(getattr(answer, "not_modified", False))


def _unchanged_definitions(etag: Any) -> Any:
    """What the SDK takes for "you have the present definitions", so that it goes on with those it has.

    Raises:
        APIError: an SDK that knows no such answer; it logs the error and goes on as well.
    """
    request = sys.modules["posthog.request"]
    if hasattr(request, "GetResponse"):
        return request.GetResponse(data=None, etag=etag, not_modified=True)
    refused: Exception = request.APIError(429, _SPENT)
    raise refused


def _count_definitions(telemetry: Telemetry, call: PostHogCall, answer: Any) -> None:
    not_modified = _is_unchanged(answer)
    if not not_modified:
        call.definition_polls += 1
    telemetry.count_request(definitions_poll(telemetry.pricer.book, not_modified))


def network_marker(_: Telemetry, __: Switch) -> Around:
    """Marks the current call as one that waited for PostHog, at requests that PostHog does not bill by themselves."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*args: Any, **kwargs: Any) -> Any:
            call = current_call()
            if call is not None:
                call.touched_network = True
            return original(*args, **kwargs)

        return waiting

    return around


#: Where each meter is put: (module of the SDK, name in it, meter).
WAISTS: tuple[tuple[str, str, Callable[[Telemetry, Switch], Around]], ...] = (
    ("posthog.client", "Client._enqueue", enqueue_meter),
    ("posthog.client", "clean", clean_meter),
    ("posthog.client", "flags", flags_meter),
    ("posthog.client", "get", definitions_meter),
    ("posthog.client", "_get_with_identity", definitions_meter),
    ("posthog.client", "remote_config", network_marker),
    ("posthog.client", "_remote_config_with_identity", network_marker),
    ("posthog.client", "batch_post", network_marker),
    ("posthog.client", "_send_v1_batch", network_marker),
    ("posthog.async_client", "AsyncClient._prepare_event", prepare_meter),
    ("posthog.async_client", "AsyncClient._enqueue_prepared_event", admission_meter),
    ("posthog.async_client", "_async_flags", async_flags_meter),
    ("posthog.async_client", "_async_remote_config", network_marker),
    ("posthog._async_consumer", "_AsyncConsumer.request", immediate_meter),
)
