"""The meters: wrappers at the places inside the SDK that everything of one kind passes through.

Every event of the synchronous client passes ``Client._enqueue``; every event of the asynchronous one
``_prepare_event`` and then ``_enqueue_prepared_event``; every remote flag request the module global ``flags``; every
download of flag definitions the module global ``get``. They have kept these names since version 6.0. What is recorded
here is what really happened, whichever public method, background thread or exception hook caused it. Nothing here ever
raises on its own account.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from genops_otel_posthog import semconv
from genops_otel_posthog.instrumentation.call import current_call, enter_call, leave_call
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.instrumentation.wrappers import Switch, Wrapper
from genops_otel_posthog.pricing.billing import FLAG_REQUEST, definitions_poll

_logger = logging.getLogger(__name__)

_DEFINITION_PATHS = ("/flags/definitions", "/api/feature_flag/local_evaluation")


def _observing(switch: Switch) -> bool:
    return switch.on and (current_call() is not None or is_instrumentation_enabled())


def _safely(step: Callable[..., None], *given: Any) -> None:
    try:
        step(*given)
    except Exception:
        _logger.exception("A PostHog call could not be counted; the call itself is not affected")


def enqueue_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``Client._enqueue(msg, ...) -> uuid or None``. The SDK completes ``msg`` in place."""

    def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        message = args[0] if args else kwargs.get("msg")
        if not isinstance(message, dict) or not _observing(switch):
            return wrapped(*args, **kwargs)
        _safely(telemetry.govern_event, instance, message)
        uuid = wrapped(*args, **kwargs)
        if uuid is not None and instance.send:
            _safely(telemetry.count_event, message)
        return uuid

    return meter


def prepare_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``AsyncClient._prepare_event(msg, ...) -> (event, uuid)``, where an event can still be given its
    owner."""

    def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        message = args[0] if args else kwargs.get("msg")
        if isinstance(message, dict) and _observing(switch):
            _safely(telemetry.govern_event, instance, message)
        return wrapped(*args, **kwargs)

    return meter


def admission_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``AsyncClient._enqueue_prepared_event(event) -> bool``."""

    def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        admitted = wrapped(*args, **kwargs)
        if admitted and _observing(switch):
            _safely(telemetry.count_event, args[0] if args else kwargs["prepared"])
        return admitted

    return meter


def immediate_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``_AsyncConsumer.request(batch)`` as ``capture_immediate`` calls it: delivered at once, never
    queued."""

    async def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = await wrapped(*args, **kwargs)
        call = current_call()
        if switch.on and call is not None:
            call.touched_network = True
            for message in args[0] if args else kwargs["batch"]:
                _safely(telemetry.count_event, message)
        return result

    return meter


def flags_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``posthog.client.flags(...)``: one answered request is one unit, however many flags it asks for."""

    def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _observing(switch):
            return wrapped(*args, **kwargs)
        try:
            answer = wrapped(*args, **kwargs)
        except Exception as error:
            _safely(_note_refused_flags, error)
            raise
        _safely(_count_flags, telemetry)
        return answer

    return meter


def async_flags_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The same at ``posthog.async_client._async_flags(...)``."""

    async def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _observing(switch):
            return await wrapped(*args, **kwargs)
        try:
            answer = await wrapped(*args, **kwargs)
        except Exception as error:
            _safely(_note_refused_flags, error)
            raise
        _safely(_count_flags, telemetry)
        return answer

    return meter


def _count_flags(telemetry: Telemetry) -> None:
    call = current_call()
    if call is not None:
        call.touched_network = True
        call.flag_requests += 1
    telemetry.count_request(FLAG_REQUEST)


def _note_refused_flags(error: Exception) -> None:
    call = current_call()
    if call is not None:
        call.touched_network = True
        call.quota_limited = type(error).__name__ == "QuotaLimitError"


def definitions_meter(telemetry: Telemetry, switch: Switch) -> Wrapper:
    """The meter at ``posthog.client.get(key, path, ...)``. A poll that nobody asked for (the SDK's poller) is a call
    of its own."""

    def meter(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = args[1] if len(args) > 1 else kwargs.get("url", "")
        if not _observing(switch) or not str(path).startswith(_DEFINITION_PATHS):
            return wrapped(*args, **kwargs)
        call = current_call()
        if call is not None:
            call.touched_network = True
            answer = wrapped(*args, **kwargs)
            _safely(_count_definitions, telemetry, answer)
            return answer
        poll = telemetry.open_call(semconv.OPERATION_LOAD_FLAG_DEFINITIONS, None)
        poll.touched_network = True
        token = enter_call(poll)
        error: BaseException | None = None
        try:
            answer = wrapped(*args, **kwargs)
            _safely(_count_definitions, telemetry, answer)
            return answer
        except BaseException as raised:
            error = raised
            raise
        finally:
            leave_call(poll, token)
            telemetry.finish_call(poll, _Host(args, kwargs), args, kwargs, None, error)

    return meter


class _Host:
    """Stands for the client that polls, which the SDK does not name at this place."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.host = args[2] if len(args) > 2 else kwargs.get("host")


def _count_definitions(telemetry: Telemetry, answer: Any) -> None:
    not_modified = bool(getattr(answer, "not_modified", False))
    call = current_call()
    if call is not None and not not_modified:
        call.definition_polls += 1
    telemetry.count_request(definitions_poll(telemetry.pricer.book, not_modified))


def network_marker(_: Telemetry, switch: Switch) -> Wrapper:
    """Marks the current call as one that waited for PostHog, at requests that PostHog does not bill by themselves."""

    def marker(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current_call()
        if switch.on and call is not None:
            call.touched_network = True
        return wrapped(*args, **kwargs)

    return marker
