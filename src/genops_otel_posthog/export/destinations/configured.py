"""The destinations that the settings name: one table, and what others registered by entry point."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import entry_points

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Destination
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

ENTRY_POINTS = "genops_otel_posthog_destinations"
"""Group of entry points, each a function that takes :class:`Settings` and returns a destination, or ``None`` when it
is not configured."""


def _posthog(settings: Settings) -> Destination | None:
    from genops_otel_posthog.export.destinations.posthog import PostHogDestination

    if settings.api_key is None or not settings.sends_to_posthog:
        return None
    return PostHogDestination(settings.api_key, settings.host)


def _rudderstack(settings: Settings) -> Destination | None:
    from genops_otel_posthog.export.destinations.rudderstack import RudderStackDestination

    if settings.rudderstack_write_key is None:
        return None
    beside_posthog = settings.api_key is not None and settings.sends_to_posthog
    return RudderStackDestination(
        settings.rudderstack_write_key, settings.rudderstack_data_plane_url, beside_posthog=beside_posthog
    )


BUILT_IN: tuple[Callable[[Settings], Destination | None], ...] = (_posthog, _rudderstack)


def configured_destinations(settings: Settings) -> list[Destination]:
    """Every destination that is configured, the built-in ones first.

    One of somebody else that cannot be made is one warning: it must not keep events from the others.

    Raises:
        GenOpsConfigurationError: A setting of a built-in one cannot be used.
    """
    found = [destination for make in BUILT_IN if (destination := make(settings)) is not None]
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            made = entry.load()(settings)
        except GenOpsConfigurationError:
            raise
        except Exception:
            _logger.exception("Destination %s (%s) cannot be made and gets no events", entry.name, entry.value)
            continue
        if made is not None:
            found.append(made)
    return found
