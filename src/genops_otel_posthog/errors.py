"""The exceptions this package raises.

Every message answers three questions: what is wrong, with which value and from where, and what to do about it.
Under zero-code loading none of these reaches the application (see :mod:`genops_otel_posthog.settings`).
"""

from __future__ import annotations


class GenOpsError(Exception):
    """Base of every error raised by this package."""


class GenOpsConfigurationError(GenOpsError):
    """A setting, file or argument cannot be used as given."""


class GenOpsProviderError(GenOpsError):
    """PostHog, or the PostHog SDK, did not do what was asked of it."""


class GenOpsValidationError(GenOpsError):
    """A value handed to the public API is not acceptable."""
