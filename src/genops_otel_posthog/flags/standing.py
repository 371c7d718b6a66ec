"""Gates of an application that made no chain of its own: what the environment says, and the client that is there.

PostHog's definitions are those of the application's default client, if it evaluates locally. Its server is asked only
where ``GENOPS_GATES_ASK_POSTHOG`` says so, because each answer is billed. The database is that of
``GENOPS_FLAGS_DATABASE_URL``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any

from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags.chain import FlagChain
from genops_otel_posthog.flags.current import chain_in_use
from genops_otel_posthog.flags.database import FlagStore, open_flag_store
from genops_otel_posthog.flags.gates import Gates
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce

_warn = WarnOnce(logging.getLogger(__name__))


class StandingGates:
    """Gates over the chain in use, else over one of their own. See :class:`~.gates.Gates` for what they answer.

    The chain may change while they are in use: applications make their client when spans have long been written.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own_client: Any = None
        self._store: FlagStore | None = None
        self._made_of: tuple[Any, Any] | None = None
        self._gates = Gates(FlagChain())
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process."""
        self._lock = threading.Lock()

    def allows(self, name: str, owner: Attribution = NOBODY) -> bool:
        """Whether a gate is open for an owner."""
        return self._current().allows(name, owner)

    def of_span(self, name: str, span: object, owner: Attribution) -> bool:
        """As rules of spans ask it."""
        return self._current().of_span(name, span, owner)

    def of_event(self, name: str, event: Mapping[str, Any]) -> bool:
        """As destinations ask it, of an event in PostHog's form."""
        return self._current().of_event(name, event)

    def _current(self) -> Gates:
        chain = chain_in_use()
        client = None if chain is not None else self._client()
        made_of = self._made_of
        if made_of is None or made_of[0] is not chain or made_of[1] is not client:
            with self._lock:
                if self._made_of is made_of:
                    chain_or_own = chain or FlagChain(client, self._database(), recorders=())
                    self._gates = Gates(chain_or_own, ask=self._settings.gates_ask_posthog)
                    self._made_of = chain, client
        return self._gates

    def _database(self) -> FlagStore | None:
        if self._store is None:
            try:
                self._store = open_flag_store(self._settings.flags_database_url)
            except GenOpsConfigurationError as problem:
                # Of the user's own file nobody has said that there is one.
                if self._settings.flags_database_url is not None:
                    _warn("the flag database", f"Gates are decided without a database: {problem}")
        return self._store

    def _client(self) -> Any:
        """The application's default client, once it is there; one of our own if PostHog is to be asked."""
        posthog = sys.modules.get("posthog")
        client = getattr(posthog, "default_client", None)
        if client is not None or not self._settings.gates_ask_posthog:
            return client
        if self._own_client is None and self._settings.api_key is not None and self._settings.sends_to_posthog:
            try:
                from posthog import Posthog
            except ModuleNotFoundError as error:
                if error.name != "posthog":
                    raise
                _warn("the PostHog SDK", "GENOPS_GATES_ASK_POSTHOG needs the PostHog SDK: pip install posthog")
                return None
            # Synchronous: it sends no events, so it needs no thread that would.
            self._own_client = Posthog(self._settings.api_key, host=self._settings.host, sync_mode=True)
        return self._own_client


def standing_gates(settings: Settings) -> StandingGates:
    """What the entry point names."""
    return StandingGates(settings)
