"""Processes that spend, and ledgers for them: a SQLite file, and real servers where there are any."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the modules beside this file unfindable.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))
if str(Path(__file__).parents[1] / "budgets" / "ledger") not in sys.path:
    sys.path.append(str(Path(__file__).parents[1] / "budgets" / "ledger"))

from towns import any_town, found, new_ledger_url, nursery, proxies, shared_server, start_server, town

__all__ = [  # fixtures
    "any_town",
    "found",
    "new_ledger_url",
    "nursery",
    "proxies",
    "shared_server",
    "start_server",
    "town",
]
