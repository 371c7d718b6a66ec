"""What is asked of a user's own OTLP endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from genops_otel_posthog.demo.otlp_probe import takes_metrics
from genops_otel_posthog.demo.shop_process import free_port
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.receiver.server import LocalReceiver


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_backend_that_takes_metrics_is_sent_metrics(backend: LocalReceiver, slash: str) -> None:
    assert takes_metrics(backend.url + slash)


def test_a_tracing_backend_that_knows_no_metrics_is_sent_none(backend: LocalReceiver) -> None:
    with backend.fail("otlp", status=404):
        assert not takes_metrics(backend.url)


def test_a_backend_that_wants_credentials_may_take_metrics(backend: LocalReceiver) -> None:
    with backend.fail("otlp", status=401):
        assert takes_metrics(backend.url)


def test_an_endpoint_that_does_not_answer_is_an_error_that_says_what_to_do() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(
        GenOpsConfigurationError, match=rf"nothing answers at OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}.*--local"
    ):
        takes_metrics(endpoint)


def test_an_endpoint_without_a_scheme_is_an_error_that_names_it() -> None:
    with pytest.raises(GenOpsConfigurationError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT=collector\.example"):
        takes_metrics("collector.example")
