"""What the service is told: from the environment with its documented defaults, or by its caller."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypedDict

from genops_otel_posthog.acceptance import project_key_problem
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.service.env_file import load_env_file as _load_env_file
from genops_otel_posthog.service.fields import merged_fields
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.service_variables import MOST_EVENTS_AT_ONCE
from genops_otel_posthog.settings.values import host as host_url
from genops_otel_posthog.settings.values import project_key, switch

_logger = logging.getLogger(__name__)

DEFAULT_HOST: Final = "https://app.posthog.com"
"""PostHog's American cloud; the SDK sends to its ingestion host, ``us.i.posthog.com``."""

DEFAULT_FLUSH_AT: Final = 20
DEFAULT_FLUSH_INTERVAL_MS: Final = 10_000

_READ: Final = ("POSTHOG_API_KEY", "POSTHOG_HOST", "POSTHOG_ENABLE", "POSTHOG_FLUSH_AT", "POSTHOG_FLUSH_INTERVAL")


@dataclass(frozen=True)
class PostHogServiceConfig:
    """What :class:`~.posthog_service.PostHogService` is told.

    Attributes:
        api_key: Project key, ``phc_…``; never shown.
        host: Where PostHog is.
        flush_at: Events that are sent at once, 1 to 10,000.
        flush_interval: Longest wait for that many, milliseconds.
        enable: Whether anything is sent. ``None``: when there is a key.
        max_queue_size: Events that wait in memory at most; what comes beyond is refused and counted.
        max_retries: How often a failed request is repeated, with a growing pause.
        timeout: Seconds that a request may take.
    """

    api_key: str | None = field(default=None, repr=False)
    host: str = DEFAULT_HOST
    flush_at: int = DEFAULT_FLUSH_AT
    flush_interval: int = DEFAULT_FLUSH_INTERVAL_MS
    enable: bool | None = False
    max_queue_size: int = 10_000
    max_retries: int = 3
    timeout: float = 15.0

    @property
    def is_enabled(self) -> bool:
        """Whether events are to be sent, as far as the switch and the key say."""
        return bool(self.api_key) if self.enable is None else self.enable

    def problems(self) -> list[str]:
        """Why it cannot be used, each with the field and what to do; a configuration that is switched off always can.

        A missing key is among them. The key itself is shown by its ends at most.
        """
        if not self.is_enabled:
            return []
        found = []
        if not self.api_key:
            found.append("PostHog is enabled and has no key to send with; set POSTHOG_API_KEY=phc_…, or pass api_key")
        else:
            key_problem = project_key_problem(str(self.api_key))
            if key_problem is not None:
                found.append(f"api_key cannot be used: {key_problem}")
        try:
            host_url(self.host)
        except (ValueError, TypeError, AttributeError) as problem:
            found.append(f"host cannot be used: {problem}; for example https://eu.i.posthog.com")
        for name, (smallest, largest) in _RANGES.items():
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
                found.append(f"{name} must be a whole number from {smallest:,} to {largest:,}, not {value!r:.40}")
        timeout: object = self.timeout
        if not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            found.append(f"timeout must be a number of seconds above 0, not {timeout!r:.40}")
        return found


_RANGES: Final = {
    "flush_at": (1, MOST_EVENTS_AT_ONCE),
    "flush_interval": (1, 86_400_000),
    "max_queue_size": (1, 10_000_000),
    "max_retries": (0, 100),
}
_FIELDS: Final = tuple(each.name for each in fields(PostHogServiceConfig))


class ConfigFields(TypedDict, total=False):
    """The fields of :class:`PostHogServiceConfig` as keywords."""

    api_key: str | None
    host: str | None
    flush_at: int | None
    flush_interval: int | None
    enable: bool | str | None
    max_queue_size: int | None
    max_retries: int | None
    timeout: float | None


