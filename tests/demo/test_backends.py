"""Where the shop's events and telemetry go."""

from __future__ import annotations

from pathlib import Path

import pytest

from genops_otel_posthog.demo.backends import USAGE_TO_DATE, Backends, shop_command, shop_environment
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.usage import parse_usage_to_date
from genops_otel_posthog.settings import DEFAULT_HOST, DEFAULT_PRICE_BOOK, Settings

RECEIVER = "http://127.0.0.1:8123"


def test_without_variables_everything_stays_on_this_machine() -> None:
    backends = Backends.from_environ({})

    assert backends.events_are_local
    assert backends.telemetry_is_local


def test_a_project_key_sends_the_events_to_posthog() -> None:
    backends = Backends.from_environ({"POSTHOG_API_KEY": "phc_mine"})

    assert (backends.events_are_local, backends.posthog_host) == (False, DEFAULT_HOST)


def test_an_otlp_endpoint_sends_the_telemetry_there() -> None:
    backends = Backends.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})

    assert (backends.events_are_local, backends.telemetry_is_local) == (True, False)


def test_the_grpc_port_is_refused_with_the_port_to_use() -> None:
    with pytest.raises(GenOpsConfigurationError, match="use port 4318"):
        Backends.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"})


def test_the_grpc_port_is_right_when_grpc_is_asked_for() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    assert Backends.from_environ(environ).otlp_endpoint == "http://localhost:4317"


def test_settings_of_the_surrounding_shell_do_not_reach_the_shop() -> None:
    shell = {"GENOPS_PRICING_MODE": "list", "OTEL_SDK_DISABLED": "true", "POSTHOG_DISABLED": "1", "LANG": "C"}
    shell |= {"RUDDERSTACK_DATA_PLANE_URL": "https://mine.example", "GENOPS_DATABASE_URL": "postgresql://mine/events"}

    shop = shop_environment(shell, Backends(), RECEIVER, 8000)

    assert shell.items() & shop.items() == {("LANG", "C")}


def test_the_local_shop_talks_to_the_receiver_alone() -> None:
    shop = shop_environment({"HTTPS_PROXY": "http://proxy"}, Backends(), RECEIVER, 8000)

    assert (shop["POSTHOG_HOST"], shop["OTEL_EXPORTER_OTLP_ENDPOINT"]) == (RECEIVER, RECEIVER)
    assert "127.0.0.1" in shop["NO_PROXY"]


def test_events_of_spans_go_to_three_places_on_this_machine() -> None:
    settings = Settings.from_environ(shop_environment({}, Backends(), RECEIVER, 8000), strict=True)

    assert settings.export_spans
    assert (settings.host, settings.rudderstack_data_plane_url) == (RECEIVER, RECEIVER)
    assert settings.database_url == "sqlite:///./events.sqlite3"


def test_events_link_to_the_trace_where_it_is() -> None:
    here = shop_environment({}, Backends(), RECEIVER, 8000)
    shell = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318", "GENOPS_TRACE_URL_TEMPLATE": "http://j/{trace_id}"}
    there = shop_environment(shell, Backends.from_environ(shell), RECEIVER, 8000)

    assert here["GENOPS_TRACE_URL_TEMPLATE"] == f"{RECEIVER}/api/traces/{{trace_id}}"
    assert there["GENOPS_TRACE_URL_TEMPLATE"] == "http://j/{trace_id}"


def test_headers_for_an_otlp_endpoint_of_the_user_reach_the_shop() -> None:
    shell = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=secret",
        "OTEL_SERVICE_NAME": "mine",
    }

    shop = shop_environment(shell, Backends.from_environ(shell), RECEIVER, 8000)

    assert shell.items() <= shop.items()
    assert shop["POSTHOG_HOST"] == RECEIVER


def test_events_go_to_the_project_of_the_user_with_the_user_s_keys() -> None:
    shell = {
        "POSTHOG_API_KEY": "phc_mine",
        "POSTHOG_HOST": "https://eu.i.posthog.com",
        "POSTHOG_PERSONAL_API_KEY": "phx_mine",
    }

    shop = shop_environment(shell, Backends.from_environ(shell), RECEIVER, 8000)

    assert shell.items() <= shop.items()
    assert shop["OTEL_EXPORTER_OTLP_ENDPOINT"] == RECEIVER


def test_no_personal_key_of_ours_is_sent_to_the_project_of_the_user() -> None:
    shell = {"POSTHOG_API_KEY": "phc_mine"}

    assert "POSTHOG_PERSONAL_API_KEY" not in shop_environment(shell, Backends.from_environ(shell), RECEIVER, 8000)


def test_the_shop_s_own_settings_are_valid() -> None:
    Settings.from_environ(shop_environment({}, Backends(), RECEIVER, 8000), strict=True)


def test_every_free_tier_is_nearly_used_up_when_the_shop_opens() -> None:
    book = PriceBook.load(DEFAULT_PRICE_BOOK)

    left = {meter: book.free_units_left(meter, used) for meter, used in parse_usage_to_date(USAGE_TO_DATE).items()}

    assert all(0 < units <= 200 for units in left.values()), left


def test_a_backend_without_metrics_is_sent_none() -> None:
    shop = shop_environment({}, Backends(otlp_endpoint="http://jaeger:4318"), RECEIVER, 8000, metrics=False)

    assert shop["OTEL_METRICS_EXPORTER"] == "none"


def test_the_shop_starts_as_a_user_would_start_it(tmp_path: Path) -> None:
    command = shop_command(tmp_path / "shop.py")

    assert "opentelemetry" in " ".join(command)
    assert command[-1] == str(tmp_path / "shop.py")
