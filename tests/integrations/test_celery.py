"""Celery: real workers, in a thread with a broker in memory, and prefork with one in a directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from genops_otel_posthog import Attribution, governance
from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.receiver.server import LocalReceiver

from .conftest import Project

celery = pytest.importorskip("celery", reason="needs Celery: it is in the extra `newest`")

from celery.contrib.testing.worker import start_worker  # noqa: E402 - not before it is known to be there
from celery.signals import setup_logging  # noqa: E402 - the same

from genops_otel_posthog.integrations.celery import govern  # noqa: E402 - the same

pytestmark = pytest.mark.newest

TASKS = """
import os
from celery import Celery
from genops_otel_posthog.integrations.celery import govern

directory = os.environ["BROKER_DIRECTORY"]
app = Celery("shop", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": directory, "data_folder_out": directory},
    worker_max_tasks_per_child=2)
adapter = govern(app, team="workers", project="shop")

@app.task(bind=True)
def charge(self, number):
    self.request.analytics_session.capture_event("charged", {"number": number, "pid": os.getpid()}, distinct_id="ann")
"""


def new_app() -> Any:
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://")
    app.set_default()

    @app.task(bind=True, shared=False, name="charge")
    def charge(self: Any, customer: str | None = None) -> dict[str, object]:
        self.request.analytics_session.capture_event("charged", {"for": customer}, distinct_id="ann")
        return {"owner": attribution_in().customer_id, "team": attribution_in().team}

    @app.task(shared=False, name="fail")
    def fail() -> None:
        raise LookupError("no such basket")

    @app.task(bind=True, shared=False, name="try_twice", max_retries=1)
    def try_twice(self: Any) -> str:
        if not self.request.retries:
            raise self.retry(countdown=0)
        return str(attribution_in().customer_id)

    return app


def _leave_logging_alone(**_: Any) -> None:
    """Whoever is connected here sets logging up instead of Celery."""


@pytest.fixture(scope="module")
def working(shared_receiver: LocalReceiver) -> Iterator[tuple[Any, Project]]:
    """An application whose worker runs in a thread of this process, and its project."""
    app, project = new_app(), Project(shared_receiver)
    # Of a worker that polls rarely, the end takes five seconds.
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    assert govern(app, adapter=project.adapter) is project.adapter
    # Else the worker sets the level of the root logger, and nobody sets it back.
    setup_logging.connect(_leave_logging_alone)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield app, project
    project.adapter.shutdown(10)


@pytest.fixture
def shop(working: tuple[Any, Project], receiver: LocalReceiver) -> tuple[Any, Project]:
    """The same, before anything has happened."""
    working[1].forget()
    return working


def result_of(asked: Any) -> Any:
    return asked.get(timeout=30, interval=0.01)


def test_a_task_has_a_session_and_the_owner_of_whoever_asked_for_it(shop: tuple[Any, Project]) -> None:
    app, project = shop
    with governance(customer_id="acme", feature="checkout"):
        for_acme = app.tasks["charge"].delay()
    for_nobody = app.tasks["charge"].delay()
    assert result_of(for_acme) == {"owner": "acme", "team": "web-team"}
    assert result_of(for_nobody) == {"owner": None, "team": "web-team"}

    owners = [
        (event.properties.get("genops_customer_id"), event.properties.get("genops_feature"))
        for event in project.events("charged")
    ]
    assert owners == [("acme", "checkout"), (None, None)]
    assert [span.name for span in project.sessions()] == ["session charge"] * 2


def test_a_failure_marks_the_session_and_another_try_does_not(shop: tuple[Any, Project]) -> None:
    app, project = shop
    failed = app.tasks["fail"].delay()
    with pytest.raises(LookupError):
        result_of(failed)
    with governance(customer_id="acme"):
        tried = app.tasks["try_twice"].delay()
    assert result_of(tried) == "acme"

    failure, *tries = project.sessions()
    assert (failure.status.status_code, failure.attributes["error.type"]) == (StatusCode.ERROR, "LookupError")
    assert [span.status.status_code for span in tries] == [StatusCode.UNSET] * 2


def test_a_task_belongs_to_the_trace_of_whoever_asked_for_it(shop: tuple[Any, Project]) -> None:
    app, project = shop
    with project.tracer.start_as_current_span("POST /orders") as request:
        result_of(app.tasks["charge"].delay())

    assert project.session().parent.span_id == request.get_span_context().span_id


def test_whom_the_owner_function_names_comes_before_the_caller_s(project: Project) -> None:
    app = new_app()

    def owner(task: Any, args: Any, kwargs: Any) -> Attribution:
        return Attribution(customer_id=args[0], tags={"task": task.name})

    govern(app, adapter=project.adapter, owner=owner)
    with governance(customer_id="acme", cost_center="cc-1"):
        app.tasks["charge"].apply(("initech",))

    (event,) = project.events("charged")
    assert event.properties["genops_customer_id"] == "initech"
    assert event.properties["genops_cost_center"] == "cc-1"
    assert event.properties["genops_tag_task"] == "charge"


def test_a_task_that_is_called_in_place_stands_in_the_session_of_the_caller(project: Project) -> None:
    app = new_app()
    govern(app, adapter=project.adapter)
    with project.adapter.track_analytics_session("checkout", customer_id="acme"):
        app.tasks["charge"].apply()
        assert attribution_in().customer_id == "acme"

    inner, outer = project.sessions()
    assert inner.parent.span_id == outer.context.span_id
    assert project.customers("charged") == ["acme"]


def test_a_header_of_somebody_else_s_is_passed_over(project: Project) -> None:
    app = new_app()
    govern(app, adapter=project.adapter)
    app.tasks["charge"].apply(headers={"genops": "of another make"})

    assert project.customers("charged") == [None]


def test_governing_an_application_again_changes_nothing(project: Project) -> None:
    app = new_app()
    govern(app, adapter=project.adapter)
    assert govern(app, team="somebody else") is project.adapter
    app.tasks["charge"].apply()

    assert len(project.sessions()) == 1


def test_two_applications_do_not_touch_each_other_s_tasks(project: Project) -> None:
    one, other = new_app(), new_app()
    govern(one, adapter=project.adapter, session_name="one")
    govern(other, adapter=project.adapter, session_name="other")
    one.tasks["charge"].apply()

    assert [span.name for span in project.sessions()] == ["session one"]


@pytest.mark.requirement("E-40")
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_children_that_are_recycled_lose_nothing(project: Project, receiver: LocalReceiver, tmp_path: Path) -> None:
    """Ten tasks by children that end after two each; the adapter is older than they are."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "broker").mkdir()
    directory = str(tmp_path / "broker")
    producer = celery.Celery("producer", broker="filesystem://")
    producer.conf.broker_transport_options = {"data_folder_in": directory, "data_folder_out": directory}
    govern(producer, adapter=project.adapter)
    for number in range(10):
        with governance(customer_id=f"customer-{number}"):
            producer.send_task("tasks.charge", (number,))

    environment = {
        **os.environ,
        "BROKER_DIRECTORY": directory,
        "POSTHOG_API_KEY": "phc_celery",
        "POSTHOG_HOST": receiver.url,
        "PYTHONPATH": str(tmp_path),
    }
    options = ["--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    with (tmp_path / "log.txt").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app=tasks", "worker", *options],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            receiver.wait_for_events(10, timeout=60, event="charged", token="phc_celery")
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    events = receiver.events("charged", token="phc_celery")
    charged = sorted((event.properties["number"], event.properties["genops_customer_id"]) for event in events)
    assert charged == [(number, f"customer-{number}") for number in range(10)]
    assert len({event.properties["pid"] for event in events}) > 2, "no child was recycled"
