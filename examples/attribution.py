"""Who causes a call? One owner on its way through blocks, functions, threads, tasks, generators and services.

Run it with ``python examples/attribution.py``; it needs no PostHog account and no network.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import propagate
from opentelemetry.context import Context

from genops_otel_posthog import Attribution, governance
from genops_otel_posthog.attribution import AttributionResolver, attribution_in


def show(where: str, owner: Attribution | None = None) -> None:
    """Prints who owns a call made here."""
    owner = attribution_in() if owner is None else owner
    attributes = (f"{name.removeprefix('genops.')}={value}" for name, value in owner.span_attributes().items())
    print(f"  {where:<38} {'  '.join(attributes) or 'nobody'}")


def blocks() -> None:
    """Blocks nest; the inner one wins field by field, and tags add up."""
    show("outside")
    with governance(team="checkout", project="web-shop", tags={"platform": "ios"}):
        show("in a block")
        with governance(project="refunds", customer_id="acme", tags={"tier": "gold"}):
            show("in a block inside it")
        show("back in the first")


@governance(feature="monthly-export")
def rows(count: int) -> Iterator[int]:
    """A generator whose own steps belong to a feature."""
    for row in range(count):
        show("  the generator's own step")
        yield row


def generators() -> None:
    """A decorated generator keeps its owner to itself."""
    with governance(team="reporting"):
        for _ in rows(1):
            show("  its consumer")


async def serve(customer: str) -> None:
    """Serves one of several customers at the same time."""
    with governance(customer_id=customer):
        await asyncio.sleep(0)
        show(f"the task that serves {customer}")


async def tasks() -> None:
    """Tasks have the owner of the block they were created in, and blocks of their own that no other task sees."""
    with governance(team="checkout"):
        await asyncio.gather(serve("acme"), serve("initech"))


def threads() -> None:
    """A thread has the owner when it runs in a copy of the context."""
    with governance(team="checkout"), ThreadPoolExecutor(1) as pool:
        pool.submit(show, "a bare thread").result()
        pool.submit(contextvars.copy_context().run, show, "a thread in a copied context").result()


def services() -> None:
    """W3C baggage carries what the caller shares and the callee allows."""
    request: dict[str, str] = {}
    with governance(team="checkout", customer_id="acme", user_id="user-42", baggage=True):
        show("the calling service")
        propagate.inject(request)
    print(f"  {'on the wire':<38} baggage: {request.get('baggage', '')}")
    received = propagate.extract(request, Context())
    defaults = Attribution(team="warehouse", environment="production")
    for allowed in (("team", "customer_id"), ("customer_id",), ()):
        owner = AttributionResolver(defaults, allowed).resolve(received)
        show(f"callee, allowing {' and '.join(allowed) or 'nothing'}", owner)


def main() -> None:
    """Prints one table per way that an owner takes."""
    for title, walk in (
        ("Blocks", blocks),
        ("Generators", generators),
        ("Tasks", lambda: asyncio.run(tasks())),
        ("Threads", threads),
        ("Services", services),
    ):
        print(f"\n{title}")
        walk()


if __name__ == "__main__":
    main()
