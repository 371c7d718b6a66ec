"""What PostHog accepts of one key, one event name and one distinct id, and what it changes without saying so.

Two readers need the same answer: the instrumentation, which warns before a call is wasted and must know whether an
event will be priced as identified, and the local receiver, which judges requests as PostHog does. The rules are data
and pure functions here; the receiver adds what takes a whole event or a whole request to judge.

Two protocols differ. *v0* (``/batch/``, ``/e/`` and their relatives) refuses a request as a unit and repairs what it
can. *v1* (``/i/v1/analytics/events``) refuses few requests, answers for each event and repairs nothing.

Sources: PostHog/posthog on GitHub, ``rust/capture/src`` (``token.rs``, ``router.rs``, ``events/analytics.rs``,
``v1/analytics/{constants,types,process}.rs``), ``rust/common/types/src/{event,timestamp}.rs`` and, for what happens
after an event was accepted, ``nodejs/src/ingestion``.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

MAX_EVENT_NAME: Final = 200
"""v0 keeps this many characters of an event name; v1 drops an event whose name has more UTF-8 bytes than this."""

MAX_DISTINCT_ID: Final = 200
"""v0 keeps this many characters of a distinct id; v1 drops an event whose distinct id has more UTF-8 bytes."""

MAX_PROJECT_KEY: Final = 64
"""Longest project key in bytes (``token.rs``)."""

MAX_EVENT_BYTES: Final = 1_000_000
"""Largest event in bytes of JSON: the queue behind ingestion takes no larger message."""

MAX_AI_EVENT_BYTES: Final = 8 * 1024 * 1024
"""Largest event in bytes of JSON on the AI lane, which has room for prompts (``ai_max_event_bytes``)."""

MAX_SINGLE_BODY_BYTES: Final = 2 * 1024 * 1024
"""Largest body in bytes of ``/e/``, ``/capture/``, ``/track/``, ``/engage/`` and ``/i/v0/e/`` (``router.rs``)."""

MAX_BATCH_BODY_BYTES: Final = 20 * 1024 * 1024
"""Largest body in bytes of ``/batch/``, before and after decompression (``router.rs``)."""

MAX_V1_BODY_BYTES: Final = 10 * 1024 * 1024
"""Largest v1 body in bytes as sent, that is, compressed."""

MAX_V1_DECOMPRESSED_BYTES: Final = 50 * 1024 * 1024
"""Largest v1 body in bytes once decompressed."""

FUTURE_LIMIT: Final = timedelta(hours=23)
"""A timestamp further ahead of the receiving clock than this is replaced by that clock (``timestamp.rs``)."""

PERSON_CREATION_MARGIN: Final = timedelta(minutes=1)
"""An anonymous event more than this after the creation of its person is identified all the same (``force_upgrade``)."""

ILLEGAL_DISTINCT_IDS: Final = frozenset(
    {
        "0",
        "00000000-0000-0000-0000-000000000000",
        "[object object]",
        "anonymous",
        "anonymous-user",
        "backend",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "nan",
        "none",
        "not_authenticated",
        "null",
        "system",
        "true",
        "undefined",
        "user",
    }
)
"""Distinct ids that name no person; compared without case and surrounding whitespace (v1 ``constants.rs``).

