"""OpenFeature's own client over our provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

api = pytest.importorskip("openfeature.api", reason="needs the extra openfeature")
pytest.importorskip("openfeature.contrib.provider.posthog", reason="needs the extra openfeature")


@pytest.fixture
def open_feature() -> Iterator[Callable[[Any], Any]]:
    """Makes a provider the one in use and returns OpenFeature's client."""

    def open_feature(provider: Any) -> Any:
        set_and_wait = getattr(api, "set_provider_and_wait", None) or api.set_provider  # older versions always wait
        set_and_wait(provider)
        return api.get_client()

    yield open_feature
    api.clear_hooks()
    api.clear_providers()