def get_posthog_config(*, load_env_file: str | os.PathLike[str] | bool = False) -> PostHogServiceConfig:
    """What the environment says, and the documented default where it says nothing. Off unless ``POSTHOG_ENABLE``.

    Args:
        load_env_file: A ``.env`` file whose variables are put into the environment first, where it has none of that
            name; ``True`` for ``.env`` in the current directory, if there is one.

    Raises:
        GenOpsConfigurationError: A value, or the file, cannot be used; the message names all, one per line.
    """
    if load_env_file is True:
        if os.path.exists(".env"):
            _load_env_file()
    elif load_env_file is not False:
        _load_env_file(load_env_file)
    given = {name: value for name in _READ if (value := os.environ.get(name, "").strip())}
    settings = Settings.from_environ(given)
    return PostHogServiceConfig(
        api_key=settings.api_key,
        host=settings.host if "POSTHOG_HOST" in given else DEFAULT_HOST,
        flush_at=settings.flush_at or DEFAULT_FLUSH_AT,
        flush_interval=settings.flush_interval_ms or DEFAULT_FLUSH_INTERVAL_MS,
        enable=bool(settings.enabled),
    )


def validate_posthog_config(config: PostHogServiceConfig | Mapping[str, Any]) -> bool:
    """Whether a configuration can be used. What is wrong with it is logged; one that is switched off always can."""
    try:
        problems = config_from(config).problems()
    except GenOpsConfigurationError as problem:
        problems = [str(problem)]
    for each in problems:
        _logger.warning("%s", each)
    return not problems


def get_validated_posthog_config(
    *, load_env_file: str | os.PathLike[str] | bool = False
) -> PostHogServiceConfig | None:
    """What the environment says, or ``None`` when it cannot be used, with the reasons in the log."""
    try:
        config = get_posthog_config(load_env_file=load_env_file)
    except GenOpsConfigurationError as problem:
        _logger.warning("%s", problem)
        return None
    return config if validate_posthog_config(config) else None


def config_from(
    given: PostHogServiceConfig | Mapping[str, Any] | None, keywords: Mapping[str, Any] | None = None
) -> PostHogServiceConfig:
    """A configuration from a dictionary (``apiKey`` or ``api_key``) and keywords; the rest from the environment.

    Where neither says whether it is switched on, ``POSTHOG_ENABLE`` does, and where that says nothing, the key: whoever
    passes one wants to send.

    Raises:
        GenOpsConfigurationError: A field does not exist, or the environment cannot be used.
    """
    keywords = keywords or {}
    if given is None and not any(value is not None for value in keywords.values()):
        return get_posthog_config()
    if isinstance(given, PostHogServiceConfig):
        given = {name: getattr(given, name) for name in _FIELDS} | {"enable": given.is_enabled}
    try:
        told = merged_fields("the configuration of PostHog", given, keywords, _FIELDS)
    except GenOpsValidationError as problem:
        raise GenOpsConfigurationError(str(problem)) from None
    if isinstance(told.get("enable"), str):
        try:
            told["enable"] = switch(told["enable"])
        except ValueError as problem:
            raise GenOpsConfigurationError(f"enable={told['enable']!r:.40} cannot be used: {problem}") from None
    surrounding = get_posthog_config()
    if "enable" not in told:
        says_nothing = not os.environ.get("POSTHOG_ENABLE", "").strip()
        told["enable"] = None if says_nothing else surrounding.enable
    defaults = {name: getattr(surrounding, name) for name in _FIELDS}
    return PostHogServiceConfig(**{**defaults, **told})


def checked(config: PostHogServiceConfig) -> PostHogServiceConfig:
    """The configuration with key and host as the SDK takes them, after warnings about what is doubtful in them.

    It must have no :meth:`PostHogServiceConfig.problems`.
    """
    key = (config.api_key or "").strip()
    return PostHogServiceConfig(
        **{name: getattr(config, name) for name in _FIELDS}
        | {"api_key": project_key(key), "host": host_url(config.host)}
    )
