"""Each test starts like a new process: nothing has been warned about and the environment has not been read."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from genops_otel_posthog.attribution import block, clean
from genops_otel_posthog.settings import values

# A shared machine may pause at any example.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    clean.warn_once.forget()
    values.warn_once.forget()
    block._baggage_out.cache_clear()
    yield
    block._baggage_out.cache_clear()


@pytest.fixture
def tracer() -> Tracer:
    """A tracer whose spans go nowhere; they are in the context all the same."""
    return TracerProvider(shutdown_on_exit=False).get_tracer("test")
