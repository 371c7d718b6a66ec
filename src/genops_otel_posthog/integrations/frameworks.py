"""Imports a framework when its integration is used, and says what to install where it is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from genops_otel_posthog.errors import GenOpsConfigurationError


def framework(module: str, extra: str) -> Any:
    """A module of a framework.

    Args:
        module: Its name, ``django.conf``.
        extra: The extra of this package that brings the framework, ``django``.

    Raises:
        GenOpsConfigurationError: The framework is not installed. One that is, and cannot be imported, raises its own.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        name = module.partition(".")[0]
        if missing.name != name:
            raise
        raise GenOpsConfigurationError(
            f"genops_otel_posthog.integrations needs {name}, which is not installed; install it with: "
            f"pip install 'genops-otel-posthog[{extra}]'"
        ) from missing
