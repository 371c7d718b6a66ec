"""Write the dashboards for Grafana and SigNoz from ``registry/dashboards/panels.yaml``.

A panel names metrics and attributes of the registry, so that no dashboard asks for what nobody emits.

Usage: ``python scripts/generate_dashboards.py [--check]``. Needs PyYAML. ``--check`` writes nothing and exits 1 when a
file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import grafana_dashboard
import signoz_dashboard
from dashboard_panels import load_dashboard
from generate_semconv import REGISTRY, ROOT, stale_files
from registry import RegistryError, load

PANELS = REGISTRY / "dashboards" / "panels.yaml"
FOLDER = Path("src/genops_otel_posthog/dashboards")


def rendered() -> dict[Path, str]:
    """Every generated file, by its path relative to the root of the repository.

    Raises:
        RegistryError: A panel asks for what the registry does not have.
    """
    dashboard = load_dashboard(PANELS, load(REGISTRY))
    return {
        FOLDER / name: json.dumps(render(dashboard), indent=2, ensure_ascii=False) + "\n"
        for name, render in (("grafana.json", grafana_dashboard.render), ("signoz.json", signoz_dashboard.render))
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the dashboards from the registry.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args(arguments).check
    try:
        files = rendered()
    except RegistryError as error:
        print(error, file=sys.stderr)
        return 1
    stale = stale_files(ROOT, files)
    for path in stale:
        if not check:
            (ROOT / path).write_bytes(files[path].encode())
        print(f"{'stale, run `make format`' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
