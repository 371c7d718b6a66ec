"""Records the spans of real instrumentations, for the tests of the rules that turn spans into events.

    python3 scripts/record_spans.py                 every source
    python3 scripts/record_spans.py openai-v2       one of them
    python3 scripts/record_spans.py --list

Each source is a set of packages from PyPI (one, Vercel's, from npm: it needs Node), installed into an environment of
its own. There the SDK makes calls to a server on loopback that answers in the provider's form, and what its
instrumentation wrote is stored as OTLP/JSON with the versions of everything that took part, in
``tests/export/recorded``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from typing import Any

from environments import ROOT, VENVS, Environment, clean_environ
from recorded_sources import SOURCES

RECORDED = ROOT / "tests" / "export" / "recorded"

VERCEL = "vercel-ai"
VERCEL_PACKAGES = (
    "ai@6",
    "@ai-sdk/openai@3",
    "@opentelemetry/api",
    "@opentelemetry/context-async-hooks",
    "@opentelemetry/sdk-trace-base",
)


def record_vercel() -> dict[str, Any]:
    """Makes the calls with Vercel's AI SDK, installed from npm."""
    from fake_providers import FakeProviders

    directory = VENVS / f"record-{VERCEL}"
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--prefix", str(directory), *VERCEL_PACKAGES], check=True)
    script = str(ROOT / "scripts" / "record_vercel.mjs")
    with FakeProviders() as url:
        told = subprocess.run(["node", script, str(directory), url], check=True, capture_output=True, text=True).stdout
    installed = {
        name: json.loads((directory / "node_modules" / name / "package.json").read_text(encoding="utf-8"))["version"]
        for name in ("ai", "@ai-sdk/openai", "@opentelemetry/sdk-trace-base")
    }
    return {"recorded_from": "ai", "versions": installed, "variables": {}, **json.loads(told)}


def write(name: str, document: dict[str, Any]) -> None:
    """Stores what was recorded."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    (RECORDED / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The installed versions of the packages and of everything of OpenTelemetry."""
    wanted = {re.split(r"[\[ <=]", package)[0] for package in packages}
    found = {
        distribution.metadata["Name"]: distribution.version
        for distribution in distributions()
        if distribution.metadata["Name"] in wanted or distribution.metadata["Name"].startswith("opentelemetry-s")
    }
    return dict(sorted(found.items()))


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP/JSON has it: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": key_values(value)}}
    if value is None:
        return {}
    return {"stringValue": _without_places(str(value))}


def _without_places(text: str) -> str:
    """Stack traces name the files of whoever records; here they are those of an application like any other."""
    return text.replace(sys.prefix, "/srv/app/.venv").replace(sys.base_prefix, "/usr").replace(str(ROOT), "/srv/app")


def key_values(attributes: Any) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON has them."""
    return [{"key": key, "value": any_value(value)} for key, value in (attributes or {}).items()]


def otlp_span(span: Any) -> dict[str, Any]:
    """A finished span as OTLP/JSON has it."""
    document = {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": key_values(span.attributes),
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
    }
    if span.events:
        document["events"] = [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": key_values(event.attributes)}
            for event in span.events
        ]
    return document


def otlp_document(spans: Sequence[Any]) -> dict[str, Any]:
    """Spans of one process, in the order in which they ended."""
    scopes: list[dict[str, Any]] = []
    for span in spans:
        scope = {"name": span.instrumentation_scope.name, "version": span.instrumentation_scope.version or ""}
        if not scopes or scopes[-1]["scope"] != scope:
            scopes.append({"scope": scope, "spans": []})
        scopes[-1]["spans"].append(otlp_span(span))
    resource = {"attributes": key_values(spans[0].resource.attributes)} if spans else {}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}


def record_here(name: str) -> dict[str, Any]:
    """Makes the calls of a source in this process, which is the source's own environment."""
    import recorded_calls
    from fake_providers import FakeProviders
    from loopback_only import refuse_egress

    refuse_egress()
    source = SOURCES[name]
    with FakeProviders() as url:
        spans = recorded_calls.record(source.calls, source.instrument, url)
    if not spans:
        raise SystemExit(
            f"{name}: its instrumentation wrote no span; are the versions of its packages made for each other?"
        )
    return {
        "recorded_from": source.packages[0].partition("[")[0],
        "versions": versions(source.packages),
        "variables": source.variables,
        **otlp_document(spans),
    }


def main() -> int:
    """Records the sources that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=", ".join(SOURCES))
    parser.add_argument("--list", action="store_true", help="print the names and packages")
    parser.add_argument("--here", action="store_true", help="in this interpreter's environment; for one source")
    options = parser.parse_args()
    unknown = set(options.sources) - {*SOURCES, VERCEL}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there is {', '.join((*SOURCES, VERCEL))}")
    if options.list:
        for name, source in SOURCES.items():
            print(f"{name}: {' '.join(source.packages)}")
        print(f"{VERCEL}: {' '.join(VERCEL_PACKAGES)} (npm)")
        return 0
    if options.here:
        (name,) = options.sources
        write(name, record_here(name))
        return 0
    failed = []
    for name in options.sources or (*SOURCES, VERCEL):
        if name == VERCEL:
            write(name, record_vercel())
            print(f"{name}: recorded", flush=True)
            continue
        environment = Environment(f"record-{name}", list(SOURCES[name].packages))
        environment.ready()
        command = [str(environment.python), __file__, "--here", name]
        variables = {**clean_environ(), **SOURCES[name].variables}
        finished = subprocess.run(command, env=variables, cwd=ROOT, check=False)
        print(f"{name}: {'recorded' if finished.returncode == 0 else 'failed'}", flush=True)
        if finished.returncode:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
