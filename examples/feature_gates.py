"""A flag through an outage: PostHog answers, then it is away, then a row of the database stands in for it.

Runs by itself against the local receiver:

    pip install 'genops-otel-posthog[instruments,receiver]'
    python examples/feature_gates.py
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from posthog import Posthog

from genops_otel_posthog import governance
from genops_otel_posthog.flags import FlagChain, FlagRow, Subject, gate, open_flag_store, use_chain
from genops_otel_posthog.receiver.server import LocalReceiver

ON_FOR_ALL = {"groups": [{"properties": [], "rollout_percentage": 100}]}


@gate("new-checkout", on_denied=lambda basket: f"the old checkout for {basket}")
def checkout(basket: str) -> str:
    """What the flag stands before."""
    return f"the new checkout for {basket}"


def main() -> None:
    """Asks for the flag in good and in bad times."""
    logging.disable(logging.WARNING)  # the SDK reports the outage, too
    with (
        LocalReceiver(flags=[{"key": "new-checkout", "filters": ON_FOR_ALL}]) as posthog,
        tempfile.TemporaryDirectory() as folder,
    ):
        database = open_flag_store(f"sqlite://{Path(folder).as_posix()}/flags.sqlite3")
        client = Posthog("phc_example", host=posthog.url)
        chain = FlagChain(client, database, fresh=0)
        use_chain(chain)

        def show(moment: str, user: str) -> None:
            answer = chain.answer("new-checkout", Subject(user))
            with governance(user_id=user):
                print(f"{moment:<24} {answer.source:<15} {answer.error or '':<17} {checkout('three apples')}")

        show("PostHog answers", "ada")
        with posthog.fail("flags", reset=True):
            show("PostHog is away", "bert")
            database.put(FlagRow("new-checkout", rollout_pct=100))
            chain.prepare(1)
            show("a row in the database", "cleo")
        client.shutdown()
        use_chain(None)


if __name__ == "__main__":
    main()
