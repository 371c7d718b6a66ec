"""Celery: a session for every task, with the owner of whoever asked for it; nothing is lost when a worker process ends.

    app = Celery("shop")
    govern(app, team="workers", project="shop")

The owner travels from the producer to the worker in a header of the message, whatever the broker. A producer needs
:func:`govern` as well, which it has when it imports the tasks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate

from genops_otel_posthog.attribution import FIELDS, NOBODY, Attribution, AttributionResolver
from genops_otel_posthog.integrations.flushing import flush
from genops_otel_posthog.integrations.frameworks import framework
from genops_otel_posthog.integrations.owners import fields_of
from genops_otel_posthog.integrations.sessions import Sessions
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_HEADER = "genops"
_OPEN = "_genops_open"  # on the request of a task: the open session, and the block that is its own
_FAILURE = "_genops_failure"  # on the same: what the task failed with
_CARRIED = (*(field for field in FIELDS if field != "session_id"), "tags")


def govern(
    app: Any,
    *,
    adapter: GenOpsPostHogAdapter | None = None,
    owner: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None,
    session_name: str | None = None,
    flush_seconds: float = 10.0,
    **options: Any,
) -> GenOpsPostHogAdapter:
    """Gives every task of an application a session, ``task.request.analytics_session``.

    A task belongs to whom the caller names by a block, a session or baggage, if ``owner`` does not name somebody else.
    What a task fails with is an error; that it is tried again is none. Called again, this changes nothing.

    Args:
        app: The Celery application.
        adapter: Whose sessions they are; one made of ``options`` when not given. It may be older than the workers.
        owner: Called with the task, its arguments and its keyword arguments, in the worker; see
            :class:`~.sessions.Sessions`.
        session_name: What sessions are called; by the task's name when not given.
        flush_seconds: The most that a worker process waits for deliveries when it ends, be it that it has served
            ``max_tasks_per_child`` tasks.
        **options: Arguments of :class:`~genops_otel_posthog.GenOpsPostHogAdapter`.

    Returns:
        The adapter.

    Raises:
        GenOpsConfigurationError: Celery is not installed, or something that was given cannot be used.
    """
    signals = framework("celery.signals", "celery")
    known: Sessions | None = getattr(app, "_genops_sessions", None)
    if known is not None:
        return known.adapter
    sessions = Sessions(adapter, owner, **options)
    app._genops_sessions = sessions

    def open_session(task: Any, args: Any, kwargs: Any, **_: Any) -> None:
        if task.app is app:
            _open(sessions, session_name or task.name, task, args, kwargs)

    def deliver(**_: Any) -> None:
        flush(sessions.adapter, flush_seconds)

    for signal, receiver in (
        (signals.before_task_publish, _carry_owner),
        (signals.task_prerun, open_session),
        (signals.task_failure, _note_failure),
        (signals.task_postrun, _close),
        (signals.worker_process_shutdown, deliver),
        (signals.worker_shutdown, deliver),
    ):
        # By id, so that what is the same for every application is connected once.
        signal.connect(receiver, weak=False, dispatch_uid=(__name__, receiver.__name__, id(receiver)))
    return sessions.adapter


def _carry_owner(headers: dict[str, Any], **_: Any) -> None:
    """Puts the owner, and the trace, of whoever asks for a task on the message."""
    carried: dict[str, str] = {}
    propagate.inject(carried)
    carried.update(_resolver().resolve().select(_CARRIED))
    if carried:
        headers.setdefault(_HEADER, carried)


@functools.lru_cache(maxsize=1)
def _resolver() -> AttributionResolver:
    """Blocks, sessions and accepted baggage. What a producer's environment says is the producer's own."""
    return AttributionResolver(NOBODY, Settings.from_environ(strict=False).baggage_in)


def _open(sessions: Sessions, name: str, task: Any, args: Any, kwargs: Any) -> None:
    given = getattr(task.request, _HEADER, None)
    carried: dict[str, str] = given if isinstance(given, dict) else {}
    fields = fields_of(Attribution.from_attributes(carried)) | sessions.owner_of(task, args, kwargs)
    session = sessions.open(name, fields, carried.get)
    block = session.active()
    block.__enter__()
    setattr(task.request, _OPEN, (session, block))
    task.request.analytics_session = session.session


def _note_failure(sender: Any, exception: BaseException, **_: Any) -> None:
    setattr(sender.request, _FAILURE, exception)


def _close(task: Any, **_: Any) -> None:
    session, block = task.request.__dict__.pop(_OPEN, (None, None))
    if session is not None:
        block.__exit__(None, None, None)
        session.close(getattr(task.request, _FAILURE, None))
