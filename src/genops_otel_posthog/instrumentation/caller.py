"""Who made a call: the application, or PostHog's SDK on its own account.

An exception of ours may reach the application that made the call, and nobody else: inside the SDK it would lose what
the SDK was about to return, such as a flag's value or a language model's answer.
"""

from __future__ import annotations

import sys
from types import FrameType

_OURS = "genops_otel_posthog.instrumentation."


def called_by_application(method: str) -> bool:
    """Whether the instrumented method that is on the stack was called by the application.

    The frames of the method itself are passed over: a subclass may override it and call it in turn. The module
    functions (``posthog.capture``) stand for the application, every other module of the SDK for the SDK.

    Args:
        method: Name of the method.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_OURS) and frame.f_code.co_name != method:
            return not module.startswith("posthog.")
        frame = frame.f_back
    return True
