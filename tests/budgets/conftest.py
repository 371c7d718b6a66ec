from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# pytest's importlib mode leaves the modules beside this file unfindable.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from house import House


@pytest.fixture
def house() -> Iterator[House]:
    """A ledger in memory, and governors that share it."""
    house = House()
    yield house
    house.close()
