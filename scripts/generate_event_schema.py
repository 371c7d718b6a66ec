"""Write ``docs/reference/event-tables.schema.json`` from the tables of the database destination.

Usage: ``python scripts/generate_event_schema.py [--check]``. Needs the package. ``--check`` writes nothing and exits 1
when the file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from generate_semconv import ROOT, stale_files
from genops_otel_posthog.export.destinations.event_schema import json_schema

SCHEMA = Path("docs/reference/event-tables.schema.json")


def render() -> str:
    """The text of the file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the JSON Schema of the tables of events.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    check = parser.parse_args(arguments).check
    files = {SCHEMA: render()}
    stale = stale_files(ROOT, files)
    for path in stale:
        if not check:
            (ROOT / path).write_bytes(files[path].encode())
        print(f"{'stale, run `make format`' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
