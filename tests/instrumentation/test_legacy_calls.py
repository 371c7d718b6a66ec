"""Call shapes from before version 6 of the SDK are understood, with one warning each."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import posthog
import pytest

from genops_otel_posthog.instrumentation import legacy


@pytest.fixture(autouse=True)
def _nobody_has_been_warned(monkeypatch):
    monkeypatch.setattr(legacy, "_warned", set())


@pytest.fixture(params=["client", "module"])
def capture(request, instrument, client, monkeypatch) -> Callable[..., Any]:
    instrument()
    if request.param == "client":
        return client.capture
    monkeypatch.setattr(posthog, "default_client", client)
    return posthog.capture


@pytest.mark.parametrize(
    ("args", "kwargs", "distinct_id", "extra"),
    [
        (("signed_up", {"email": "e"}), {}, None, {"email": "e"}),
        (("signed_up", {"email": "e"}), {"distinct_id": "u1"}, "u1", {"email": "e"}),
        (("u1", "signed_up"), {}, "u1", {}),
        (("u1", "signed_up"), {"properties": {"email": "e"}}, "u1", {"email": "e"}),
        (("u1", "signed_up", {"email": "e"}), {}, "u1", {"email": "e"}),
    ],
)
@pytest.mark.requirement("D-02", "E-02", "S4-35")
def test_an_old_shape_sends_what_it_always_meant(capture, client, receiver, args, kwargs, distinct_id, extra):
    with pytest.warns(DeprecationWarning, match="since version 6.0"):
        assert capture(*args, **kwargs)
    client.flush()
    (event,) = receiver.events()
    assert event.event == "signed_up"
    assert extra.items() <= event.properties.items()
    if distinct_id is not None:
        assert event.distinct_id == distinct_id
    else:
        assert event.properties["$process_person_profile"] is False


def test_the_warning_points_at_the_caller_and_comes_once(capture):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            capture("signed_up", {"email": "e"})
    assert [warning.filename for warning in caught if "6.0" in str(warning.message)] == [__file__]


@pytest.mark.parametrize("args", [("e", 7), ("a", "b", "c"), ("a", "b", {}, {}), (1, 2)])
def test_anything_else_is_refused_by_the_sdk_itself(instrument, client, monkeypatch, receiver, args):
    instrument()
    monkeypatch.setattr(posthog, "default_client", client)
    with pytest.raises(TypeError, match="positional argument"):
        posthog.capture(*args)
    with contextlib.suppress(TypeError):  # older SDKs let the error through, newer ones log it
        assert client.capture(*args) is None
    client.flush()
    assert receiver.events() == []
