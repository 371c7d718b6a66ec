"""A chain in the place of the PostHog client that the official provider asks.

The provider turns contexts into PostHog's terms and values into the type that was asked for; both stay its own, whether
PostHog or the database answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, cast

from openfeature.contrib.provider.posthog import PostHogProvider
from openfeature.exception import GeneralError
from posthog import Posthog
from posthog.types import FeatureFlagResult

from genops_otel_posthog.flags.answer import FLAG_MISSING, WORKSPACE, Answer, Subject
from genops_otel_posthog.flags.chain import FlagChain

latest_answer: ContextVar[Answer | None] = ContextVar("genops_flag_answer", default=None)
"""The answer behind what the provider has just made of it, in this thread or task."""


def provider_of(chain: FlagChain, default_distinct_id: str | None = None) -> PostHogProvider:
    """The official provider over a chain."""
    # It uses two members of the client, which are all that a chain can stand in for.
    client = cast(Posthog, _ChainClient(chain))
    return PostHogProvider(client, default_distinct_id=default_distinct_id)


class _ChainClient:
    secret_key = None  # has the provider leave loading to the chain

    def __init__(self, chain: FlagChain) -> None:
        self._chain = chain

    def get_feature_flag_result(
        self,
        key: str,
        distinct_id: str,
        *,
        groups: Mapping[str, Any] | None = None,
        person_properties: Mapping[str, Any] | None = None,
        group_properties: Mapping[str, Mapping[str, Any]] | None = None,
        send_feature_flag_events: bool = True,
    ) -> FeatureFlagResult | None:
        """As ``Posthog.get_feature_flag_result``; raises where that would hide a failure."""
        named = {str(kind): str(group) for kind, group in (groups or {}).items()}
        subject = Subject(
            user=distinct_id or None,
            workspace=named.pop(WORKSPACE, None),
            groups=named,
            person_properties=person_properties or {},
            group_properties=group_properties or {},
        )
        answer = self._chain.answer(key, subject, record=send_feature_flag_events)
        latest_answer.set(answer)
        if not answer.is_known:
            if answer.error in (None, FLAG_MISSING):
                return None
            raise GeneralError(f"flag {key!r} could not be evaluated: {answer.error}")
        return FeatureFlagResult(
            key=key, enabled=answer.enabled, variant=answer.variant, payload=answer.payload, reason=answer.detail
        )
