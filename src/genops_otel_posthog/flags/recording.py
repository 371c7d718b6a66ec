"""One record of each flag, subject and value, however often the application asks."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from genops_otel_posthog import semconv
from genops_otel_posthog.flags.answer import Answer, Subject
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.settings.once import WarnOnce

REMEMBERED: Final = 50_000
"""Evaluations that are known to be recorded; as many as the SDK knows of its own (``MAX_DICT_SIZE`` of its client)."""

_warn = WarnOnce(logging.getLogger(__name__))


class Evaluation(NamedTuple):
    """An answer and whom it was for."""

    answer: Answer
    subject: Subject


Recorder: TypeAlias = Callable[[Evaluation], None]
"""Takes an evaluation that was not recorded before. It is called in the way of the application and must not wait."""


class Recording:
    """Hands each evaluation to the recorders once. Safe to use from any thread; never raises.

    Args:
        recorders: Who is told.
        limit: Most evaluations that are known to be told.
    """

    def __init__(self, recorders: Sequence[Recorder], limit: int = REMEMBERED) -> None:
        self._recorders = tuple(recorders)
        self._limit = limit
        self._known: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process."""
        self._lock = threading.Lock()

    def __call__(self, answer: Answer, subject: Subject) -> None:
        """Records an answer unless the subject has been given the same value of the flag before."""
        if not self._recorders:
            return
        # The default is no value of the flag, so it is another record than the same value from PostHog.
        seen = (answer.key, subject.user, subject.workspace, answer.value if answer.is_known else None)
        with self._lock:
            if seen in self._known:
                return
            self._known[seen] = None
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        for recorder in self._recorders:
            try:
                recorder(Evaluation(answer, subject))
            except Exception as problem:
                _warn("records of flags", f"The value of a flag could not be recorded: {type(problem).__name__}")


class PostHogRecorder:
    """Tells PostHog by ``$feature_flag_called``, which its experiments count and which it does not bill.

    Args:
        client: A ``posthog.Posthog``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, evaluation: Evaluation) -> None:
        """Captures the event, with the properties of the SDK's own and ``genops_flag_source``."""
        answer, subject = evaluation
        response = answer.value if answer.is_known else None
        properties = {
            "$feature_flag": answer.key,
            "$feature_flag_response": response,
            f"$feature/{answer.key}": response,
            "locally_evaluated": answer.source == "posthog_local",
            semconv.PROPERTY_GENOPS_FLAG_SOURCE: answer.source,
            "$feature_flag_reason": answer.detail,
            "$feature_flag_id": answer.flag_id,
            # A row of the database has a version of its own, which is none of PostHog's.
            "$feature_flag_version": None if answer.source == "database" else answer.version,
            "$feature_flag_request_id": answer.request_id,
            "$feature_flag_payload": answer.payload,
            "$feature_flag_error": answer.error if not answer.is_known else None,
        }
        required = ("$feature_flag_response", f"$feature/{answer.key}")
        properties = {name: value for name, value in properties.items() if value is not None or name in required}
        if subject.user is None:
            properties["$process_person_profile"] = False  # a workspace is no person
        self._client.capture(
            "$feature_flag_called",
            distinct_id=subject.distinct_id,
            properties=properties,
            groups=subject.all_groups or None,
        )
