"""The instrumentor: on, off, suppressed, hooked, misconfigured."""

from __future__ import annotations

import logging
from typing import Any

import posthog
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased

from genops_otel_posthog import GenOpsConfigurationError, PostHogInstrumentor

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")


def replaced_names() -> set[str]:
    """Names in the SDK that are functions of ours."""

    def ours(value: object) -> bool:
        code = getattr(value, "__code__", None)
        return code is not None and "genops_otel_posthog" in code.co_filename

    found = {f"Client.{name}" for name, value in vars(posthog.Client).items() if ours(value)}
    return found | {f"client.{name}" for name, value in vars(posthog.client).items() if ours(value)}


@pytest.mark.requirement("S4-35", "E-02")
def test_uninstrumenting_leaves_nothing_behind(instrument, client, receiver):
    before = (vars(posthog.Client)["capture"], posthog.client.flags, posthog.capture)
    observed = instrument(team="checkout")
    assert replaced_names() >= {"Client.capture", "Client._enqueue", "client.flags"}
    PostHogInstrumentor().uninstrument()
    assert replaced_names() == set()
    assert (vars(posthog.Client)["capture"], posthog.client.flags, posthog.capture) == before
    client.capture("e", distinct_id="u1")
    client.flush()
    assert observed.spans == []
    assert "genops_team" not in receiver.events()[0].properties


@pytest.mark.requirement("S4-35")
def test_a_method_taken_while_instrumented_is_quiet_afterwards(instrument, client):
    observed = instrument()
    capture = client.capture
    PostHogInstrumentor().uninstrument()
    assert capture("e", distinct_id="u1")
    assert observed.spans == []
    assert observed.usage() == {}


@pytest.mark.requirement("S4-35")
def test_instrumenting_twice_counts_once(instrument, client, caplog):
    observed = instrument()
    PostHogInstrumentor().instrument()
    assert "already instrumented" in caplog.text
    client.capture("e")
    assert observed.names == ["capture e"]
    assert observed.usage() == {"events": 1}


def test_instrumenting_again_goes_on_counting(instrument, client):
    observed = instrument()
    client.capture("e")
    PostHogInstrumentor().uninstrument()
    PostHogInstrumentor().instrument(meter_provider=observed.meter_provider)
    client.capture("e")
    assert observed.usage() == {"events": 2}


def test_suppressed_calls_are_neither_shown_nor_counted(instrument, client, receiver):
    observed = instrument(team="checkout")
    with suppress_instrumentation():
        client.capture("e", distinct_id="u1")
        client.get_feature_flag("f", "u1")
    client.flush()
    assert observed.spans == []
    assert observed.usage() == {}
    assert "genops_team" not in receiver.events()[0].properties


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0.1)])
def test_sampling_loses_spans_but_no_cost(instrument, client, sampler):
    observed = instrument(sampler=sampler, usage_to_date="events=1000000")
    for _ in range(100):
        client.capture("e")
    assert len(observed.spans) < 60
    assert observed.usage() == {"events": 100}
    assert observed.cost() == pytest.approx(0.005)


def test_a_sampler_sees_the_cost(instrument, client):
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class Expensive(Sampler):
        def should_sample(
            self,
            parent_context: Any,
            trace_id: int,
            name: str,
            kind: Any = None,
            attributes: Any = None,
            *_: Any,
            **__: Any,
        ) -> SamplingResult:
            worth = (attributes or {}).get("genops.cost.amount", 0) > 0
            return SamplingResult(Decision.RECORD_AND_SAMPLE if worth else Decision.DROP, attributes)

        def get_description(self) -> str:
            return "Expensive"

    observed = instrument(sampler=Expensive(), usage_to_date="events=999999")
    client.capture("free")
    client.capture("paid")
    assert observed.names == ["capture paid"]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ("none", []),
        ("capture", ["capture e"]),
        ("flags", ["evaluate_flag f"]),
        (None, ["capture e", "evaluate_flag f"]),
    ],
)
def test_spans_can_be_chosen_while_everything_is_counted(instrument, client, spans, expected):
    observed = instrument(spans=spans)
    client.capture("e")
    client.get_feature_flag("f", "u1")
    assert observed.names == expected
    assert observed.usage() == {"events": 1, "feature_flag_requests": 1}


