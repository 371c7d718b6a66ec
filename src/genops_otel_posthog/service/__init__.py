"""PostHog as a service of an application, and the analytics of its users: started, told things, stopped.

``posthog_service`` sends what it is told and never raises; ``analytics_service`` tells it of interactions, sessions and
states of mind, and keeps them in a store. ``posthogService`` and ``analyticsService`` are the same under the names of
JavaScript.
"""

from __future__ import annotations

from genops_otel_posthog.service.analytics.service import AnalyticsService
from genops_otel_posthog.service.configuration import (
    PostHogServiceConfig,
    get_posthog_config,
    get_validated_posthog_config,
    validate_posthog_config,
)
from genops_otel_posthog.service.counts import ServiceCounts
from genops_otel_posthog.service.egress import POSTHOG_EGRESS_IPS, POSTHOG_EGRESS_IPS_BY_REGION, is_posthog_egress_ip
from genops_otel_posthog.service.env_file import load_env_file
from genops_otel_posthog.service.lifecycle import (
    analytics_service,
    get_client,
    initialize_posthog,
    initialize_posthog_sync,
    is_ready,
    posthog_service,
    shutdown_posthog,
    shutdown_posthog_sync,
)
from genops_otel_posthog.service.posthog_service import PostHogService

posthogService = posthog_service
analyticsService = analytics_service

__all__ = [
    "POSTHOG_EGRESS_IPS",
    "POSTHOG_EGRESS_IPS_BY_REGION",
    "AnalyticsService",
    "PostHogService",
    "PostHogServiceConfig",
    "ServiceCounts",
    "analyticsService",
    "analytics_service",
    "get_client",
    "get_posthog_config",
    "get_validated_posthog_config",
    "initialize_posthog",
    "initialize_posthog_sync",
    "is_posthog_egress_ip",
    "is_ready",
    "load_env_file",
    "posthogService",
    "posthog_service",
    "shutdown_posthog",
    "shutdown_posthog_sync",
    "validate_posthog_config",
]
