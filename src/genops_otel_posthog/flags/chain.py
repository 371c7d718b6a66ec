"""PostHog, else the database, else the coded default: one answer, soon, that says where it is from.

What is asked, in this order, until somebody knows:

1. PostHog's definitions, evaluated here;
2. what PostHog's server said within the last half minute;
3. PostHog's server, for no longer than the deadline, and not while the breaker is open;
4. the database;
5. what PostHog's server said before that;
6. nobody: the coded default stands.

With ``mode="override"`` the database comes first: a switch that works whatever PostHog says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, Literal, TypeVar

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags.answer import EVERYBODY, MISSING, Answer, Subject, Unknown, Value, default_answer
from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.database.store import FlagStore
from genops_otel_posthog.flags.definitions import FlagDefinitionCache
from genops_otel_posthog.flags.posthog_source import FRESH_SECONDS, KEEP_SECONDS, PostHogSource, Request
from genops_otel_posthog.flags.recording import PostHogRecorder, Recorder, Recording
from genops_otel_posthog.flags.table import POLL_SECONDS, FlagTable
from genops_otel_posthog.flags.workers import Workers

DEADLINE_SECONDS: Final = 0.3

_NO_CLIENT: Final = Unknown("no_client", is_failure=False)
_NOT_ASKED: Final = Unknown("not_asked", is_failure=False)
_NOT_WAITED_FOR: Final = Unknown("not_waited_for", is_failure=False)

T = TypeVar("T")


class FlagChain:
    """Answers flags. Safe to use from any thread, from asyncio and after a fork; never raises for a flag.

    Making one reads the database, for as long as the deadline at most. After that nothing waits but
    :meth:`answer` for PostHog's server, and never longer than the deadline.

    Args:
        client: A ``posthog.Posthog``; ``None`` for a chain without PostHog.
        database: Where rows are; ``None`` for a chain without.
        mode: ``fallback`` asks the database when PostHog does not know, ``override`` before PostHog.
        deadline: Most seconds that a caller waits for PostHog.
        definitions: What was given to the client as ``flag_definition_cache_provider``, if anything.
        recorders: Who is told of each flag, subject and value once. When not given: PostHog, as the SDK does.
        breaker: When to stop asking PostHog's server.
        fresh: Seconds for which an answer of the server is used again: each request is billed.
        keep: Seconds for which it is kept for an outage.
        poll: Seconds between looks at the database.
        clock: Seconds that never go back.

    Raises:
        GenOpsConfigurationError: ``deadline`` is not a positive number, or ``client`` is no synchronous client.
    """

    def __init__(
        self,
        client: Any = None,
        database: FlagStore | None = None,
        *,
        mode: Literal["fallback", "override"] = "fallback",
        deadline: float = DEADLINE_SECONDS,
        definitions: FlagDefinitionCache | None = None,
        recorders: Sequence[Recorder] | None = None,
        breaker: Breaker | None = None,
        fresh: float = FRESH_SECONDS,
        keep: float = KEEP_SECONDS,
        poll: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not deadline > 0:
            raise GenOpsConfigurationError(f"the deadline of a flag is a positive number of seconds, not {deadline}")
        self._deadline = deadline
        self._database_first = mode == "override"
        self.posthog = None
        if client is not None:
            if not callable(getattr(client, "get_feature_flag_result", None)):
                raise GenOpsConfigurationError(
                    f"flags are asked of a posthog.Posthog, not of a {type(client).__name__}; in asyncio use "
                    "FlagChain(Posthog(...)).answer_async(...)"
                )
            self.posthog = PostHogSource(
                client,
                Workers(),
                timeout=deadline,
                breaker=breaker,
                definitions=definitions,
                fresh=fresh,
                keep=keep,
                clock=clock,
            )
        if recorders is None:
            recorders = () if client is None else (PostHogRecorder(client),)
        self._record = Recording(recorders)
        self.table = None
        if database is not None:
            self.table = FlagTable(database, poll=poll, clock=clock)
            self.table.refresh(wait=deadline)

    # --- questions ----------------------------------------------------------------------------------------------

    def answer(
        self,
        key: str,
        subject: Subject = EVERYBODY,
        default: Value = False,
        *,
        record: bool = True,
    ) -> Answer:
        """What is known of a flag; waits for PostHog's server if need be, up to the deadline.

        Args:
            key: The flag.
            subject: Whom for.
            default: The value when nobody knows.
            record: Whether the recorders are told.
        """
        end = time.monotonic() + self._deadline
        loading = self._needs_loading(key, subject)
        if loading is not None:
            _result(loading, end)
        found = self._at_hand(key, subject)
        if isinstance(found, Request):
            answered = _result(found.future, end)
            found = found.give_up() if answered is None else answered
        return self._conclude(key, subject, default, found, record)

    async def answer_async(
        self, key: str, subject: Subject = EVERYBODY, default: Value = False, *, record: bool = True
    ) -> Answer:
        """The same for asyncio, which goes on meanwhile."""
        end = time.monotonic() + self._deadline
        loading = self._needs_loading(key, subject)
        if loading is not None:
            await _result_async(loading, end)
        found = self._at_hand(key, subject)
        if isinstance(found, Request):
            answered = await _result_async(found.future, end)
            found = found.give_up() if answered is None else answered
        return self._conclude(key, subject, default, found, record)

    def answer_now(
        self, key: str, subject: Subject = EVERYBODY, default: Value = False, *, ask: bool = False
    ) -> Answer:
        """What is known without waiting for anything, and unseen: no span, no record.

        Args:
            key: The flag.
            subject: Whom for.
            default: The value when nobody knows.
            ask: Whether PostHog's server is asked in the background where it may know more, so that its answer is there
                the next time. Each request is billed: one for each flag and subject in half a minute.
        """
        if self.posthog is not None:
            self.posthog.preparation()
        found = self._at_hand(key, subject, unseen=True, ask=ask)
        if isinstance(found, Request):
            # Until it is there, PostHog's last answer is nearer to it than any row.
            assert self.posthog is not None
            found = self.posthog.remembered.any(key, subject) or _NOT_WAITED_FOR
        return self._conclude(key, subject, default, found, record=False)

    def prepare(self, wait: float) -> bool:
        """Loads what is needed, which otherwise happens in the background while the first flags are asked for.

        Args:
            wait: Most seconds to wait for it.

        Returns:
            Whether PostHog's definitions (with a client that evaluates locally) and the database's rows are there.
        """
        end = time.monotonic() + wait
        loading = self.posthog.preparation() if self.posthog is not None else None
        rows_are_there = self.table is None or self.table.refresh(wait)
        if loading is not None:
            _result(loading, end)
        return rows_are_there and (self.posthog is None or self.posthog.is_prepared)

    def is_on(self, key: str, subject: Subject = EVERYBODY, default: bool = False) -> bool:
        """Whether a flag is on; a multivariate flag is on with any variant."""
        return self.answer(key, subject, default).enabled

    def answers(self, keys: Iterable[str], subject: Subject = EVERYBODY) -> dict[str, Answer]:
        """Several flags for one subject, without waiting: a snapshot to give to a front end."""
        return {key: self.answer_now(key, subject) for key in keys}

    @property
    def known_keys(self) -> frozenset[str]:
        """Flags that have a row or a definition here."""
        rows = self.table.keys if self.table is not None else frozenset()
        definitions = self.posthog.client.feature_flags_by_key if self.posthog is not None else None
        return rows | frozenset(definitions or ())

    # --- how ----------------------------------------------------------------------------------------------------

    def _needs_loading(self, key: str, subject: Subject) -> Future[None] | None:
        """The loading of PostHog's definitions, if the answer may depend on it."""
        if self.posthog is None:
            return None
        loading = self.posthog.preparation()
        if loading is None or (self._database_first and isinstance(self._row(key, subject), Answer)):
            return None
        return loading

    def _at_hand(
        self, key: str, subject: Subject, *, unseen: bool = False, ask: bool = True
    ) -> Answer | Unknown | Request:
        """What is known without waiting, or the request to wait for."""
        if self._database_first:
            row = self._row(key, subject)
            if isinstance(row, Answer):
                return row
        if self.posthog is None:
            return _NO_CLIENT
        local = self.posthog.local(key, subject, unseen=unseen)
        if isinstance(local, Answer):
            return local
        remembered = self.posthog.remembered.fresh(key, subject)
        if remembered is not None:
            return remembered
        return self.posthog.ask(key, subject) if ask else _NOT_ASKED

    def _conclude(self, key: str, subject: Subject, default: Value, found: Answer | Unknown, record: bool) -> Answer:
        answer = found if isinstance(found, Answer) else self._without_posthog(key, subject, default, found)
        if record:
            self._record(answer, subject)
        return answer

    def _without_posthog(self, key: str, subject: Subject, default: Value, why: Unknown) -> Answer:
        error = None if why is _NO_CLIENT else why.error
        row = self._row(key, subject)
        if isinstance(row, Answer):
            return row if error is None else row._replace(error=error)
        if self.posthog is not None and why is not MISSING:
            before = self.posthog.remembered.any(key, subject)
            if before is not None:
                return before._replace(error=error)
        return default_answer(key, default, error or row.error)

    def _row(self, key: str, subject: Subject) -> Answer | Unknown:
        return MISSING if self.table is None else self.table.lookup(key, subject)


def _result(future: Future[T], end: float) -> T | None:
    """A result, ``None`` if it is not there in time."""
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except FutureTimeoutError:
        return None


async def _result_async(future: Future[T], end: float) -> T | None:
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=max(0.0, end - time.monotonic()))
    return done.pop().result() if done else None
