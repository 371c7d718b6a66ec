"""The service: PostHog as an object that is started, told things, and stopped, and that never raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import Unpack

from genops_otel_posthog.adapter.moments import Moment, moment_utc
from genops_otel_posthog.errors import GenOpsBudgetExceededError, GenOpsValidationError
from genops_otel_posthog.service.admission import Admission, Consent, event_name, person
from genops_otel_posthog.service.configuration import ConfigFields, PostHogServiceConfig
from genops_otel_posthog.service.connection import Connection
from genops_otel_posthog.service.counts import ServiceCounts
from genops_otel_posthog.service.fields import merged_fields
from genops_otel_posthog.settings.once import WarnOnce

if TYPE_CHECKING:
    from posthog import Posthog

_warn = WarnOnce(logging.getLogger(__name__))

PATIENCE_SECONDS: Final = 30.0
"""How long ``flush`` and ``shutdown`` wait: for a full interval, a request and its retries."""


class PostHogService:
    """PostHog for an application that wants to be told whether it worked, and never to be interrupted.

    Every method is there twice: ``await service.capture(…)`` and ``service.capture_sync(…)``. What it is told, it takes
    as one dictionary, in which names may be written as in JavaScript (``distinctId``), or as arguments. ``True`` says
    that what was asked was done, or was left out because it was so decided (switched off, no key, a list, consent);
    ``False`` that it was not done, with the reason in the log. :meth:`counts` has the figures. Nothing raises, nothing
    waits for the network but :meth:`flush` and :meth:`shutdown`, and no message holds a key, a property or an id.

    Where the SDK is instrumented (``opentelemetry-instrument``, ``auto_instrument()``), each call is a governed span.

    Args:
        consent: Asked before anything about anybody is sent: a function of the distinct id (``None`` for nobody in
            particular) and the event's name. Anything but ``True``, and any error in it, holds the event back.
    """

    def __init__(self, *, consent: Consent | None = None) -> None:
        self._connection = Connection(consent)

    # --- starting -----------------------------------------------------------------------------------------------

    def initialize_sync(
        self, config: PostHogServiceConfig | Mapping[str, Any] | None = None, **fields: Unpack[ConfigFields]
    ) -> bool:
        """Starts the service. What is not given is taken from the environment. A second time does nothing.

        Args:
            config: A configuration, or a dictionary with ``apiKey``, ``host``, ``flushAt``, ``flushInterval``
                (milliseconds), ``enable``.
            **fields: The same as keywords, ``api_key=…``; they come before ``config``.

        Returns:
            ``True`` also when it is switched off, and when it is switched on and has no key: then it runs in mock mode,
            in which it takes everything and sends nothing. ``False`` when the configuration cannot be used or the SDK
            cannot be started; the log says why.
        """
        return self._guarded("initialize", lambda: self._connection.start(config, fields))

    async def initialize(
        self, config: PostHogServiceConfig | Mapping[str, Any] | None = None, **fields: Unpack[ConfigFields]
    ) -> bool:
        """As :meth:`initialize_sync`, which imports the SDK, in a thread."""
        return await asyncio.to_thread(self.initialize_sync, config, **fields)

    # --- telling ------------------------------------------------------------------------------------------------

    def capture_sync(
        self,
        event: Mapping[str, Any] | str,
        distinct_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        timestamp: Moment | None = None,
    ) -> bool:
        """Tells an event. It waits in memory until it is sent, and nobody waits for that.

        Args:
            event: The event's name, or a dictionary with ``event``, ``distinctId``, ``properties``, ``timestamp``.
            distinct_id: Whose it is; an event of nobody is anonymous.
            properties: Its properties. Values that are not JSON are repaired, secrets by name (``*password*``) and
                what ``GENOPS_EXPORT_DENY_PROPERTIES`` names are left out.
            timestamp: When it happened, if not now.
        """
        told = {"distinct_id": distinct_id, "properties": properties, "timestamp": timestamp}
        return self._guarded("capture", lambda: self._capture(event, told))

    async def capture(
        self,
        event: Mapping[str, Any] | str,
        distinct_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        timestamp: Moment | None = None,
    ) -> bool:
        """As :meth:`capture_sync`, which does not hold up the loop."""
        return self.capture_sync(event, distinct_id, properties, timestamp=timestamp)

    def _capture(self, event: Mapping[str, Any] | str, told: dict[str, Any]) -> bool:
        if isinstance(event, str):
            told["event"], event = event, {}
        fields = merged_fields("an event", event, told, ("event", "distinct_id", "properties", "timestamp"))
        name = event_name(fields.get("event"))
        user = person(fields.get("distinct_id"), required=False)
        when = None if "timestamp" not in fields else moment_utc(fields["timestamp"])

        def send(client: Posthog, admission: Admission) -> str | None:
            properties = admission.properties(fields.get("properties"))
            taken: str | None = client.capture(name, distinct_id=user, properties=properties, timestamp=when)
            return taken

        return self._connection.tell(name, user, send)

    def identify_sync(
        self,
        user: Mapping[str, Any] | str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        distinct_id: str | None = None,
    ) -> bool:
        """Tells who a person is: becomes ``$set``, which sets the properties of the person.

        Args:
            user: The distinct id, or a dictionary with ``distinctId`` and ``properties``.
            properties: Properties of the person; without any, PostHog only learns that there is one.
            distinct_id: The distinct id, as a keyword.
        """
        told = {"distinct_id": distinct_id, "properties": properties}
        return self._guarded("identify", lambda: self._identify(user, told))

    async def identify(
        self,
        user: Mapping[str, Any] | str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        distinct_id: str | None = None,
    ) -> bool:
        """As :meth:`identify_sync`, which does not hold up the loop."""
        return self.identify_sync(user, properties, distinct_id=distinct_id)

    def _identify(self, user: Mapping[str, Any] | str | None, told: dict[str, Any]) -> bool:
        if isinstance(user, (str, int)):
            told["distinct_id"], user = user, None
        fields = merged_fields("a user", user, told, ("distinct_id", "properties"))
        person_id = person(fields.get("distinct_id"), required=True)

        def send(client: Posthog, admission: Admission) -> str | None:
            properties = admission.properties(fields.get("properties"))
            taken: str | None
            if properties:
                taken = client.set(distinct_id=person_id, properties=properties)
            else:  # the SDK's set() does nothing then, but to be known is something
                taken = client.capture("$set", distinct_id=person_id, properties={"$set": {}})
            return taken

        return self._connection.tell("$set", person_id, send)

    def alias_sync(self, distinct_id: str, alias: str) -> bool:
        """Tells that two ids are one person: becomes ``$create_alias``.

        Args:
            distinct_id: The id that the person has.
            alias: The other one.
        """

        def work() -> bool:
            user, other = person(distinct_id, required=True), person(alias, required=True)

            def send(client: Posthog, _: Admission) -> str | None:
                taken: str | None = client.alias(previous_id=str(user), distinct_id=other)
                return taken

            return self._connection.tell("$create_alias", user, send)

        return self._guarded("alias", work)

    async def alias(self, distinct_id: str, alias: str) -> bool:
        """As :meth:`alias_sync`, which does not hold up the loop."""
        return self.alias_sync(distinct_id, alias)

    # --- waiting and stopping -----------------------------------------------------------------------------------

    def flush_sync(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """Sends what waits. The service goes on afterwards.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether everything told before has been taken by PostHog.
        """

        return self._guarded("flush", lambda: self._connection.flush(timeout))

    async def flush(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """As :meth:`flush_sync`, in a thread."""
        return await asyncio.to_thread(self.flush_sync, timeout)

    def shutdown_sync(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """Sends what waits and stops. Stopping what is not running is done already. It can be started again.

        Args:
            timeout: Seconds to wait at most; what the SDK has not sent by then it goes on sending in the background.

        Returns:
            Whether everything told before has been taken by PostHog.
        """

        return self._guarded("shutdown", lambda: self._connection.stop(timeout))

    async def shutdown(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """As :meth:`shutdown_sync`, in a thread."""
        return await asyncio.to_thread(self.shutdown_sync, timeout)

    # --- asking -------------------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether events are sent: started, switched on, and with a key."""
        return self._connection.client is not None

    @property
    def is_initialized(self) -> bool:
        """Whether it has been started and not been stopped, be it switched off or without a key."""
        return self._connection.is_started

    def get_client(self) -> Posthog | None:
        """The SDK's client, for what the service has no method for; ``None`` unless :meth:`is_ready`."""
        return self._connection.client

    def counts(self) -> ServiceCounts:
        """What became of everything told so far."""
        return self._connection.tally.read()

    def set_consent(self, consent: Consent | None) -> None:
        """Puts another consent hook in place, ``None`` for none."""
        self._connection.ask(consent)

    def has_consent(self, distinct_id: str | None, event: str) -> bool:
        """What the consent hook says of a person and an event, for who keeps such things besides."""
        return self._connection.has_agreed(distinct_id, event)

    # --- keeping the promise ------------------------------------------------------------------------------------

    def _guarded(self, operation: str, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except GenOpsValidationError as problem:
            reason, message = "invalid", str(problem)
        except GenOpsBudgetExceededError:
            reason, message = "budget", "a budget is used up"
        except Exception as error:  # the promise of this class; the traceback may hold what an event says
            reason, message = "error", f"{type(error).__name__}"
        self._connection.tally.add("refused", reason)
        _warn(f"PostHog service, {operation}", f"PostHog service, {operation}: {message}")
        return False
