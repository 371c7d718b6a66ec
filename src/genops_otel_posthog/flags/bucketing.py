"""PostHog's own way to divide people, so that a flag splits them in the same way whoever evaluates it.

Sources: PostHog/posthog-python on GitHub, ``posthog/feature_flags.py`` (``_hash``, ``get_matching_variant``,
``is_condition_match``), and PostHog/posthog, ``rust/feature-flags/src/flags/flag_matching.rs``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_SCALE = float(0xFFFFFFFFFFFFFFF)  # 15 hexadecimal digits, all ones


def bucket(key: str, subject: str, salt: str = "") -> float:
    """Where a subject falls for a flag: the same number from 0 to 1 every time, evenly spread over subjects.

    Args:
        key: The flag.
        subject: A distinct id, or the key of a group for a flag that is given to groups.
        salt: ``variant`` to choose a variant, nothing to decide about a rollout.
    """
    digest = hashlib.sha1(f"{key}.{subject}{salt}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:15], 16) / _SCALE


def in_rollout(key: str, subject: str, percentage: float) -> bool:
    """Whether a subject is within a rollout.

    Args:
        key: The flag.
        subject: As for :func:`bucket`.
        percentage: From 0 to 100.
    """
    return bucket(key, subject) <= percentage / 100


def choose_variant(key: str, subject: str, shares: Iterable[tuple[str, float]]) -> str | None:
    """The variant that a subject gets.

    Args:
        key: The flag.
        subject: As for :func:`bucket`.
        shares: Each variant with its share from 0 to 100, in the order of the flag's definition.

    Returns:
        ``None`` if the shares leave the subject over.
    """
    place = bucket(key, subject, "variant")
    low = 0.0
    for variant, percentage in shares:
        # The sums are made as PostHog makes them: another order of rounding would move people at the borders.
        high = low + percentage / 100
        if low <= place < high:
            return variant
        low = high
    return None
