"""Each test starts like a new process: nothing has been warned about."""

from __future__ import annotations

import hypothesis
import pytest

from genops_otel_posthog.settings import values

# A shared machine may pause at any example.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def new_process() -> None:
    values.warn_once.forget()
