"""What an adapter was told, merged with the environment: argument before environment before the guide's default."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from genops_otel_posthog.adapter.sampling import EventSampling, preset
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.instrumentation.options import merge_options
from genops_otel_posthog.settings import VARIABLES, Settings
from genops_otel_posthog.settings.once import WarnOnce
from genops_otel_posthog.settings.values import host as ingestion_host
from genops_otel_posthog.settings.values import project_key

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)

NOBODY_NAMED: Final = "default"
"""Team and project of an adapter that nobody named one for, as the guide has it."""

DEFAULT_ENVIRONMENT: Final = "production"
DEFAULT_DAILY_LIMIT: Final = Decimal(1000)
"""US dollars a day of an adapter that nobody gave a limit, as the guide has it."""

UNLIMITED: Final = "unlimited"
"""``daily_budget_limit="unlimited"``: no daily budget, where the guide's default would else apply."""

HOST_OF_REGION: Final[Mapping[str, str]] = {"us": "https://us.i.posthog.com", "eu": "https://eu.i.posthog.com"}
"""PostHog's ingestion hosts by the region in which they keep data (https://posthog.com/docs/api)."""

DEFAULT_HOST_NAME: Final = "us.i.posthog.com"

_OWNER_FIELDS = ("team", "project", "environment", "customer_id", "cost_center", "feature")
_LIMIT_FIELDS = ("daily_budget_limit", "weekly_budget_limit", "monthly_budget_limit")
_TAGS_THAT_ARE_OPTIONS: Final = {
    "alert_webhook": "alert_webhook",
    "alert_thresholds": "alert_thresholds",
    "escalation_policy": "alert_escalation",
}
_TAGS_ABOUT_SPANS: Final = ("otel_export", "tracing_enabled")
_OFF: Final = frozenset({"false", "no", "off", "0", "disabled"})
_ENVIRONMENT: Final = tuple(variable.name for variable in VARIABLES)
_ENCODED: Final = tuple(map(os.environ.encodekey, _ENVIRONMENT))


def environment_now() -> tuple[object, ...]:
    """The variables that are set and their values, to be compared."""
    variables = os.environ
    # An adapter may be made for each request, and most variables are not set. To ask `os.environ` for one of those
    # raises and catches an exception; the dictionary inside it is asked twenty times as fast.
    values: Mapping[Any, object] = getattr(variables, "_data", variables)
    names = _ENCODED if values is not variables else _ENVIRONMENT
    return tuple([(name, values[name]) for name in names if name in values])


@dataclass(frozen=True)
class AdapterOptions:
    """What one adapter is to do.

    Attributes:
        settings: Its settings: arguments over the environment, the guide's defaults where both are silent.
        shared: The settings that its budgets, prices and ledger are opened with. Adapters that agree on these share
            them, whoever's calls they make.
        named: The owner that the arguments name; comes before the surroundings of a call.
        unnamed: Owner fields that policy strict wants, and that nobody gave.
        key: Project key; ``None`` where nothing is sent.
        secret_key: Key with which the SDK evaluates flags locally.
        client_options: Further arguments of the SDK's client.
        enable_governance: Whether budgets are asked and events carry their owner.
        alerts: Whether somebody is told when a budget reaches a threshold.
        sampling: Which events are left out whatever the budget.
        compliance: What is asked before every call; ``None`` for what the tags ask for.
    """

    settings: Settings
    shared: Settings
    named: Attribution
    unnamed: tuple[str, ...]
    key: str | None
    secret_key: str | None
    client_options: Mapping[str, Any]
    enable_governance: bool
    alerts: bool
    sampling: EventSampling | None
    compliance: Compliance | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AdapterOptions:
        """The options of an adapter with these arguments, see
        :class:`~genops_otel_posthog.adapter.adapter.GenOpsPostHogAdapter`.

        Raises:
            GenOpsConfigurationError: An argument or a variable cannot be used, or there is no key and
                ``POSTHOG_ENABLE`` wants events to be sent.
        """
        arguments = dict(given)
        tags = arguments.get("tags")
        if tags is not None and not isinstance(tags, Mapping):
            raise GenOpsConfigurationError(f"tags cannot be used: {type(tags).__name__} is not a dict of strings")
        api_key, host = checked_key_and_host(
            arguments.pop("posthog_api_key", None), arguments.pop("posthog_host", None)
        )
        governance = bool(arguments.pop("enable_governance", True))
        alerts = bool(arguments.pop("enable_cost_alerts", True))
        secret_key = arguments.pop("secret_key", None)
        compliance = arguments.pop("compliance", None)
        client_options = dict(arguments.pop("client_options", None) or {})
        chosen = arguments.pop("sampling", None)
        usage = arguments.get("usage_to_date")
        if isinstance(usage, Mapping):
            arguments["usage_to_date"] = ",".join(f"{meter}={units}" for meter, units in usage.items())
        for option, value in options_in_tags(tags).items():
            if arguments.get(option) is None:
                arguments[option] = value
        unlimited = arguments.get("daily_budget_limit") == UNLIMITED
        if unlimited:
            arguments["daily_budget_limit"] = None

        environment = Settings.from_environ(strict=True)
        merged = merge_options(environment, arguments)
        if not alerts:
            merged = replace(merged, alert_webhook=None)
        unnamed = tuple(field for field in ("team", "project") if getattr(merged, field) is None)
        key = api_key or merged.api_key
        settings = replace(
            merged,
            api_key=key,
            host=host or _residence(tags or {}, environment) or merged.host,
            team=merged.team or NOBODY_NAMED,
            project=merged.project or NOBODY_NAMED,
            environment=merged.environment or DEFAULT_ENVIRONMENT,
            daily_budget_limit=None if unlimited else _daily_limit(merged),
        )
        # Whose calls and how much is said by budgets of their own; what is left says where they are counted.
        own = (*_OWNER_FIELDS, *_LIMIT_FIELDS, "governance_policy", "alert_thresholds")
        base = {field: getattr(environment, field) for field in own}
        return cls(
            settings=settings,
            shared=replace(merged, **base),
            named=Attribution(**{field: arguments.get(field) for field in _OWNER_FIELDS}, tags=tags),
            unnamed=unnamed,
            key=_key_to_send_with(settings),
            client_options=client_options,
            secret_key=None if secret_key is None else str(secret_key),
            enable_governance=governance,
            alerts=alerts,
            sampling=sampling_in_tags(tags) if chosen is None else preset(chosen),
            compliance=compliance,
        )


