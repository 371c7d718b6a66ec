"""From spans to events: switched on, rules, destinations, and an outbox that is tried."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.adapter.validation import ValidationLevel, validate_delivery
from genops_otel_posthog.export.outbox import trial

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
ON_DISK = "/dev/sda1 / ext4 rw 0 0\n"


@pytest.fixture
def deliver(findings: Any, environ: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """The findings with spans exported and with what is added to the good environment."""
    environ |= {"GENOPS_EXPORT_SPANS": "true", "GENOPS_OUTBOX_PATH": str(tmp_path / "outbox")}

    def deliver(mounts: str = ON_DISK, **added: str) -> Any:
        return findings(validate_delivery({**environ, **added}, mounts=mounts))

    return deliver


def test_that_spans_are_not_exported_is_for_information(findings: Any, environ: dict[str, str]) -> None:
    (found,) = findings(validate_delivery(environ))

    assert (found.level, found.fix_command) == (INFO, "export GENOPS_EXPORT_SPANS=true")


def test_all_is_in_order_and_nothing_is_left(deliver: Callable[..., Any], tmp_path: Path) -> None:
    found = deliver()

    assert [(finding.component, finding.level) for finding in found] == [
        ("Span export", OK),
        ("Destinations", OK),
        ("Outbox", OK),
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_of_opentelemetry_counts_too(deliver: Callable[..., Any]) -> None:
    found = deliver(GENOPS_EXPORT_SPANS="", OTEL_TRACES_EXPORTER="otlp, posthog").one("Span export")

    assert found.issue == "Spans become events (OTEL_TRACES_EXPORTER)."


def test_both_switches_at_once_are_remarked_on(deliver: Callable[..., Any]) -> None:
    both, on = deliver(OTEL_TRACES_EXPORTER="posthog").about("Span export")

    assert (both.level, on.level) == (INFO, OK)
    assert "each span is counted once" in both.issue


def test_events_of_the_application_in_the_outbox_have_it_tried(deliver: Callable[..., Any]) -> None:
    found = deliver(GENOPS_EXPORT_SPANS="", GENOPS_DURABLE_CAPTURE="true", GENOPS_OUTBOX_PATH="")

    assert [(finding.component, finding.level) for finding in found] == [
        ("Span export", INFO),
        ("Durable capture", OK),
        ("Outbox", OK),
    ]


# --- the outbox ---------------------------------------------------------------------------------------------------


def test_a_directory_that_is_there_is_tried_where_it_is(
    deliver: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outbox").mkdir(mode=0o700)
    tried: list[Path] = []
    real = trial.try_directory
    monkeypatch.setattr(trial, "try_directory", lambda directory: (tried.append(directory), real(directory)))

    assert deliver().one("Outbox").level is OK
    assert tried == [tmp_path / "outbox"]
    assert list((tmp_path / "outbox").iterdir()) == []


def test_a_place_that_is_no_directory_is_an_error(deliver: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file", encoding="utf-8")

    found = deliver().one("Outbox")

    assert found.level is ERROR
    assert "Events are not durable" in found.issue
    assert found.fix_command.startswith(f"mkdir -p {tmp_path}/outbox")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_to_is_an_error(deliver: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir(mode=0o500)

    assert "Permission denied" in deliver().one("Outbox").issue


def test_a_directory_that_others_may_read_is_a_warning(deliver: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox").chmod(0o755)

    weak, works = deliver().about("Outbox")

    assert (weak.level, works.level) == (WARNING, OK)
    assert weak.fix_command == f"chmod 700 {tmp_path}/outbox"


@pytest.mark.parametrize(
    ("kind", "added", "what"),
    [
        ("tmpfs", {}, "is in memory (tmpfs)"),
        ("nfs4", {}, "is on a network file system (nfs4)"),
        ("overlay", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "is in the container's own layer"),
    ],
)
def test_a_file_system_that_does_not_last_is_a_warning(
    deliver: Callable[..., Any], kind: str, added: dict[str, str], what: str
) -> None:
    weak, works = deliver(f"{ON_DISK}anything / {kind} rw 0 0\n", **added).about("Outbox")

    assert (weak.level, works.level) == (WARNING, OK)
    assert what in weak.issue


def test_layers_where_no_platform_replaces_containers_are_in_order(deliver: Callable[..., Any]) -> None:
    assert deliver("overlay / overlay rw 0 0\n").one("Outbox").level is OK


# --- rules and destinations ---------------------------------------------------------------------------------------


def test_a_rules_file_is_read(deliver: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nid = "x"\nmatch.span_name = "checkout"\ndrop = true\n', encoding="utf-8")

    assert deliver(GENOPS_SPAN_RULES=str(path)).one("Span rules").level is OK


def test_a_rules_file_that_cannot_be_used_is_an_error(deliver: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[[rule]\n", encoding="utf-8")

    found = deliver(GENOPS_SPAN_RULES=str(path)).one("Span rules")

    assert (found.level, found.fix_command) == (ERROR, f"genops-posthog rules check {path}")


def test_every_destination_is_named(deliver: Callable[..., Any]) -> None:
    found = deliver(RUDDERSTACK_WRITE_KEY="1aBcDeFgHiJkLmNoPqRsTuVwXyZ").one("Destinations")

    assert found.issue == "Events go to posthog, rudderstack."


def test_nobody_to_deliver_to_is_an_error(deliver: Callable[..., Any]) -> None:
    assert deliver(POSTHOG_API_KEY="").one("Destinations").level is ERROR