v1 accepts such an event with person processing off. v0 accepts it with person processing on, and only refuses to merge
the person with another."""

PERSON_EVENTS: Final = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$groupidentify"})
"""Events that make no sense without a person: dropped after acceptance when ``$process_person_profile`` is false."""

PERFORMANCE_EVENT: Final = "$performance_event"
"""A retired event: v0 removes it from the request, v1 drops it."""

_LONGEST_ILLEGAL_ID = max(map(len, ILLEGAL_DISTINCT_IDS))
_SAFE_CHARACTERS = MAX_EVENT_NAME // 4  # a character has at most four UTF-8 bytes


def person_processing_allowed(distinct_id: str) -> bool:
    """Whether v1 keeps person processing on for this distinct id.

    ``False`` means the event becomes anonymous: no person, no person properties, the anonymous price. On v0 the same
    event stays identified (see :data:`ILLEGAL_DISTINCT_IDS`). Costs about a tenth of a microsecond.
    """
    if len(distinct_id) > _LONGEST_ILLEGAL_ID and not (distinct_id[0].isspace() or distinct_id[-1].isspace()):
        return True
    return distinct_id.strip().lower() not in ILLEGAL_DISTINCT_IDS


def event_name_problem(name: object) -> str | None:
    """What PostHog will not take as it is in this event name, and what to do; ``None`` when there is nothing."""
    if type(name) is str and 0 < len(name) <= _SAFE_CHARACTERS and name != PERFORMANCE_EVENT and "\0" not in name:
        return None
    if not isinstance(name, str):
        return f"an event name must be a string, not {type(name).__name__}: PostHog answers 400 to the whole batch"
    if not name:
        return "the event name is empty: PostHog answers 400 to the whole batch; give the event a name"
    if name == PERFORMANCE_EVENT:
        return f"PostHog drops {PERFORMANCE_EVENT} events; use another name"
    size = utf8_size(name)
    if size > MAX_EVENT_NAME:
        return (
            f"the event name {name[:40]!r}… has {size} bytes, more than {MAX_EVENT_NAME}: PostHog cuts it after "
            f"{MAX_EVENT_NAME} characters, or drops the event in capture mode v1; put the varying part in a property"
        )
    if "\0" in name:
        return f"the event name {name!r} contains a NUL character, which PostHog replaces by U+FFFD; remove it"
    return None


def distinct_id_problem(distinct_id: object) -> str | None:
    """What PostHog will not take as it is in this distinct id, and what to do; ``None`` when there is nothing.

    The text never contains the distinct id itself, which is personal data, unless it is one of
    :data:`ILLEGAL_DISTINCT_IDS`.
    """
    if distinct_id is None:
        return "the distinct id is missing: PostHog answers 400 to the whole batch; pass the id of the user"
    if not isinstance(distinct_id, str):
        return (
            f"the distinct id is of type {type(distinct_id).__name__}: PostHog keeps its JSON text, and capture mode "
            "v1 answers 400 to the whole batch; pass a string"
        )
    if not distinct_id or distinct_id.isspace():
        return "the distinct id is empty: PostHog answers 400 to the whole batch; pass the id of the user"
    if not person_processing_allowed(distinct_id):
        return (
            f"{distinct_id.strip()!r} names no person: capture mode v1 turns person processing off for it, so person "
            "properties are lost; pass the id of a user, or leave the distinct id out for an anonymous event"
        )
    if len(distinct_id) > _SAFE_CHARACTERS:
        size = utf8_size(distinct_id)
        if size > MAX_DISTINCT_ID:
            return (
                f"the distinct id has {size} bytes, more than {MAX_DISTINCT_ID}: PostHog cuts it after "
                f"{MAX_DISTINCT_ID} characters, or drops the event in capture mode v1; use a shorter id"
            )
    if "\0" in distinct_id:
        return "the distinct id contains a NUL character, which PostHog replaces by U+FFFD; remove it"
    return None


def token_refusal(token: str) -> str | None:
    """Why PostHog answers 401 to this project key: one of PostHog's own reason codes, or ``None`` when it is taken.

    The reasons are ``empty``, ``too_long``, ``not_ascii``, ``personal_api_key`` and ``null_byte`` (``token.rs``).
    Surrounding whitespace is ignored. A key that passes may still belong to no project: PostHog then answers 200 and
    keeps nothing.
    """
    key = token.strip()
    if not key:
        return "empty"
    if utf8_size(key) > MAX_PROJECT_KEY:
        return "too_long"
    if not key.isascii():
        return "not_ascii"
    if key.startswith("phx_"):
        return "personal_api_key"
    if "\0" in key:
        return "null_byte"
    return None


_KEY_ADVICE: Final = {
    "empty": "the PostHog project key is empty; set POSTHOG_API_KEY to the key that starts with 'phc_'",
    "too_long": f"the PostHog project key is longer than {MAX_PROJECT_KEY} characters; copy the key again",
    "not_ascii": "the PostHog project key contains characters outside ASCII; copy the key again",
    "personal_api_key": (
        "this is a personal API key, not a project key; use the project key that starts with 'phc_' "
        "(PostHog, Settings, Project, General)"
    ),
    "null_byte": "the PostHog project key contains a NUL character; copy the key again",
}


def masked_key(key: str) -> str:
    """A key for messages: its first and last four characters, and less of a short one."""
    key = key.strip()
    if len(key) > 12:
        return f"{key[:4]}…{key[-4:]}"
    return f"{key[:4]}…" if len(key) > 4 else "…"


def project_key_problem(key: str | None) -> str | None:
    """Why this cannot be a project key, and what to do; ``None`` when PostHog's rules allow it.

    Names at most the first and the last four characters of the key.
    """
    refusal = token_refusal(key or "")
    if refusal is None:
        return None
    shown = "" if refusal == "empty" else f" (got {masked_key(key or '')!r})"
    return _KEY_ADVICE[refusal] + shown


def v0_distinct_id(value: object) -> tuple[str | None, tuple[str, ...]]:
    """The distinct id v0 keeps for this JSON value, with the names of what was changed; ``None`` is a refusal.

    Numbers, arrays and objects become their JSON text, a NUL becomes U+FFFD, and what is longer than
    :data:`MAX_DISTINCT_ID` characters is cut (``rust/common/types/src/event.rs``).
    """
    changes: list[str] = []
    if value is None:
        return None, ()
    if not isinstance(value, str):
        value = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        changes.append("distinct_id_stringified")
    text = str(value)
    if "\0" in text:
        text = without_nul(text)
        changes.append("distinct_id_nul_replaced")
    if not text.strip():
        return None, ()
    if len(text) > MAX_DISTINCT_ID:
        text = text[:MAX_DISTINCT_ID]
        changes.append("distinct_id_truncated")
    return text, tuple(changes)


def v1_drop(event_name: str, distinct_id: str) -> str | None:
    """Why v1 drops an event of this name and (trimmed) distinct id, in PostHog's own word; ``None`` when it does not.

    Source: ``validate_event`` in ``v1/analytics/process.rs``.
    """
    if event_name == PERFORMANCE_EVENT:
        return "dropped_performance_event"
    if not event_name:
        return "missing_event_name"
    if len(event_name) > _SAFE_CHARACTERS and utf8_size(event_name) > MAX_EVENT_NAME:
        return "event_name_too_long"
    if not distinct_id:
        return "missing_distinct_id"
    if len(distinct_id) > _SAFE_CHARACTERS and utf8_size(distinct_id) > MAX_DISTINCT_ID:
        return "distinct_id_too_large"
    return None


def v1_boolean_option(value: object) -> bool | None:
    """A v1 option: a boolean, ``"true"``/``"false"``/``"1"``/``"0"`` or a number; ``None`` when it is unreadable."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    if isinstance(value, (int, float)):
        return value != 0
    return None


def max_event_bytes(event_name: str, *, ai_lane: bool) -> int:
    """Largest JSON of one event in bytes."""
    return MAX_AI_EVENT_BYTES if ai_lane or event_name.startswith("$ai_") else MAX_EVENT_BYTES


def without_nul(text: str) -> str:
    """``text`` with U+FFFD for each NUL, which the databases behind PostHog cannot hold."""
    return text.replace("\0", "\ufffd")


def utf8_size(text: str) -> int:
    """Size of ``text`` in bytes of UTF-8; half a surrogate pair counts as one."""
    return len(text.encode("utf-8", "replace"))
