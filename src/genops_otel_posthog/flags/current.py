"""The chain of this process, and whom a flag is about where nobody says it."""

from __future__ import annotations

import sys
import threading
from typing import Any, Final, Literal

from opentelemetry.context import get_current

from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.flags.answer import Answer, Subject, Value
from genops_otel_posthog.flags.chain import FlagChain
from genops_otel_posthog.flags.database import FlagStore, open_flag_store
from genops_otel_posthog.flags.row import FlagRow
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.settings import Settings

_CONTROL: Final = "control"  # PostHog's name for the variant that changes nothing


class _InUse:
    """The chain in use, and the lock under which it is made."""

    def __init__(self) -> None:
        self.chain: FlagChain | None = None
        self.is_ours = False  # made here, because the application gave none
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        self.lock = threading.Lock()


_in_use = _InUse()


def use_chain(chain: FlagChain | None) -> None:
    """Makes a chain the one that gates and functions without one ask; ``None`` has the next one make its own."""
    _in_use.chain, _in_use.is_ours = chain, False


def chain_in_use() -> FlagChain | None:
    """The chain that the application gave; ``None`` if it gave none."""
    return None if _in_use.is_ours else _in_use.chain


def current_chain() -> FlagChain:
    """The chain in use; if none was given, one of PostHog's default client and the database of the environment.

    Raises:
        GenOpsConfigurationError: ``GENOPS_FLAGS_DATABASE_URL`` cannot be used.
    """
    chain = _in_use.chain
    if chain is not None and not (_in_use.is_ours and chain.posthog is None and _has_client()):
        return chain
    with _in_use.lock:
        if _in_use.chain is chain:
            made = FlagChain(_default_client(), _database())
            _in_use.chain, _in_use.is_ours = made, True
            return made
    return current_chain()


def current_subject() -> Subject:
    """Whom the call at hand is about: user and workspace of :func:`~genops_otel_posthog.governance`, else the distinct
    id of PostHog's context."""
    owner = attribution_in(get_current())
    return Subject(user=owner.user_id or _posthog_distinct_id(), workspace=owner.workspace_id)


def is_on(flag: str, user_id: str | None = None, workspace_id: str | None = None, *, default: bool = False) -> bool:
    """Whether a flag is on.

    Args:
        flag: The flag.
        user_id: For whom; the user of the call at hand when neither this nor ``workspace_id`` is given.
        workspace_id: For which workspace.
        default: The answer when nobody knows.
    """
    return _answer(flag, user_id, workspace_id, default).enabled


def get_flag_variant(
    flag: str,
    user_id: str | None = None,
    workspace_id: str | None = None,
    *,
    default: Value = False,
    control_is_enabled: bool = False,
) -> dict[str, Any]:
    """A multivariate flag as ``{"enabled": bool, "variant": str}``, without ``variant`` if it has none.

    Args:
        flag: The flag.
        user_id: As for :func:`is_on`.
        workspace_id: As for :func:`is_on`.
        default: The answer when nobody knows.
        control_is_enabled: Whether who is in the variant ``control`` of an experiment counts as having the feature. For
            PostHog, and :func:`is_on`, any variant is on.
    """
    answer = _answer(flag, user_id, workspace_id, default)
    enabled = answer.enabled and (control_is_enabled or answer.variant != _CONTROL)
    return {"enabled": enabled, **({} if answer.variant is None else {"variant": answer.variant})}


def get_flags(user_id: str | None = None, workspace_id: str | None = None) -> dict[str, dict[str, Any]]:
    """Every flag with a row or a definition here, and every gate, for a user: what a front end is given.

    It neither waits nor costs anything: PostHog's server is not asked.
    """
    from genops_otel_posthog.flags.gates import GATES

    chain, subject = current_chain(), _subject(user_id, workspace_id)
    answers = {key: chain.answer_now(key, subject, GATES.get(key, False)) for key in {*chain.known_keys, *GATES}}
    return {
        key: {"enabled": answer.enabled, "variant": answer.variant, "payload": answer.payload, "source": answer.source}
        for key, answer in sorted(answers.items())
    }


def set_flag(
    flag: str,
    enabled: bool,
    user_id: str | None = None,
    workspace_id: str | None = None,
    *,
    variant: str | None = None,
    payload: Any = None,
    rollout_pct: float = 100,
) -> FlagRow:
    """Sets a flag in the database: for a user, else for a workspace, else for everybody.

    Args:
        flag: The flag.
        enabled: Whether it is on.
        user_id: For which user.
        workspace_id: For which workspace.
        variant: The variant they get.
        payload: What comes with it; JSON.
        rollout_pct: For how many of them, from 0 to 100.

    Raises:
        GenOpsValidationError: A value is not acceptable.
        FlagStoreError: The database cannot be used.
    """
    scope: Literal["user", "workspace", "global"] = "user" if user_id else "workspace" if workspace_id else "global"
    row = FlagRow(
        flag,
        scope,
        user_id or workspace_id or "",
        enabled=enabled,
        variant=variant,
        payload=payload,
        rollout_pct=rollout_pct,
    )
    table = current_chain().table
    if table is None:
        return _database().put(row)
    stored = table.store.put(row)
    table.refresh()
    return stored


def _answer(flag: str, user_id: str | None, workspace_id: str | None, default: Value) -> Answer:
    return current_chain().answer(flag, _subject(user_id, workspace_id), default)


def _subject(user_id: str | None, workspace_id: str | None) -> Subject:
    if user_id is None and workspace_id is None:
        return current_subject()
    return Subject(user=user_id, workspace=workspace_id)


def _database() -> FlagStore:
    return open_flag_store(Settings.from_environ(strict=False).flags_database_url)


def _has_client() -> bool:
    """Whether PostHog's module has a default client, or a key to make it with."""
    posthog = sys.modules.get("posthog")
    if posthog is None:
        return False
    return bool(posthog.default_client or posthog.api_key or getattr(posthog, "project_api_key", None))


def _default_client() -> Any:
    """PostHog's default client, made now if the module has a key to make it with."""
    if not _has_client():
        return None
    posthog = sys.modules["posthog"]
    posthog.setup()
    return posthog.default_client


def _posthog_distinct_id() -> str | None:
    contexts = sys.modules.get("posthog.contexts")
    found = None if contexts is None else contexts.get_context_distinct_id()
    return found if isinstance(found, str) else None
