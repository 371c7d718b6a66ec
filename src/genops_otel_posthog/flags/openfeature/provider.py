"""A provider with a database behind it: for when the first one does not know, does not answer or takes too long.

In the words of OpenFeature's multi-provider strategies it is *first successful*, with one exception: a flag that is
known and was asked for as another type is a mistake that the database does not hide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError, OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, FeatureProvider, Metadata
from typing_extensions import Self

from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.chain import DEADLINE_SECONDS, FlagChain
from genops_otel_posthog.flags.database.store import FlagStore
from genops_otel_posthog.flags.openfeature.chain_client import latest_answer, provider_of
from genops_otel_posthog.flags.openfeature.hook import SOURCE_METADATA
from genops_otel_posthog.flags.table import POLL_SECONDS
from genops_otel_posthog.flags.workers import Workers

if TYPE_CHECKING:
    # Both are newer than the oldest OpenFeature that works.
    from openfeature.flag_evaluation import FlagValueType
    from openfeature.track import TrackingEventDetails

    _ObjectValue: TypeAlias = Sequence[FlagValueType] | Mapping[str, FlagValueType]

PRIMARY_ERROR_METADATA: Final = "genops.primary_error"
START_SECONDS: Final = 5.0
"""Most seconds that becoming ready may wait for PostHog's definitions."""

_logger = logging.getLogger(__name__)
_Resolver: TypeAlias = Callable[[FeatureProvider], FlagResolutionDetails[Any]]
_NEVER_TARGETED: Final = ""


