"""Destinations by name: the built-in ones, as the environment configures them, and those of other packages.

A package offers one by an entry point of the group ``genops_otel_posthog_destinations``, which names a function that
takes the settings and returns a destination, or ``None`` when they do not configure it::

    [project.entry-points.genops_otel_posthog_destinations]
    kafka = "my_package.destinations:from_settings"
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Destination, identity
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "genops_otel_posthog_destinations"

Gate = Callable[[str, Mapping[str, Any]], bool]
"""Whether a feature flag is on for an event; see :class:`~.database.DatabaseDestination`."""

_PROMISED = ("name", "account", "max_batch_events", "max_batch_bytes", "max_event_bytes", "send", "close")


@dataclass(frozen=True)
class _BuiltIn:
    """A destination of this package.

    Attributes:
        variable: The environment variable that switches it on.
        is_configured: Whether the settings do.
        make: Makes it.
    """

    variable: str
    is_configured: Callable[[Settings], bool]
    make: Callable[[Settings, Gate | None], Destination]


def _posthog(settings: Settings, _gate: Gate | None) -> Destination:
    from genops_otel_posthog.export.destinations.posthog import PostHogDestination

    return PostHogDestination(settings.api_key or "", settings.host)


def _rudderstack(settings: Settings, _gate: Gate | None) -> Destination:
    from genops_otel_posthog.export.destinations.rudderstack import RudderStackDestination

    return RudderStackDestination(
        settings.rudderstack_write_key or "",
        settings.rudderstack_data_plane_url,
        beside_posthog=_BUILT_IN["posthog"].is_configured(settings),
    )


def _database(settings: Settings, gate: Gate | None) -> Destination:
    from genops_otel_posthog.export.destinations.database import DatabaseDestination

    return DatabaseDestination(settings.database_url, gate=gate)


_BUILT_IN: Final[Mapping[str, _BuiltIn]] = {
    "posthog": _BuiltIn("POSTHOG_API_KEY", lambda s: s.api_key is not None and s.sends_to_posthog, _posthog),
    "rudderstack": _BuiltIn("RUDDERSTACK_WRITE_KEY", lambda s: s.rudderstack_write_key is not None, _rudderstack),
    "database": _BuiltIn("GENOPS_DATABASE_URL", lambda s: s.database_url is not None, _database),
}


def destination_names() -> tuple[str, ...]:
    """Every destination that there is: the built-in ones, then those of installed packages, in order of name."""
    return (*_BUILT_IN, *sorted(_others()))


def configured(
    settings: Settings, *, gate: Gate | None = None, leave_out: Callable[[GenOpsConfigurationError], None] | None = None
) -> tuple[Destination, ...]:
    """The destinations that the environment switches on: the built-in ones by their variables, others as they decide.

    One of somebody else that cannot be made is one line of the log: it must not keep events from the others.

    Args:
        settings: The environment.
        gate: For the database.
        leave_out: Told about one that cannot be used as it is configured, which the others then do without.

    Raises:
        GenOpsConfigurationError: One of them cannot be used as it is configured, and nobody wants to be told.
    """
    found: list[Destination] = []
    for built_in in _BUILT_IN.values():
        if built_in.is_configured(settings):
            try:
                found.append(built_in.make(settings, gate))
            except GenOpsConfigurationError as problem:
                if leave_out is None:
                    raise
                leave_out(problem)
    for name, entry_point in _others().items():
        try:
            made = entry_point.load()(settings)
        except GenOpsConfigurationError as problem:
            if leave_out is None:
                raise
            leave_out(problem)
            continue
        except Exception:
            _logger.exception("Destination %s (%s) cannot be made and gets no events", name, entry_point.value)
            continue
        if made is not None:
            found.append(_checked(entry_point, made))
    return tuple(found)


def named(names: Sequence[str], settings: Settings, *, gate: Gate | None = None) -> tuple[Destination, ...]:
    """Destinations by name, each once.

    Args:
        names: Some of :func:`destination_names`. ``database`` without ``GENOPS_DATABASE_URL`` is a SQLite file in the
            user's state directory.
        settings: What they are configured by.
        gate: For the database.

    Raises:
        GenOpsConfigurationError: There is no destination of that name, it is not configured, or it cannot be used.
    """
    return tuple(_named(name, settings, gate) for name in dict.fromkeys(names))


def _named(name: str, settings: Settings, gate: Gate | None) -> Destination:
    built_in = _BUILT_IN.get(name)
    if built_in is not None:
        if name != "database" and not built_in.is_configured(settings):
            raise GenOpsConfigurationError(f"destination {name} is not configured; set {built_in.variable}")
        return built_in.make(settings, gate)
    entry_point = _others().get(name)
    if entry_point is None:
        known = destination_names()
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise GenOpsConfigurationError(f"there is no destination {name!r}; {meant}")
    return _loaded(entry_point, settings)


def _others() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=ENTRY_POINT_GROUP) if found.name not in _BUILT_IN}


def _loaded(entry_point: EntryPoint, settings: Settings) -> Destination:
    where = f"destination {entry_point.name} ({entry_point.value})"
    try:
        destination = entry_point.load()(settings)
    except GenOpsConfigurationError:
        raise
    except Exception as problem:  # somebody else's code, and whoever configured it has to know whose
        raise GenOpsConfigurationError(f"{where} cannot be made: {type(problem).__name__}: {problem}") from problem
    if destination is None:
        raise GenOpsConfigurationError(f"{where} is not configured; see its package for what it needs")
    return _checked(entry_point, destination)


def _checked(entry_point: EntryPoint, made: Any) -> Destination:
    missing = [attribute for attribute in _PROMISED if not hasattr(made, attribute)]
    if missing:
        raise GenOpsConfigurationError(
            f"destination {entry_point.name} ({entry_point.value}) is no destination: it has no {', '.join(missing)}"
        )
    destination: Destination = made
    identity(destination)
    return destination
