"""Are the packages there, in versions that work, and in versions that belong together?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final, NamedTuple

from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.version import __version__

_SDK = "PostHog SDK"
_OTEL = "OpenTelemetry"
_DOCUMENTATION = "https://posthog.com/docs/libraries/python"
_INSTALL = 'pip install "genops-otel-posthog[instruments]"'
_CHANGELOG = "https://github.com/PostHog/posthog-python/blob/main/CHANGELOG.md"


class _Trouble(NamedTuple):
    """Versions of the SDK, from the first up to but not including the second, with something to know about."""

    first: tuple[int, ...]
    fixed: tuple[int, ...]
    issue: str


# From the SDK's changelog.
_TROUBLES: Final = (
    _Trouble(
        (7, 22, 1),
        (7, 22, 3),
        "asks PostHog for flags far more often than the application does, and PostHog bills each of these requests",
    ),
)
_ETAG_SINCE: Final = (7, 3, 1)


def validate_sdk() -> list[ValidationIssue]:
    """Checks that a supported PostHog SDK is installed. One finding."""
    try:
        installed = version("posthog")
    except PackageNotFoundError:
        return [error(_SDK, "The PostHog SDK is not installed.", "Install it.", _INSTALL, _DOCUMENTATION)]
    release = _release(installed)
    if release[:1] not in ((6,), (7,)):
        return [
            error(
                _SDK,
                f"posthog {installed} is not supported; 6.0 up to, not including, 8 is.",
                "Install a supported version.",
                _INSTALL,
                _DOCUMENTATION,
            )
        ]
    for trouble in _TROUBLES:
        if trouble.first <= release < trouble.fixed:
            return [
                warning(
                    _SDK,
                    f"posthog {installed} {trouble.issue}.",
                    "Upgrade the SDK.",
                    f"pip install 'posthog>={'.'.join(map(str, trouble.fixed))},<8'",
                    _CHANGELOG,
                )
            ]
    return [success(_SDK, f"posthog {installed} is installed.")]


def validate_sdk_dependencies(environ: Mapping[str, str] | None = None) -> list[ValidationIssue]:
    """Checks the PostHog SDK, OpenTelemetry, and the packages that the settings need.

    Args:
        environ: The environment; that of the process when not given.
    """
    settings = Settings.from_environ(os.environ if environ is None else environ, strict=False)
    return [*validate_sdk(), *_sdk_remarks(), *_opentelemetry(), *_packages_of_settings(settings), _this_package()]


def _sdk_remarks() -> Iterator[ValidationIssue]:
    try:
        installed = version("posthog")
    except PackageNotFoundError:
        return
    if _release(installed) < _ETAG_SINCE:
        yield info(
            _SDK,
            f"posthog {installed} downloads flag definitions anew with every poll, at 10 billed requests each; later "
            "versions only when they have changed.",
            "Upgrade the SDK where flags are evaluated locally.",
            "pip install 'posthog>=7.3.1,<8'",
        )


def _opentelemetry() -> Iterator[ValidationIssue]:
    api = version("opentelemetry-api")
    try:
        sdk = version("opentelemetry-sdk")
    except PackageNotFoundError:
        yield warning(
            _OTEL,
            "The OpenTelemetry SDK is not installed, so there are neither spans nor metrics.",
            "Install it with an exporter.",
            "pip install opentelemetry-distro opentelemetry-exporter-otlp-proto-http",
        )
        return
    if _release(api)[:2] != _release(sdk)[:2]:
        yield warning(
            _OTEL,
            f"opentelemetry-api {api} and opentelemetry-sdk {sdk} are of different releases.",
            "Install both of one release.",
            "pip install --upgrade opentelemetry-api opentelemetry-sdk",
        )
        return
    yield success(_OTEL, f"opentelemetry-api and opentelemetry-sdk {sdk} are installed.")


def _packages_of_settings(settings: Settings) -> Iterator[ValidationIssue]:
    """Packages that a setting asks for and that are extras."""
    scheme = (settings.ledger_url or "").partition("://")[0].lower()
    asked = (
        ("GENOPS_LEDGER_URL", "redis", "redis", scheme in ("redis", "rediss", "valkey", "valkeys", "unix")),
        ("GENOPS_DATABASE_URL", "sqlalchemy", "database", settings.database_url is not None),
    )
    for variable, module, extra, is_needed in asked:
        if is_needed and find_spec(module) is None:
            yield error(
                "Packages",
                f"{variable} needs the package {module}, which is not installed.",
                "Install the extra.",
                f'pip install "genops-otel-posthog[{extra}]"',
            )


def _this_package() -> ValidationIssue:
    python = ".".join(map(str, sys.version_info[:3]))
    return info("Versions", f"genops-otel-posthog {__version__} on Python {python}, {sys.platform}.")


def _release(text: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version: ``7.22.1rc1`` is (7, 22, 1)."""
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
