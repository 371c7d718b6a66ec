"""A service that never interrupts, and the analytics of a user's morning: told to PostHog, and kept in a database.

PostHog is away for a moment in the middle; the application notices nothing, and the figures say what became of it.

Run it with ``python examples/service_and_analytics.py``; it needs no PostHog account and no network. It sends to a
local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).

    pip install 'genops-otel-posthog[instruments,receiver,database]'
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.service import AnalyticsService, PostHogService

SESSION = "session-1"


async def morning(analytics: AnalyticsService) -> None:
    """What a user does, as the application tells it."""
    await analytics.track_session_start({"sessionId": SESSION, "userId": "user_123", "mostUsedMode": "technical"})
    for number in range(8):
        mode = ("technical", "creative")[number % 2]
        # Whose session it is, is known from its start.
        await analytics.track_interaction(type="mode_switch", session_id=SESSION, metadata={"toMode": mode})
        await analytics.track_cognitive_state(cognitive_mode=mode, session_id=SESSION, confidence=0.8)
    for _ in range(12):
        await analytics.track_interaction(
            type="component_interaction", session_id=SESSION, component="revenue-chart", page="/dashboard"
        )
    await analytics.update_session(SESSION, duration=5_400_000, productivityScore=0)  # 0 is a score


async def use(service: PostHogService, analytics: AnalyticsService, receiver: ReceiverClient) -> None:
    """Tells, through an outage."""
    await service.capture(
        {"event": "custom_event", "distinctId": "user_123", "properties": {"customProperty": "value"}}
    )
    await service.identify({"distinctId": "user_123", "properties": {"email": "user@example.com", "name": "John Doe"}})
    with receiver.fail("capture", status=503, times=1):
        await morning(analytics)
        await service.capture({"event": "login", "distinctId": "user_456"})  # has not agreed: see main()
        print(f"everything delivered       {await service.flush()}, though PostHog was away for a request")


async def main() -> None:
    """Starts, tells, asks and stops."""
    logging.disable(logging.WARNING)  # the SDK reports the outage, too
    given = os.environ.get("POSTHOG_HOST")
    with tempfile.TemporaryDirectory() as folder, nullcontext() if given else LocalReceiver() as own:
        receiver = ReceiverClient(given) if given else own
        assert receiver is not None
        service = PostHogService(consent=lambda user, event: user != "user_456")
        await service.initialize(
            {"apiKey": os.environ.get("POSTHOG_API_KEY", "phc_example"), "host": receiver.url, "flushInterval": 200}
        )
        analytics = AnalyticsService(service)
        await analytics.initialize(f"sqlite:///{Path(folder).as_posix().lstrip('/')}/analytics.sqlite3")
        await use(service, analytics, receiver)

        counts = service.counts()
        print(f"accepted                   {counts.accepted}, undelivered {counts.undelivered}")
        print(f"held back without consent  {counts.withheld.get('consent', 0)}")
        for event, number in sorted(Counter(event.event for event in receiver.events()).items()):
            print(f"  arrived  {event:<34}{number:>3}")
        for pattern in await analytics.identify_behavior_patterns("user_123"):
            print(f"  habit    {pattern.pattern_name:<34}{pattern.frequency:>3}  sure to {pattern.confidence:.0%}")
        session = await analytics.get_session_analytics(SESSION)
        assert session is not None
        print(f"session of {session.user_id}        {session.duration} ms, productivity {session.productivity_score}")
        await analytics.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
