"""What became of the application's own events, as a metric; read from the account when metrics are collected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genops_otel_posthog import semconv
from genops_otel_posthog.instrumentation.captures import CaptureAccount, Captures

_captures_of: WeakKeyDictionary[Meter, WeakSet[Captures]] = WeakKeyDictionary()


def observe(meter: Meter, captures: Captures) -> None:
    """Makes ``meter`` report an account for as long as it is kept."""
    known = _captures_of.get(meter)
    if known is None:
        # An observable instrument cannot be taken back: each meter has one of a kind, however often it instruments.
        known = _captures_of[meter] = WeakSet()
        _create_instrument(meter, known)
    known.add(captures)


def _create_instrument(meter: Meter, known: WeakSet[Captures]) -> None:
    def events(_: CallbackOptions) -> Iterator[Observation]:
        sums: Counter[tuple[str, str]] = Counter()
        for captures in list(known):
            _add(sums, captures.account())
        for (state, reason), number in sums.items():
            attributes = {semconv.GENOPS_CAPTURE_STATE: state}
            if reason:
                attributes[semconv.GENOPS_CAPTURE_REASON] = reason
            yield Observation(number, attributes)

    meter.create_observable_up_down_counter(
        semconv.METRIC_GENOPS_CAPTURE_EVENTS, [events], "{event}", "What became of the application's own events."
    )


def _add(sums: Counter[tuple[str, str]], account: CaptureAccount) -> None:
    sums[semconv.CAPTURE_STATE_ADMITTED, ""] += account.admitted - account.beside_outbox
    if account.beside_outbox:
        sums[semconv.CAPTURE_STATE_ADMITTED, "outbox_unusable"] += account.beside_outbox
    sums[semconv.CAPTURE_STATE_STORED, ""] += account.stored
    sums[semconv.CAPTURE_STATE_DELIVERED, ""] += account.delivered
    sums[semconv.CAPTURE_STATE_PENDING, ""] += account.pending
    for state, reasons in (
        (semconv.CAPTURE_STATE_REFUSED, account.refused),
        (semconv.CAPTURE_STATE_FAILED, account.failed),
        (semconv.CAPTURE_STATE_DROPPED, account.dropped),
    ):
        for reason, number in reasons.items():
            sums[state, reason] += number