class GenOpsFallbackProvider(AbstractProvider):
    """Asks a provider, and a database where that has no answer.

    Args:
        primary: The provider to ask; :meth:`for_posthog` makes the one that knows the most of PostHog.
        database: Where rows are.
        mode: ``fallback`` asks the database after the provider, ``override`` before it.
        deadline: Most seconds to wait for the provider.
        breaker: When to stop asking it.
        poll: Seconds between looks at the database.
    """

    def __init__(
        self,
        primary: FeatureProvider,
        database: FlagStore | None = None,
        *,
        mode: Literal["fallback", "override"] = "fallback",
        deadline: float = DEADLINE_SECONDS,
        breaker: Breaker | None = None,
        poll: float = POLL_SECONDS,
    ) -> None:
        super().__init__()
        self._primary = primary
        self._chain: FlagChain | None = None  # that of for_posthog, which keeps its deadline by itself
        self._client: Any = None
        self._deadline = deadline
        self._breaker = breaker or Breaker()
        self._database_first = mode == "override"
        self._rows = FlagChain(database=database, deadline=deadline, poll=poll)
        # Everybody's rows hold for those, too, who have no targeting key.
        self._fallback = provider_of(self._rows, default_distinct_id=_NEVER_TARGETED)
        self._workers, self._async_workers = Workers(), Workers(limit=16)
        self._breaker.on_change(self._tell_of_breaker)
        if self._rows.table is not None:
            self._rows.table.on_change(self._tell_of_rows)

    @classmethod
    def for_posthog(
        cls,
        client: Any,
        database: FlagStore | None = None,
        *,
        mode: Literal["fallback", "override"] = "fallback",
        default_distinct_id: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        breaker: Breaker | None = None,
        poll: float = POLL_SECONDS,
        **chain_options: Any,
    ) -> Self:
        """The official provider for PostHog, asking through a chain: truthful errors, versions, sources, no long waits.

        Args:
            client: A ``posthog.Posthog``.
            database: Where rows are.
            mode: As for the class.
            default_distinct_id: Who is meant where the context has no targeting key.
            deadline: Most seconds to wait for PostHog.
            breaker: When to stop asking it.
            poll: Seconds between looks at the database.
            chain_options: More arguments of :class:`~genops_otel_posthog.flags.FlagChain`.
        """
        breaker = breaker or Breaker()
        chain = FlagChain(client, deadline=deadline, breaker=breaker, **chain_options)
        provider = cls(
            provider_of(chain, default_distinct_id), database, mode=mode, deadline=deadline, breaker=breaker, poll=poll
        )
        provider._chain, provider._client = chain, client
        return provider

    # --- life ---------------------------------------------------------------------------------------------------

    def get_metadata(self) -> Metadata:
        """The name of the provider."""
        return Metadata(name="GenOpsFallbackProvider")

    def get_provider_hooks(self) -> list[Hook]:
        """The hooks of the first provider."""
        return self._primary.get_provider_hooks()

    def attach(self, on_emit: Callable[[FeatureProvider, ProviderEvent, ProviderEventDetails], None]) -> None:
        """Passes the first provider's events on as its own. That one fails is no failure here: it makes this stale."""
        super().attach(on_emit)

        def passed_on(_: FeatureProvider, event: ProviderEvent, details: ProviderEventDetails) -> None:
            self.emit(ProviderEvent.PROVIDER_STALE if event is ProviderEvent.PROVIDER_ERROR else event, details)

        self._primary.attach(passed_on)

    def detach(self) -> None:
        """Undoes it."""
        self._primary.detach()
        super().detach()

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Makes the first provider ready. Where that fails this one is ready all the same: it has a database."""
        try:
            self._primary.initialize(evaluation_context)
        except Exception as problem:
            if self._rows.table is None:
                raise
            _logger.warning("The flag provider %s is not ready: %s", self._name, type(problem).__name__)
        if self._chain is not None:
            self._chain.prepare(START_SECONDS)

    def shutdown(self) -> None:
        """Shuts the first provider down. The PostHog client stays the application's."""
        self._primary.shutdown()

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Captures a PostHog event of the person with the targeting key; other providers track as they do."""
        if self._client is None:
            self._primary.track(tracking_event_name, evaluation_context, tracking_event_details)
            return
        properties: dict[str, Any] = {}
        if tracking_event_details is not None:
            properties.update(tracking_event_details.attributes)
            if tracking_event_details.value is not None:
                properties["value"] = tracking_event_details.value
        groups = evaluation_context.attributes.get("groups") if evaluation_context is not None else None
        self._client.capture(
            tracking_event_name,
            distinct_id=evaluation_context.targeting_key if evaluation_context is not None else None,
            properties=properties,
            groups=groups if isinstance(groups, Mapping) else None,
        )

    # --- values -------------------------------------------------------------------------------------------------

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Whether a flag is on."""
        return self._resolve(lambda one: one.resolve_boolean_details(flag_key, default_value, evaluation_context))

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """The same for asyncio."""
        return await self._resolve_async(
            lambda one: one.resolve_boolean_details(flag_key, default_value, evaluation_context)
        )

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The variant of a flag."""
        return self._resolve(lambda one: one.resolve_string_details(flag_key, default_value, evaluation_context))

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The same for asyncio."""
        return await self._resolve_async(
            lambda one: one.resolve_string_details(flag_key, default_value, evaluation_context)
        )

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """The variant of a flag, a number."""
        return self._resolve(lambda one: one.resolve_integer_details(flag_key, default_value, evaluation_context))

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """The same for asyncio."""
        return await self._resolve_async(
            lambda one: one.resolve_integer_details(flag_key, default_value, evaluation_context)
        )

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """The variant of a flag, a number."""
        return self._resolve(lambda one: one.resolve_float_details(flag_key, default_value, evaluation_context))

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """The same for asyncio."""
        return await self._resolve_async(
            lambda one: one.resolve_float_details(flag_key, default_value, evaluation_context)
        )

    def resolve_object_details(
        self, flag_key: str, default_value: _ObjectValue, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_ObjectValue]:
        """The payload of a flag."""
        return self._resolve(lambda one: one.resolve_object_details(flag_key, default_value, evaluation_context))

    async def resolve_object_details_async(
        self, flag_key: str, default_value: _ObjectValue, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_ObjectValue]:
        """The same for asyncio."""
        return await self._resolve_async(
            lambda one: one.resolve_object_details(flag_key, default_value, evaluation_context)
        )

    # --- how ----------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self._primary.get_metadata().name

    async def _resolve_async(self, resolver: _Resolver) -> FlagResolutionDetails[Any]:
        future = self._async_workers.submit(lambda: self._resolve(resolver))
        if future is None:
            return self._from_rows(resolver, GeneralError("too many flags are being evaluated"))
        return await asyncio.wrap_future(future)

    def _resolve(self, resolver: _Resolver) -> FlagResolutionDetails[Any]:
        if self._database_first:
            try:
                return _resolved(self._fallback, resolver)
            except OpenFeatureError as problem:
                if problem.error_code is ErrorCode.TYPE_MISMATCH:
                    raise
        try:
            return _resolved(self._primary, resolver) if self._chain is not None else self._in_time(resolver)
        except OpenFeatureError as problem:
            if problem.error_code is ErrorCode.TYPE_MISMATCH or self._database_first:
                raise
            return self._from_rows(resolver, problem)

    def _from_rows(self, resolver: _Resolver, why: OpenFeatureError) -> FlagResolutionDetails[Any]:
        try:
            details = _resolved(self._fallback, resolver)
        except OpenFeatureError as problem:
            # Neither knows. What the first one says of it is of more use, unless the row has another type.
            raise problem if problem.error_code is ErrorCode.TYPE_MISMATCH else why from None
        metadata = {**details.flag_metadata, PRIMARY_ERROR_METADATA: why.error_code.value}
        return replace(details, flag_metadata=metadata)

    def _in_time(self, resolver: _Resolver) -> FlagResolutionDetails[Any]:
        """Asks a provider that may take any time and raise anything."""
        if not self._breaker.allows():
            raise GeneralError(f"the flag provider {self._name} does not answer at present")
        future = self._workers.submit(lambda: _resolved(self._primary, resolver))
        if future is None:
            self._breaker.withdrawn()
            raise GeneralError(f"the flag provider {self._name} is busy")
        try:
            details = future.result(self._deadline)
        except FutureTimeoutError:
            self._breaker.failed()
            raise GeneralError(f"the flag provider {self._name} did not answer within {self._deadline:g} s") from None
        except OpenFeatureError:
            self._breaker.succeeded()  # an answer, if none that helps
            raise
        except Exception as problem:
            self._breaker.failed()
            raise GeneralError(f"the flag provider {self._name} failed: {type(problem).__name__}") from problem
        self._breaker.succeeded()
        return details

    def _tell_of_breaker(self, is_open: bool) -> None:
        if is_open:
            self.emit_provider_stale(ProviderEventDetails(message=f"{self._name} does not answer"))
        else:
            self.emit_provider_ready(ProviderEventDetails(message=f"{self._name} answers again"))

    def _tell_of_rows(self, flags: list[str]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=flags))


def _resolved(provider: FeatureProvider, resolver: _Resolver) -> FlagResolutionDetails[Any]:
    """What a provider says, with what our chain knows beyond that; raises where there is no value."""
    token = latest_answer.set(None)
    try:
        details = resolver(provider)
        answer = latest_answer.get()
    finally:
        latest_answer.reset(token)
    if details.error_code is not None:
        raise ErrorCode.to_exception(details.error_code, details.error_message or "")
    if answer is None:
        return details
    metadata: dict[str, bool | int | float | str] = {**details.flag_metadata, SOURCE_METADATA: answer.source}
    if answer.version is not None:
        metadata["version"] = str(answer.version)
    if answer.stale_s is not None:
        metadata["genops.stale_s"] = answer.stale_s
    return replace(details, reason=Reason[answer.reason.upper()], flag_metadata=metadata)
