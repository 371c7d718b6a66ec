"""The table of what is compared: how the instrumentor is set up, which calls are timed, and how much may be added to
them.

Each scenario is measured in a process of its own, because a process has one instrumentor. Within it, everything that
a ratio needs is timed side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks.slices import Variant
    from benchmarks.stage import Stage

SPAN = "bare span, 8 attributes"
DETACHED_SPAN = "bare span, 8 attributes, start_span().end()"


def followed_by_span(variant: str) -> str:
    """Name of the variant that makes the bare span right after each call of another one."""
    return f"{variant}, then a bare span"


@dataclass(frozen=True)
class Limit:
    """The most that may be added.

    Attributes:
        most: How much.
        unit: ``× span``: times the bare span in its own loop; ``× beside``: times what a bare span adds to the same
            call; ``× itself``: times the comparison's own unit; ``µs``: microseconds.
    """

    most: float
    unit: Literal["× span", "× beside", "× itself", "µs"]


@dataclass(frozen=True)
class Comparison:
    """What one variant costs beyond another.

    Attributes:
        name: What was added.
        variant: The variant that does more.
        bare: The variant that does less.
        limit: The most that the difference may be; ``None`` when it is shown for information.
        cheaper_than: Name of another comparison of the scenario whose difference must be larger.
        itself: The variant that the difference is a multiple of, besides the bare span.
    """

    name: str
    variant: str
    bare: str
    limit: Limit | None = None
    cheaper_than: str | None = None
    itself: str | None = None


@dataclass(frozen=True)
class Scenario:
    """One set-up and what is compared in it.

    Attributes:
        name: For ``--only``.
        title: What it is about.
        prepare: Sets the process up and gives the variants by name. The bare spans are added to them.
        comparisons: What is reported.
    """

    name: str
    title: str
    prepare: Callable[[], tuple[Stage, dict[str, Variant]]]
    comparisons: tuple[Comparison, ...]


def _capture() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import redis_peer, workload
    from benchmarks.stage import Stage
    from genops_otel_posthog import governance

    def governance_block() -> None:
        with governance(
            team="checkout", project="web-shop", environment="production", customer_id="acme", baggage=False
        ):
            pass

    stage = Stage()
    capture = stage.bare(workload.capture)
    redis_get = stage.other(redis_peer.bare_get())
    instrumented_redis_get = stage.other(redis_peer.instrumented_get(stage.tracer_provider))
    return stage, {
        "capture, bare": capture,
        "capture, governed": stage.governed(workload.capture),
        "redis GET, bare": redis_get,
        "redis GET, instrumented": instrumented_redis_get,
        "capture, bare, then redis GET, bare": stage.then(capture, redis_get),
        "capture, bare, then redis GET, instrumented": stage.then(capture, instrumented_redis_get),
        "entering and leaving a governance block": stage.other(governance_block),
    }


def _capture_without_properties() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage(event_properties="off")
    return stage, {
        "capture, bare": stage.bare(workload.capture),
        "capture, governed": stage.governed(workload.capture),
    }


def _capture_with_budgets() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import budgets, workload
    from benchmarks.stage import Stage

    stage = Stage(budgets=budgets.MATCHING_ALL[:2], governance_policy="enforced", ledger_url="memory://")
    return stage, {
        "capture, bare": stage.bare(workload.capture),
        "capture, governed": stage.governed(workload.capture),
    }


def _decision() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import budgets
    from benchmarks.stage import Stage

    stage = Stage()
    return stage, {
        "nothing": stage.other(lambda: None),
        "decision, one budget": stage.other(budgets.decision(1)),
        "decision, four budgets": stage.other(budgets.decision(4)),
        "decision and settlement, one budget": stage.other(budgets.decision_and_settlement(1)),
        "refusal": stage.other(budgets.refusal()),
    }


def _sampled_out() -> tuple[Stage, dict[str, Variant]]:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage(sampler=ALWAYS_OFF)
    return stage, {
        "capture, bare": stage.bare(workload.capture),
        "capture, sampled out": stage.governed(workload.capture),
    }


# The next two time `set`: it passes the same two wrappers as `capture` and does a third of the work besides, so that a
# difference of a microsecond can be seen.


def _suppressed() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage()
    return stage, {
        "set, bare": stage.bare(workload.set_person),
        "set, suppressed": stage.suppressed(workload.set_person),
    }


def _uninstrumented() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage()
    held = stage.held(workload.set_person, "set")
    stage.uninstrument()
    return stage, {
        "set, bare": stage.bare(workload.set_person),
        "set, un-instrumented": stage.governed(workload.set_person),
        "set, method taken before": held,
    }


def _no_provider() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage(providers=False)
    return stage, {
        "capture, bare": stage.bare(workload.capture),
        "capture, without a tracer provider": stage.governed(workload.capture),
    }


def _local_flag() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage()
    return stage, {
        "flag without event, bare": stage.bare(workload.read_flag),
        "flag without event, governed": stage.governed(workload.read_flag),
        "flag reported before, bare": stage.bare(workload.read_reported_flag),
        "flag reported before, governed": stage.governed(workload.read_reported_flag),
        "flag with event, bare": stage.bare(workload.read_new_flag),
        "flag with event, governed": stage.governed(workload.read_new_flag),
    }


def _local_flag_without_span() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage(spans=["capture", "flags", "definitions", "config"])
    return stage, {
        "flag without event, bare": stage.bare(workload.read_flag),
        "flag without event, no span": stage.governed(workload.read_flag),
        "flag reported before, bare": stage.bare(workload.read_reported_flag),
        "flag reported before, no span": stage.governed(workload.read_reported_flag),
    }


def _span_end() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import span_end

    return span_end.prepare()


def _adapter() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import adapter

    return adapter.prepare()


def _frameworks() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import frameworks

    return frameworks.prepare()


def _others() -> tuple[Stage, dict[str, Variant]]:
    from benchmarks import workload
    from benchmarks.stage import Stage

    stage = Stage()
    return stage, {
        "set, bare": stage.bare(workload.set_person),
        "set, governed": stage.governed(workload.set_person),
        "evaluate_flags, bare": stage.bare(workload.evaluate_flags),
        "evaluate_flags, governed": stage.governed(workload.evaluate_flags),
    }


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "capture",
        "a captured event: span, attribution, price and metrics",
        _capture,
        (
            Comparison(
                "governance",
                "capture, governed",
                "capture, bare",
                Limit(1.4, "× span"),
                cheaper_than="the redis instrumentation",
            ),
            Comparison("the redis instrumentation", "redis GET, instrumented", "redis GET, bare"),
            Comparison(
                "the redis instrumentation, beside a capture",
                "capture, bare, then redis GET, instrumented",
                "capture, bare, then redis GET, bare",
            ),
        ),
    ),
    Scenario(
        "capture-without-properties",
        "the same with GENOPS_EVENT_PROPERTIES=off",
        _capture_without_properties,
        (Comparison("governance", "capture, governed", "capture, bare"),),
    ),
    Scenario(
        "capture-with-budgets",
        "the same with two budgets that refuse what would exceed them",
        _capture_with_budgets,
        (Comparison("governance", "capture, governed", "capture, bare", Limit(1.4, "× span")),),
    ),
    Scenario(
        "decision",
        "may this call be made? asked of the governor while its leases last",
        _decision,
        (
            Comparison("one matching budget", "decision, one budget", "nothing", Limit(1, "µs")),
            Comparison("four matching budgets", "decision, four budgets", "nothing", Limit(2, "µs")),
            Comparison("decision and settlement", "decision and settlement, one budget", "nothing"),
            Comparison("a refusal of a spent budget", "refusal", "nothing"),
        ),
    ),
    Scenario(
        "adapter",
        "a capture of the adapter beside one of the instrumented SDK",
        _adapter,
        (
            Comparison(
                "a capture",
                "capture of an adapter",
                "nothing",
                Limit(1.25, "× itself"),
                itself="capture, governed",
            ),
            Comparison(
                "a capture with the adapter's budget",
                "capture of an adapter, with its budget",
                "nothing",
                itself="capture, governed",
            ),
            Comparison("an adapter for a known key", "an adapter for a known key", "nothing", Limit(50, "µs")),
            Comparison("a remembered flag", "a remembered flag", "nothing", Limit(3, "µs")),
        ),
    ),
    Scenario(
        "sampled-out",
        "a captured event of a trace that is not sampled",
        _sampled_out,
        (Comparison("governance", "capture, sampled out", "capture, bare", Limit(0.6, "× span")),),
    ),
    Scenario(
        "suppressed",
        "a call where OpenTelemetry's instrumentation is suppressed",
        _suppressed,
        (Comparison("a suppressed instrumentation", "set, suppressed", "set, bare", Limit(2, "µs")),),
    ),
    Scenario(
        "uninstrumented",
        "a call after the instrumentation was taken off",
        _uninstrumented,
        (
            Comparison("what is left", "set, un-instrumented", "set, bare", Limit(2, "µs")),
            Comparison("a method taken before", "set, method taken before", "set, bare", Limit(2, "µs")),
        ),
    ),
    Scenario(
        "local-flag",
        "a flag that the SDK evaluates from local definitions",
        _local_flag,
        (
            Comparison(
                "without event", "flag without event, governed", "flag without event, bare", Limit(1.2, "× span")
            ),
            Comparison(
                "event sent before",
                "flag reported before, governed",
                "flag reported before, bare",
                Limit(1.2, "× span"),
            ),
            Comparison("event queued", "flag with event, governed", "flag with event, bare"),
        ),
    ),
    Scenario(
        "local-flag-without-span",
        "the same with GENOPS_SPANS=capture,flags,definitions,config",
        _local_flag_without_span,
        (
            Comparison("without event", "flag without event, no span", "flag without event, bare", Limit(5, "µs")),
            Comparison(
                "event sent before", "flag reported before, no span", "flag reported before, bare", Limit(5, "µs")
            ),
        ),
    ),
    Scenario(
        "no-provider",
        "a captured event in a process without a tracer provider",
        _no_provider,
        (Comparison("governance", "capture, without a tracer provider", "capture, bare"),),
    ),
    Scenario(
        "span-end",
        "a span that becomes a durable event where it ends: converted, serialised and appended",
        _span_end,
        tuple(
            Comparison(
                name,
                f"{name}: with its owner, durable",
                f"{name}: with its owner",
                Limit(1.0, "× itself"),
                itself=f"{name}: the span alone",
            )
            for name in ("order", "order, 4 KB", "model call", "model call, 4 KB")
        ),
    ),
    Scenario(
        "frameworks",
        "a web request with an idle session",
        _frameworks,
        tuple(
            comparison
            for name in ("Django", "Flask", "ASGI")
            for comparison in (
                Comparison(name, f"{name}, idle session", f"{name}, bare", Limit(60, "µs")),
                Comparison(
                    f"{name}, in a caller's trace", f"{name}, idle session of a caller's trace", f"{name}, bare"
                ),
            )
        ),
    ),
    Scenario(
        "others",
        "a person's property, and 20 flags evaluated from local definitions at once",
        _others,
        (
            Comparison("set", "set, governed", "set, bare"),
            Comparison("evaluate_flags", "evaluate_flags, governed", "evaluate_flags, bare"),
        ),
    ),
)
