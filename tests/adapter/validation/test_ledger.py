"""The ledger: used for real, and shared by all who spend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import KINDS

from genops_otel_posthog.adapter.validation import ValidationLevel, validate_cost_tracking_configuration
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
IN_KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.fixture
def about_ledger(findings: Any, environ: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """The findings about the ledger, with a budget and with what is added to the good environment."""
    environ |= {"GENOPS_DAILY_BUDGET_LIMIT": "20", "GENOPS_LEDGER_URL": f"sqlite://{tmp_path}/money/ledger.sqlite3"}

    def about(**added: str) -> Any:
        return findings(validate_cost_tracking_configuration({**environ, **added})).about("Ledger")

    return about


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_without_a_budget_and_a_url_none_is_used(findings: Any, environ: dict[str, str]) -> None:
    found = findings(validate_cost_tracking_configuration(environ)).one("Ledger")

    assert found.level is INFO


def test_where_there_is_no_file_yet_one_is_tried_and_nothing_is_left(
    about_ledger: Callable[..., Any], tmp_path: Path
) -> None:
    (found,) = about_ledger()

    assert found.level is OK
    assert everything_in(tmp_path) == []


def test_a_file_that_is_there_is_used_and_not_changed(about_ledger: Callable[..., Any], tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "money" / "ledger.sqlite3")
    ledger.raise_usage("2026-11", {"events": 5}, actor="ann", note="import")
    before = ledger.journal()

    (found,) = about_ledger()

    assert found.level is OK
    assert (ledger.journal(), ledger.usage("2026-11")) == (before, {"events": 5})
    ledger.close()


def test_a_place_that_is_no_folder_is_an_error_with_a_command(about_ledger: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "money").write_text("a file", encoding="utf-8")

    (found,) = about_ledger()

    assert found.level is ERROR
    assert "it is not a directory" in found.issue
    assert found.fix_command == f"mkdir -p {tmp_path}/money && chmod u+rwX {tmp_path}/money"


def test_a_file_that_is_no_ledger_is_an_error_and_stays_as_it_is(
    about_ledger: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "money" / "ledger.sqlite3"
    path.parent.mkdir()
    path.write_text("something else entirely" * 100, encoding="utf-8")

    (found,) = about_ledger()

    assert found.level is ERROR
    assert "is not a ledger, or is damaged" in found.issue
    assert path.read_text(encoding="utf-8").startswith("something else")


@pytest.mark.parametrize(
    ("variable", "platform"),
    [
        ("KUBERNETES_SERVICE_HOST", "Kubernetes"),
        ("ECS_CONTAINER_METADATA_URI_V4", "Amazon ECS"),
        ("AWS_LAMBDA_FUNCTION_NAME", "AWS Lambda"),
        ("K_SERVICE", "Cloud Run"),
        ("DYNO", "Heroku"),
    ],
)
def test_a_file_where_there_may_be_replicas_is_a_warning(
    about_ledger: Callable[..., Any], variable: str, platform: str
) -> None:
    works, shared = about_ledger(**{variable: "1"})

    assert (works.level, shared.level) == (OK, WARNING)
    assert shared.issue.startswith(f"This is {platform}, which may run several replicas")
    assert shared.fix_command.startswith("export GENOPS_LEDGER_URL=redis://")


def test_replicas_that_have_their_shares_need_no_common_ledger(about_ledger: Callable[..., Any]) -> None:
    (found,) = about_ledger(**IN_KUBERNETES, GENOPS_BUDGET_SHARE="1/3")

    assert found.level is OK


@pytest.mark.parametrize(
    ("added", "who"),
    [
        (IN_KUBERNETES, "each instance on Kubernetes"),
        ({"WEB_CONCURRENCY": "4"}, "each of 4 workers"),
        ({"GUNICORN_CMD_ARGS": "--bind :80 --workers=3"}, "each of 3 workers"),
        ({"GUNICORN_CMD_ARGS": "-w 2"}, "each of 2 workers"),
    ],
    ids=["replicas", "concurrency", "long option", "short option"],
)
def test_memory_where_others_spend_too_is_a_warning(
    about_ledger: Callable[..., Any], added: dict[str, str], who: str
) -> None:
    (found,) = about_ledger(GENOPS_LEDGER_URL="memory://", **added)

    assert found.level is WARNING
    assert f"so {who} spends every budget once for itself" in found.issue


def test_memory_of_one_process_alone_is_in_order(about_ledger: Callable[..., Any]) -> None:
    (found,) = about_ledger(GENOPS_LEDGER_URL="memory://", WEB_CONCURRENCY="1")

    assert found.level is OK


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_used_for_real_and_serves_replicas(
    about_ledger: Callable[..., Any], new_ledger_url: Callable[[str], str], kind: str
) -> None:
    (found,) = about_ledger(GENOPS_LEDGER_URL=new_ledger_url(kind), **IN_KUBERNETES)

    assert found.level is OK
    assert found.issue.endswith("can be read and written, for any number of machines.")


def test_a_server_that_is_not_there_is_an_error_without_its_password(about_ledger: Callable[..., Any]) -> None:
    (found,) = about_ledger(GENOPS_LEDGER_URL="redis://:hunter2@127.0.0.1:9/0")

    assert found.level is ERROR
    assert "hunter2" not in str(found)
    assert found.fix_command == 'redis-cli -u "$GENOPS_LEDGER_URL" PING'