def test_hooks_see_span_arguments_and_result(instrument, client):
    def request_hook(span: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        span.set_attribute("asked", f"{args[0]} {sorted(kwargs)}")

    def response_hook(span: Any, seen: Any, result: Any) -> None:
        span.set_attribute("answered", result)
        assert seen is client

    observed = instrument(request_hook=request_hook, response_hook=response_hook)
    returned = client.capture("e", distinct_id="u1")
    span = observed.span("capture e")
    assert span.attributes["asked"] == "e ['distinct_id']"
    assert span.attributes["answered"] == returned


def test_a_hook_that_raises_is_logged_and_nothing_else(instrument, client, caplog):
    def hook(*_: Any) -> None:
        raise RuntimeError("hook")

    observed = instrument(request_hook=hook, response_hook=hook)
    assert client.capture("e", distinct_id="u1")
    assert observed.names == ["capture e"]
    assert caplog.text.count("Exception raised by hook") == 2


def test_all_three_scopes_are_the_same(instrument, client):
    observed = instrument()
    client.get_feature_flag("f", "u1")
    (resource,) = observed._reader.get_metrics_data().resource_metrics
    scope = resource.scope_metrics[0].scope
    span_scope = observed.spans[0].instrumentation_scope
    assert (scope.name, scope.version, scope.schema_url) == (span_scope.name, span_scope.version, span_scope.schema_url)
    assert span_scope.name == "genops_otel_posthog"


def test_without_a_provider_everything_works_and_costs_are_counted(receiver, new_client):
    PostHogInstrumentor().instrument(team="checkout")
    try:
        client = new_client()
        assert client.capture("e", distinct_id="u1")
        assert PostHogInstrumentor().telemetry.totals.by_meter()["events"][0] >= 1
    finally:
        PostHogInstrumentor().uninstrument()


def test_an_unknown_option_is_an_error_that_lists_the_known_ones(instrument):
    with pytest.raises(GenOpsConfigurationError, match=r"there is no option teem; there are .*team"):
        instrument(teem="checkout")


def test_a_bad_option_is_an_error_that_says_what_would_do(instrument):
    with pytest.raises(
        GenOpsConfigurationError, match=r"pricing_mode='cheap' cannot be used: it must be one of metered, list"
    ):
        instrument(pricing_mode="cheap")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GENOPS_PRICING_MODE", "cheap"),
        ("GENOPS_GOVERNANCE_POLICY", "bogus"),
        ("GENOPS_TAGS", "no-equals-sign"),
        ("GENOPS_PRICE_BOOK", "/does/not/exist.yaml"),
        ("GENOPS_USAGE_TO_DATE", "evnts=1"),
        ("GENOPS_SPANS", "captures"),
    ],
)
def test_a_bad_variable_is_an_error_in_code_and_one_log_line_under_zero_code(
    instrument, client, monkeypatch, caplog, name, value
):
    monkeypatch.setenv(name, value)
    with pytest.raises(GenOpsConfigurationError):
        instrument()
    with caplog.at_level(logging.WARNING, logger="genops_otel_posthog"):
        observed = instrument(skip_dep_check=True)
    lines = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert len(lines) == 1, caplog.text
    assert value in lines[0]
    client.capture("e")
    assert observed.usage() == {"events": 1}


def test_options_may_be_given_as_text_or_as_values(instrument, client):
    observed = instrument(spans=["capture"], tags={"plan": "gold"}, record_distinct_id="true", metric_labels="none")
    client.capture("e", distinct_id="u1")
    attributes = observed.span("capture e").attributes
    assert attributes["genops.tag.plan"] == "gold"
    assert attributes["posthog.distinct_id"] == "u1"
    assert observed.points("genops.usage")[0][0].keys() == {"genops.provider", "genops.cost.meter"}


def test_tags_of_the_option_and_of_the_environment_add_up(instrument, client, monkeypatch):
    monkeypatch.setenv("GENOPS_TAGS", "tier=gold,platform=ios")
    observed = instrument(tags={"platform": "android", "note": "a,b=c"})
    client.capture("e")
    tags = {key: value for key, value in observed.span("capture e").attributes.items() if "tag" in key}
    assert tags == {"genops.tag.tier": "gold", "genops.tag.platform": "android", "genops.tag.note": "a,b=c"}


def test_a_missing_sdk_is_a_logged_conflict(monkeypatch, caplog):
    monkeypatch.setattr(
        PostHogInstrumentor, "instrumentation_dependencies", lambda self: ("posthog-that-nobody-has >= 6",)
    )
    PostHogInstrumentor().instrument()
    assert "posthog-that-nobody-has" in caplog.text
    assert not PostHogInstrumentor().is_instrumented_by_opentelemetry
