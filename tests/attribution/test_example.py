"""The example of the repository shows what the page about attribution promises."""

from __future__ import annotations

import subprocess
import sys

from generate_semconv import ROOT


def test_the_example_prints_the_owner_at_every_step():
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "attribution.py"], capture_output=True, text=True, check=True, timeout=60
    )
    shown = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert {
        "outside nobody",
        "in a block inside it team=checkout project=refunds customer_id=acme tag.tier=gold tag.platform=ios",
        "the generator's own step team=reporting feature=monthly-export",
        "its consumer team=reporting",
        "the task that serves acme team=checkout customer_id=acme",
        "a thread in a copied context team=checkout",
        "on the wire baggage: genops.team=checkout,genops.customer_id=acme",
        "callee, allowing nothing team=warehouse environment=production",
    } <= shown
    assert done.stderr == ""
