"""Write ``docs/reference/environment.md`` from the table of variables in ``genops_otel_posthog.settings``.

The code reads its variables from that table, so the page cannot name one that does nothing or leave one out.

Usage: ``python scripts/generate_environment_reference.py [--check]``. Needs the package. ``--check`` writes nothing and
exits 1 when the page is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from generate_semconv import ROOT, stale_files
from genops_otel_posthog.settings import ANNOUNCED, VARIABLES

REFERENCE = Path("docs/reference/environment.md")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def render() -> str:
    """The text of the page."""
    variables = ((f"`{v.name}`", v.meaning, v.default, f"`{v.example}`") for v in VARIABLES)
    announced = ((f"`{name}`", meaning) for name, meaning in ANNOUNCED.items())
    lines = [
        "# Environment reference",
        "",
        f"<!-- Written by scripts/{Path(__file__).name} from genops_otel_posthog.settings.VARIABLES. Edit that. -->",
        "",
        "Every variable that this package reads. An argument or option of the same meaning comes before the variable;",
        "[attribution](../attribution.md) has the whole order for owners.",
        "",
        "- A blank value is not given.",
        "- A bad value is an error that names the variable, the reason and an example. Under",
        "  `opentelemetry-instrument` it is one log line, and the default stands: the application starts.",
        "- A `GENOPS_…` variable that does not exist is one log line with the one that was probably meant.",
        "- Switches are `true` or `false`, also `1`/`0`, `yes`/`no`, `on`/`off`. Lists are separated by commas; `all`",
        "  and `none` stand for themselves.",
        "- Keys, tags and customers are not repeated in messages.",
        "",
        *_table(("variable", "meaning", "default", "example"), variables),
        "",
        "OpenTelemetry's own variables (`OTEL_SDK_DISABLED`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_ENDPOINT`, …)",
        "keep their meaning: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.",
    ]
    if ANNOUNCED:
        lines += [
            "",
            "## Announced",
            "",
            "Not acted on by this version. Setting one of the `GENOPS_…` variables is one log line that says so.",
            "",
            *_table(("variable", "what it will mean"), announced),
        ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the environment reference from the table of variables.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    check = parser.parse_args(arguments).check
    files = {REFERENCE: render()}
    stale = stale_files(ROOT, files)
    for path in stale:
        if not check:
            (ROOT / path).write_bytes(files[path].encode())
        print(f"{'stale, run `make format`' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
