"""Compliance for ``posthog.capture()`` and the other module functions, while :func:`auto_instrument` is in force."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.settings.once import WarnOnce

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance

_Hook = Callable[[dict[str, Any]], "dict[str, Any] | None"]

_warn = WarnOnce(logging.getLogger(__name__))
_put: list[tuple[_Hook, _Hook | None]] = []
"""The hooks that are in place, each with the application's own that it stands for."""


def judge_module_captures(compliance: Compliance) -> None:
    """Has the module's client ask before it queues an event, after the application's own ``before_send``.

    Args:
        compliance: What is asked.
    """
    import posthog

    from genops_otel_posthog.adapter.compliance import before_send

    if not hasattr(posthog, "before_send") and posthog.default_client is None and (posthog.api_key or posthog.disabled):
        posthog.setup()  # versions of the SDK in which the module has no hook that its client would get
    judge = before_send(compliance)
    for place in _places():
        theirs = place.before_send
        hook = _after(theirs, judge)
        _put.append((hook, theirs))
        place.before_send = hook
    if compliance.obligations.consent:
        _warn(
            "flags",
            "Consent is required, and flags that posthog.feature_enabled() and the like read ask for none: read flags "
            "of people by get_current_adapter().evaluate_feature_flag_with_governance()",
        )


def leave_module_captures() -> None:
    """Puts the application's own hook back, unless somebody has put another one there since."""
    for place in _places():
        for hook, theirs in _put:
            if place.before_send is hook:
                place.before_send = theirs
                break
    _put.clear()


def _after(theirs: _Hook | None, judge: _Hook) -> _Hook:
    def hook(message: dict[str, Any]) -> dict[str, Any] | None:
        left = message if theirs is None else theirs(message)
        return None if left is None else judge(left)

    return hook


def _places() -> list[Any]:
    """Where the SDK looks for the hook: the module, for a client that is made later, and the client that there is."""
    import posthog

    return [place for place in (posthog, posthog.default_client) if hasattr(place, "before_send")]
