"""Each test starts like a new process: nothing has been warned about."""

from __future__ import annotations

import pytest

from genops_otel_posthog.settings import values


@pytest.fixture(autouse=True)
def new_process() -> None:
    values.warn_once.forget()
