"""``genops-posthog dev``: the local receiver in the foreground."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from datetime import datetime, timezone
from pathlib import Path

import click

from genops_otel_posthog.cli.output import json_option
from genops_otel_posthog.receiver.faults import read_rule_text
from genops_otel_posthog.receiver.loopback import LOOPBACK, is_loopback
from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

_ENDPOINTS = (
    ("events", "/batch/  /e/  /capture/  /track/  /engage/  /i/v0/e/  /i/v0/ai/batch/  /i/v1/analytics/events"),
    ("flags", "/flags/  /decide/  /flags/definitions  /api/feature_flag/local_evaluation/"),
    ("OTLP/HTTP", "/v1/traces  /v1/metrics  /v1/logs"),
    ("questions", "/api/summary  /api/events  /api/bill  /api/spans  /api/traces  /api/metrics  /api/requests"),
    ("outages", "/api/faults"),
)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8123, show_default=True, help="0 for any free port.")
@click.option(
    "--data", type=click.Path(dir_okay=False, path_type=Path), help="SQLite file to keep; default: temporary."
)
@click.option(
    "--flags", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON file of feature flags."
)
@click.option(
    "--fail",
    "faults",
    multiple=True,
    metavar="RULE",
    help="A fault from the start, such as 503, 'status=503,path=capture,start=30,end=60', 'hang,path=flags', "
    "'quota=events'. May be repeated.",
)
@click.option("--keep-bodies", is_flag=True, help="Keep request bodies as sent.")
@click.option("--host", help="Listen on this address instead of loopback. There is no authentication.")
@json_option
def dev(
    port: int,
    data: Path | None,
    flags: Path | None,
    faults: tuple[str, ...],
    keep_bodies: bool,
    host: str | None,
    as_json: bool,
) -> None:
    """Run a local PostHog and OTLP receiver until Ctrl-C.

    It accepts, refuses and drops what PostHog would, keeps everything in one SQLite file and counts what PostHog
    would bill.
    """
    stop = threading.Event()
    previous = {name: signal.signal(name, lambda *_: stop.set()) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        now = datetime.now(timezone.utc)
        receiver = LocalReceiver(
            port=port,
            data=data,
            flags=flags,
            faults=[read_rule_text(text, now=now) for text in faults],
            keep_bodies=keep_bodies,
            host=host or LOOPBACK,
            allow_remote=host is not None,
        )
        if host is not None and not is_loopback(host):
            click.echo(f"warning: listening on {host}: anyone who reaches this port can read and write.", err=True)
        with receiver:
            _announce(receiver, as_json=as_json)
            stop.wait()
            _farewell(receiver, as_json=as_json)
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


def _announce(receiver: LocalReceiver, *, as_json: bool) -> None:
    environment = environment_for(receiver.url)
    if as_json:
        click.echo(json.dumps({"url": receiver.url, "data": str(receiver.data_path), "environment": dict(environment)}))
        return
    click.echo(f"PostHog and OTLP receiver at {receiver.url}, data in {receiver.data_path}\n")
    for name, paths in _ENDPOINTS:
        click.echo(f"  {name:<10} {paths}")
    click.echo("\nPoint an application at it:\n")
    for name, value in environment.items():
        click.echo(f"  export {name}={shlex.quote(value)}")
    rules = receiver.faults()
    for rule in rules:
        click.echo(
            f"\nfault {rule['id']}: {json.dumps({key: rule[key] for key in rule if key not in ('id', 'struck')})}"
        )
    click.echo("\nCtrl-C ends it.")


def _farewell(receiver: LocalReceiver, *, as_json: bool) -> None:
    summary = receiver.summary()
    if as_json:
        click.echo(json.dumps({"summary": summary, "bill": receiver.bill().meters}))
        return
    events, spans = summary["events"], summary["spans"]
    click.echo(
        f"\n{summary['requests']['total']} requests: {events['accepted']} events accepted, "
        f"{events['dropped']} dropped, "
        f"{spans['total']} spans in {spans['traces']} traces, {summary['flag_requests']['total']} flag requests."
    )
    meters = receiver.bill().meters
    if meters:
        click.echo(
            "PostHog would bill " + ", ".join(f"{units} {meter}" for meter, units in sorted(meters.items())) + "."
        )
