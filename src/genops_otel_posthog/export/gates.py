"""Who decides by feature flags what is written, where the application named nobody.

Flags stand above this room and may not be imported by it. They are found by the entry point group
``genops_otel_posthog_gates``, whose one member is a function that takes the settings and returns an object with the
two methods of :class:`Gates`. It is loaded when a gate is asked for the first time, which most processes never do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

ENTRY_POINT_GROUP: Final = "genops_otel_posthog_gates"

_logger = logging.getLogger(__name__)


class Gates(Protocol):
    """Answers whether flags are on."""

    def of_span(self, name: str, span: SpanView, owner: Attribution) -> bool:
        """For the owner of a span."""
        ...

    def of_event(self, name: str, event: Mapping[str, Any]) -> bool:
        """For whom an event in PostHog's form is about."""
        ...


class StandingGates:
    """The gates of the environment. Equal where the settings are, so that exporters can share their work.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._gates: Gates | None = None
        self._is_looked_for = False

    def of_span(self, name: str, span: SpanView, owner: Attribution) -> bool:
        """See :class:`Gates`. Open where nobody answers gates."""
        gates = self._found()
        return gates is None or gates.of_span(name, span, owner)

    def of_event(self, name: str, event: Mapping[str, Any]) -> bool:
        """See :class:`Gates`. Open where nobody answers gates."""
        gates = self._found()
        return gates is None or gates.of_event(name, event)

    def _found(self) -> Gates | None:
        if not self._is_looked_for:
            with self._lock:
                if not self._is_looked_for:
                    self._gates = self._look()
                    self._is_looked_for = True
        return self._gates

    def _look(self) -> Gates | None:
        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            try:
                gates: Gates = entry_point.load()(self._settings)
                return gates
            except Exception:
                _logger.exception("Gates (%s) cannot be asked; what they stand before is written", entry_point.value)
        return None
