"""The environment for people to read, without its secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import masked_key
from genops_otel_posthog.settings.names import KNOWN, PREFIX
from genops_otel_posthog.settings.variables import VARIABLES

#: Variables of others that decide what becomes of our telemetry.
_OTHERS: Final = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_METRICS_EXPORTER",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
)
_SECRETS: Final = frozenset(variable.name for variable in VARIABLES if variable.secret)
_LONGEST: Final = 120
HIDDEN: Final = "(set, not shown)"


class ShownVariable(NamedTuple):
    """A variable as it may be shown.

    Attributes:
        name: Its name.
        value: Its value without secrets; ``None`` where it is not set.
        default: The documented default, of ours.
    """

    name: str
    value: str | None
    default: str | None


def shown_environment(environ: Mapping[str, str] | None = None) -> list[ShownVariable]:
    """Every variable that this package reads, and those of others that are set and decide about its telemetry.

    Of keys the first and the last four characters are shown, of other secrets nothing, and of URLs no credentials.
    """
    environ = os.environ if environ is None else environ
    ours = {variable.name: variable.default.replace("`", "") for variable in VARIABLES}
    others = dict.fromkeys((*sorted(KNOWN), *_OTHERS))
    rest = [name for name in others if name not in ours and environ.get(name, "").strip()]
    return [ShownVariable(name, shown_value(name, environ.get(name, "")), ours.get(name)) for name in (*ours, *rest)]


def shown_value(name: str, value: str) -> str | None:
    """A variable's value as it may be shown; ``None`` for a blank one, which counts as not given."""
    value = value.strip()
    if not value:
        return None
    if name in _SECRETS:
        # Keys of others show whose they are at both ends; of keys that sign or disguise, every character counts.
        return masked_key(value) if name.endswith("_KEY") and not name.startswith(PREFIX) else HIDDEN
    if "://" in value and _holds_credentials(value):
        return HIDDEN
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"


def _holds_credentials(url: str) -> bool:
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:
        return True
