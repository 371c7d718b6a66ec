"""Model calls recorded from real instrumentations as ``$ai_generation`` and ``$ai_embedding``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.view import iso_time

RECORDED = sorted((Path(__file__).parents[1] / "recorded").glob("*.json"))

# OpenAI's answer in every recording of it: 1,200 tokens in, 1,024 of them cached; 42 out, 16 of them reasoning.
OPENAI = {
    "$ai_input_tokens": 1200,
    "$ai_output_tokens": 42,
    "$ai_cache_read_input_tokens": 1024,
    "$ai_reasoning_tokens": 16,
    "$ai_cache_reporting_exclusive": False,
    "$ai_provider": "openai",
}
OPENAI_SOURCES = ["genai-openai", "traceloop-openai", "openinference-openai", "logfire"]

ANTHROPIC_SOURCES = ["genai-anthropic", "traceloop-anthropic", "openinference-anthropic", "logfire"]


def part(event, names):
    return {name: event.properties.get(name) for name in names}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recording_says_what_it_was_recorded_from_and_names_no_place_of_the_recorder(path):
    document = json.loads(path.read_text())
    assert document["recorded_from"] in document["versions"]
    assert {"opentelemetry-sdk", "@opentelemetry/sdk-trace-base"} & document["versions"].keys()
    assert not any(place in path.read_text() for place in ("/tmp/", "/root/", "/home/"))


@pytest.mark.parametrize(
    "source", [*OPENAI_SOURCES, "vercel-ai", "openinference-langchain", "genai-langchain", "traceloop-sdk"]
)
def test_tokens_of_openai_are_the_same_in_every_dialect(events_of, source):
    first = events_of(source, "$ai_generation")[0]
    assert part(first, OPENAI) == OPENAI


def test_conventions_without_cached_tokens_have_the_rest(events_of):
    first = events_of("openai-v2", "$ai_generation")[0]
    assert part(first, ("$ai_input_tokens", "$ai_output_tokens")) == {"$ai_input_tokens": 1200, "$ai_output_tokens": 42}
    assert "$ai_cache_read_input_tokens" not in first.properties


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "openai-v2"])
def test_the_model_is_the_one_that_answered(events_of, source):
    assert events_of(source, "$ai_generation")[0].properties["$ai_model"] == "gpt-4o-2024-08-06"


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "openai-v2"])
def test_model_parameters_are_told_by_the_names_of_the_api(events_of, source):
    properties = events_of(source, "$ai_generation")[0].properties
    expected = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 100}
    assert expected.items() <= properties["$ai_model_parameters"].items()
    assert (properties["$ai_temperature"], properties["$ai_max_tokens"]) == (0.2, 100)


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "openai-v2"])
def test_an_embedding_has_no_output(events_of, source):
    (event,) = events_of(source, "$ai_embedding")
    assert part(event, ("$ai_model", "$ai_input_tokens")) == {
        "$ai_model": "text-embedding-3-small",
        "$ai_input_tokens": 8,
    }
    assert "$ai_output_tokens" not in event.properties


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "openai-v2"])
def test_a_refused_call_says_its_error_and_the_http_status(events_of, source):
    (refused,) = [
        event
        for event in events_of(source, "$ai_generation")
        if event.properties.get("$ai_is_error") and event.properties.get("$ai_provider") == "openai"
    ]
    assert refused.properties["$ai_http_status"] == 429
    assert "Rate limit reached" in refused.properties["$ai_error"]
    assert refused.properties["$ai_model"] == "busy-model"
    assert "$ai_output_tokens" not in refused.properties


@pytest.mark.parametrize("source", ["genai-openai", "openinference-openai", "vercel-ai"])
def test_a_streamed_answer_says_when_its_first_token_came(events_of, source):
    streamed = [event for event in events_of(source, "$ai_generation") if event.properties.get("$ai_stream")]
    assert len(streamed) == 1
    first, all_of_it = (streamed[0].properties[name] for name in ("$ai_time_to_first_token", "$ai_latency"))
    assert 0 < first <= all_of_it


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "openai-v2"])
def test_every_call_to_openai_is_told_once(events_of, source):
    # Chat, stream, tool call, Responses API, refusal; the deprecated instrumentation does not know the Responses API.
    calls = [event for event in events_of(source, "$ai_generation") if event.properties["$ai_provider"] == "openai"]
    assert len(calls) == (4 if source == "openai-v2" else 5)


@pytest.mark.parametrize("source", ["genai-anthropic", "openinference-anthropic"])
def test_calls_to_anthropic_are_told_once_though_its_sdk_writes_spans_of_its_own_too(events_of, recorded, source):
    assert len(recorded(source)) == 6
    assert len(events_of(source, "$ai_generation")) == 3


def test_a_stream_that_logfire_tells_in_a_second_span_is_told_once(events_of):
    calls = [
        event for event in events_of("logfire", "$ai_generation") if event.properties["$ai_provider"] == "anthropic"
    ]
    assert len(calls) == 3


@pytest.mark.parametrize("source", ANTHROPIC_SOURCES)
def test_cached_tokens_of_anthropic_are_among_the_input_tokens_and_posthog_is_told_so(events_of, source):
    first = next(
        event for event in events_of(source, "$ai_generation") if event.properties["$ai_provider"] == "anthropic"
    )
    assert part(
        first,
        (
            "$ai_input_tokens",
            "$ai_cache_read_input_tokens",
            "$ai_cache_creation_input_tokens",
            "$ai_cache_reporting_exclusive",
        ),
    ) == {
        "$ai_input_tokens": 1350,
        "$ai_cache_read_input_tokens": 1000,
        "$ai_cache_creation_input_tokens": 300,
        "$ai_cache_reporting_exclusive": False,
    }


def test_tokens_written_to_the_cache_are_told_by_how_long_they_stay(events_of):
    first = events_of("genai-anthropic", "$ai_generation")[0]
    assert part(first, ("$ai_cache_creation_5m_input_tokens", "$ai_cache_creation_1h_input_tokens")) == {
        "$ai_cache_creation_5m_input_tokens": 100,
        "$ai_cache_creation_1h_input_tokens": 200,
    }


@pytest.mark.parametrize("source", ["botocore", "genai-bedrock", "traceloop-bedrock"])
def test_bedrock_counts_cached_tokens_apart_and_posthog_is_told_so(events_of, source):
    converse = events_of(source, "$ai_generation")[0]
    assert part(converse, ("$ai_input_tokens", "$ai_cache_read_input_tokens", "$ai_cache_reporting_exclusive")) == {
        "$ai_input_tokens": 50,
        "$ai_cache_read_input_tokens": 1000,
        "$ai_cache_reporting_exclusive": True,
    }


@pytest.mark.parametrize("source", ["botocore", "genai-bedrock", "traceloop-bedrock"])
def test_they_stay_apart_however_many_tokens_are_new(recorded, source):
    span = recorded(source)[0]
    longer = replace(span, attributes={**span.attributes, "gen_ai.usage.input_tokens": 50_000})
    (event, *_) = Rules(builtin_rules()).events_for(longer).events
    assert (event.properties["$ai_input_tokens"], event.properties["$ai_cache_reporting_exclusive"]) == (50_000, True)


def test_openinference_counts_them_among_the_others_for_bedrock_too(events_of):
    for event in events_of("openinference-bedrock", "$ai_generation"):
        assert part(event, ("$ai_input_tokens", "$ai_cache_read_input_tokens", "$ai_cache_reporting_exclusive")) == {
            "$ai_input_tokens": 1350,
            "$ai_cache_read_input_tokens": 1000,
            "$ai_cache_reporting_exclusive": False,
        }


def test_where_openai_was_reached_is_no_parameter_of_the_model(events_of):
    first = events_of("openinference-openai-agents", "$ai_generation")[0].properties
    assert first["$ai_base_url"].startswith("http://127.0.0.1:")
    assert "$ai_model_parameters" not in first


def test_a_model_name_that_was_percent_encoded_is_readable(events_of):
    invoke = events_of("traceloop-bedrock", "$ai_generation")[1]
    assert invoke.properties["$ai_model"] == "anthropic.claude-3-5-sonnet-20240620-v1:0"


@pytest.mark.parametrize("source", ["google-genai", "openinference-google-genai"])
def test_reasoning_of_gemini_is_not_paid_twice(events_of, source):
    (event,) = events_of(source, "$ai_generation")
    # 42 tokens of text and 16 of reasoning; PostHog adds the latter to the text tokens for these models.
    assert part(event, ("$ai_output_tokens", "$ai_reasoning_tokens", "$ai_text_output_tokens")) == {
        "$ai_output_tokens": 58,
        "$ai_reasoning_tokens": 16,
        "$ai_text_output_tokens": 42,
    }


def test_names_that_traceloop_used_before_the_conventions_are_read(events_of):
    (event,) = events_of("traceloop-vertexai", "$ai_generation", content=True)
    assert event.properties["$ai_model"] == "gemini-2.5-flash"
    assert event.properties["$ai_output_choices"] == [{"role": "assistant", "content": "Lisbon."}]


def test_the_outer_spans_of_vercels_sdk_repeat_the_inner_ones_and_are_no_model_calls(events_of):
    calls = events_of("vercel-ai", "$ai_generation")
    assert [event.properties.get("$ai_stop_reason") for event in calls] == ["tool-calls", "stop", "stop", None]
    assert [event.properties["$ai_span_name"] for event in events_of("vercel-ai", "$ai_trace")] == [
        "travel",
        "travel-stream",
        "index",
        "busy",
    ]


def test_person_and_session_of_vercels_sdk_are_those_it_was_given(events_of):
    first = events_of("vercel-ai", "$ai_generation")[0]
    assert (first.distinct_id, first.properties["$ai_session_id"]) == ("user-42", "conversation-1")


def test_content_of_vercels_sdk_is_read(events_of):
    (embedding,) = events_of("vercel-ai", "$ai_embedding", content=True)
    assert embedding.properties["$ai_input"] == ["Lisbon"]
    tool = next(event for event in events_of("vercel-ai", "$ai_span", content=True))
    assert (tool.properties["$ai_input_state"], tool.properties["$ai_output_state"]) == (
        {"city": "Lisbon"},
        "Sunny in Lisbon.",
    )
    second = events_of("vercel-ai", "$ai_generation", content=True)[1]
    assert second.properties["$ai_output_choices"] == [{"role": "assistant", "content": "Lisbon."}]


def test_a_conversation_becomes_the_session(events_of):
    first = events_of("pydantic-ai", "$ai_generation")[0]
    assert first.properties["$ai_session_id"] == "conversation-1"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_content_leaves_only_when_it_is_switched_on(events_of, path):
    without = events_of(path.stem)
    assert "capital of Portugal" not in json.dumps([event.body() for event in without])
    assert "Lisbon." not in json.dumps([event.properties for event in without if event.name != "$exception"])


@pytest.mark.parametrize("source", [*OPENAI_SOURCES, "genai-anthropic", "google-genai", "traceloop-bedrock"])
def test_content_that_is_switched_on_leaves(events_of, source):
    said = json.dumps([event.properties for event in events_of(source, content=True)])
    if source == "genai-anthropic":  # of a call told twice, the span that ends first counts, and it has no messages
        assert '$ai_input"' not in said
    else:
        assert "capital of Portugal" in said
        assert "Lisbon." in said


def test_instructions_are_the_first_message(events_of):
    (event,) = events_of("google-genai", "$ai_generation", content=True)
    assert event.properties["$ai_input"][0] == {"role": "system", "content": "Answer in one word."}


@pytest.mark.parametrize("source", ["genai-openai", "traceloop-openai", "openinference-openai", "logfire"])
def test_offered_tools_are_content(events_of, source):
    with_tools = [event for event in events_of(source, content=True) if "$ai_tools" in event.properties]
    assert "get_weather" in json.dumps(with_tools[0].properties["$ai_tools"])
    assert not any("$ai_tools" in event.properties for event in events_of(source))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_only_model_calls_carry_tokens_and_cost(events_of, path):
    counted = {
        "$ai_input_tokens",
        "$ai_output_tokens",
        "$ai_input_cost_usd",
        "$ai_output_cost_usd",
        "$ai_total_cost_usd",
    }
    for event in events_of(path.stem):
        if event.name not in ("$ai_generation", "$ai_embedding"):
            assert counted.isdisjoint(event.properties)


def test_a_cost_that_the_instrumentation_knows_is_a_property_of_ours_and_not_posthogs(events_of):
    first = events_of("pydantic-ai", "$ai_generation")[0]
    assert first.properties["genops_model_cost_usd"] == 0.00214
    assert first.properties["genops_model_cost_source"] == "span"
    assert not any(name.endswith("_cost_usd") for name in first.properties if name.startswith("$ai_"))


def test_the_events_time_is_when_the_call_began(events_of, recorded):
    first, span = events_of("genai-openai", "$ai_generation")[0], recorded("genai-openai")[0]
    assert first.properties["$ai_latency"] == (span.end_time - span.start_time) / 1e9
    assert first.timestamp == iso_time(span.start_time)


def test_a_span_that_is_converted_again_gives_the_same_event(recorded):
    rules = Rules(builtin_rules())
    first = [rules.events_for(span) for span in recorded("genai-anthropic")]
    again = [rules.events_for(span) for span in recorded("genai-anthropic")]
    assert [conversion.events for conversion in first] == [conversion.events for conversion in again]