def options_in_tags(tags: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of the instrumentor that tags of the guide stand for: who is told, and whether there are spans."""
    given = {tag: str(value).strip() for tag, value in (tags or {}).items() if value is not None}
    options: dict[str, Any] = {option: given[tag] for tag, option in _TAGS_THAT_ARE_OPTIONS.items() if given.get(tag)}
    if any(given.get(tag, "").lower() in _OFF for tag in _TAGS_ABOUT_SPANS):
        options["spans"] = "none"
    return options


def sampling_in_tags(tags: Mapping[str, Any] | None) -> EventSampling | None:
    """What the tag ``cost_optimization`` stands for.

    Raises:
        GenOpsConfigurationError: Its value names no sampling.
    """
    return preset((tags or {}).get("cost_optimization") or "off")


def _residence(tags: Mapping[str, Any], environment: Settings) -> str | None:
    """The host that the tag ``data_residency`` asks for; a host that is not PostHog's own stands."""
    region = str(tags.get("data_residency") or "").strip().lower()
    host = HOST_OF_REGION.get(region)
    given = (urlsplit(environment.host).hostname or "").lower()
    if host is None or not given.endswith(".posthog.com"):
        return None
    if given != DEFAULT_HOST_NAME and f"{region}." not in f"{given}.":
        _warn(
            "the host",
            f"data_residency={region} and POSTHOG_HOST={environment.host} contradict each other; events go to {host}",
        )
    return host


def _daily_limit(settings: Settings) -> Decimal:
    return DEFAULT_DAILY_LIMIT if settings.daily_budget_limit is None else settings.daily_budget_limit


def _key_to_send_with(settings: Settings) -> str | None:
    if settings.enabled is False:
        return None
    if settings.api_key is None:
        if settings.enabled:
            raise GenOpsConfigurationError(
                "POSTHOG_ENABLE is true, but there is no key to send with. Set POSTHOG_API_KEY=phc_…, or pass "
                "posthog_api_key"
            )
        _warn(
            "the key",
            "No PostHog project key: the adapter sends nothing, so nothing costs anything. Set POSTHOG_API_KEY=phc_…, "
            "or pass posthog_api_key",
        )
    return settings.api_key


def checked_key_and_host(api_key: object, host: object) -> tuple[str | None, str | None]:
    """Key and host in the form in which they can be used; blank means "not given", as in the environment."""
    key = None if api_key is None else str(api_key).strip() or None
    url = None if host is None else str(host).strip() or None
    try:
        if key is not None:
            project_key(key)
    except ValueError as error:
        raise GenOpsConfigurationError(f"posthog_api_key cannot be used: {error}") from None
    try:
        return key, None if url is None else ingestion_host(url)
    except ValueError as error:
        raise GenOpsConfigurationError(
            f"posthog_host cannot be used: {error}; for example https://us.i.posthog.com"
        ) from None
