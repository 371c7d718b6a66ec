"""The one service of a process, and how an application's start and stop hooks start and stop it."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.service.analytics.service import AnalyticsService
from genops_otel_posthog.service.configuration import get_posthog_config
from genops_otel_posthog.service.posthog_service import PATIENCE_SECONDS, PostHogService

if TYPE_CHECKING:
    from posthog import Posthog

_logger = logging.getLogger(__name__)

posthog_service = PostHogService()
"""The service of this process. It sends nothing until it is started."""

analytics_service = AnalyticsService(posthog_service)
"""The analytics service of this process. It sends through :data:`posthog_service`, and keeps nothing until it is told
where: see :meth:`AnalyticsService.initialize_sync`."""


def initialize_posthog_sync(*, load_env_file: str | os.PathLike[str] | bool = False) -> bool:
    """Starts the service of this process as the environment says. It is off unless ``POSTHOG_ENABLE`` is true.

    Args:
        load_env_file: As in :func:`~.configuration.get_posthog_config`.

    Returns:
        As :meth:`PostHogService.initialize_sync`: ``False`` when the environment cannot be used, with the reason in
        the log. It never raises.
    """
    try:
        config = get_posthog_config(load_env_file=load_env_file)
    except GenOpsConfigurationError as problem:
        _logger.error("PostHog service: it is not started. %s", problem)
        return False
    return posthog_service.initialize_sync(config)


async def initialize_posthog(*, load_env_file: str | os.PathLike[str] | bool = False) -> bool:
    """As :func:`initialize_posthog_sync`, in a thread."""
    return await asyncio.to_thread(initialize_posthog_sync, load_env_file=load_env_file)


def shutdown_posthog_sync(timeout: float = PATIENCE_SECONDS) -> bool:
    """Sends what waits and stops the service of this process; see :meth:`PostHogService.shutdown_sync`."""
    return posthog_service.shutdown_sync(timeout)


async def shutdown_posthog(timeout: float = PATIENCE_SECONDS) -> bool:
    """As :func:`shutdown_posthog_sync`, in a thread."""
    return await posthog_service.shutdown(timeout)


def is_ready() -> bool:
    """Whether the service of this process sends events."""
    return posthog_service.is_ready()


def get_client() -> Posthog | None:
    """The SDK's client of the service of this process; ``None`` unless it sends events."""
    return posthog_service.get_client()
