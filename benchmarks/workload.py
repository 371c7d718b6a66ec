"""The calls that are timed: events of a web shop, and its feature flags evaluated from local definitions."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count, cycle
from typing import Any

EVENTS = tuple(f"order_step_{number}" for number in range(20))
USERS = tuple(f"user-{number:05d}" for number in range(5_000))
PROPERTIES = {"plan": "pro", "amount": 4999, "currency": "USD", "path": "/checkout", "first_order": False}

FLAGS = 20


def flag_definitions() -> list[dict[str, Any]]:
    """Definitions of :data:`FLAGS` flags as PostHog's API gives them: on for everyone, for a part, by a person's
    property, and split into variants."""
    kinds: tuple[Callable[[int], dict[str, Any]], ...] = (
        lambda _: {"groups": [{"properties": [], "rollout_percentage": 100}]},
        lambda number: {"groups": [{"properties": [], "rollout_percentage": 5 * number}]},
        lambda _: {
            "groups": [
                {
                    "properties": [{"key": "plan", "value": "pro", "operator": "exact", "type": "person"}],
                    "rollout_percentage": 100,
                }
            ]
        },
        lambda _: {
            "groups": [{"properties": [], "rollout_percentage": 100}],
            "multivariate": {
                "variants": [
                    {"key": "control", "rollout_percentage": 50},
                    {"key": "test", "rollout_percentage": 50},
                ]
            },
        },
    )
    return [
        {
            "id": number,
            "name": f"Flag {number}",
            "key": f"flag-{number}",
            "active": True,
            "version": 1,
            "filters": kinds[number % len(kinds)](number),
        }
        for number in range(FLAGS)
    ]


def capture(client: Any) -> Callable[[], object]:
    """Captures with five properties, of 20 events and 5,000 users."""
    draw = random.Random(1)
    calls = cycle([(draw.choice(EVENTS), draw.choice(USERS)) for _ in range(20_000)])

    def call() -> object:
        event, user = next(calls)
        return client.capture(event, distinct_id=user, properties=PROPERTIES)

    return call


def set_person(client: Any) -> Callable[[], object]:
    """Sets one property of a person."""
    users = cycle(USERS)

    def call() -> object:
        return client.set(distinct_id=next(users), properties={"plan": "pro"})

    return call


def read_flag(client: Any) -> Callable[[], object]:
    """Reads a locally evaluated flag; the SDK sends no event about it."""
    client.feature_flags = flag_definitions()
    users = cycle(USERS)

    def call() -> object:
        return client.get_feature_flag_result(
            "flag-2", next(users), person_properties={"plan": "pro"}, send_feature_flag_events=False
        )

    return call


def read_reported_flag(client: Any) -> Callable[[], object]:
    """Reads a locally evaluated flag of a user whose ``$feature_flag_called`` the SDK has sent before."""
    client.feature_flags = flag_definitions()
    users = cycle(USERS[:100])

    def call() -> object:
        return client.get_feature_flag_result("flag-2", next(users), person_properties={"plan": "pro"})

    return call


def read_new_flag(client: Any) -> Callable[[], object]:
    """Reads a locally evaluated flag of a user for the first time, so that the SDK queues ``$feature_flag_called``."""
    client.feature_flags = flag_definitions()
    numbers = count()

    def call() -> object:
        return client.get_feature_flag_result("flag-2", f"visitor-{next(numbers)}", person_properties={"plan": "pro"})

    return call


def evaluate_flags(client: Any) -> Callable[[], object]:
    """Evaluates all flags of a user locally."""
    client.feature_flags = flag_definitions()
    users = cycle(USERS)
    evaluate = getattr(client, "evaluate_flags", client.get_all_flags)  # the older SDKs have only the latter

    def call() -> object:
        return evaluate(next(users), person_properties={"plan": "pro"}, only_evaluate_locally=True)

    return call
