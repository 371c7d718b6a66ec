"""Flask: real requests through its own test client and through a WSGI server's way of reading a response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, g, jsonify, stream_with_context
from opentelemetry.context import get_current
from opentelemetry.trace import StatusCode

from genops_otel_posthog import GenOpsConfigurationError
from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.integrations.flask import PostHogGovernance

pytestmark = pytest.mark.requirement("S4-70")


def by_header(request: Any) -> str | None:
    """Whose a request is: what the tests give as ``owner``."""
    return request.headers.get("X-Customer")


def shop() -> Flask:
    app = Flask("shop")

    @app.get("/order")
    def order() -> Response:
        result = g.analytics_session.capture_event("order_completed", {"total": 42}, distinct_id="ann")
        return jsonify({"session": g.analytics_session.session_id, "result": result})

    @app.get("/failing")
    def failing() -> Response:
        raise LookupError("no such basket")

    @app.get("/refused")
    def refused() -> tuple[str, int]:
        return "not you", 403

    @app.get("/report")
    def report() -> Response:
        def rows() -> Iterator[str]:
            for row in range(3):
                g.analytics_session.capture_event("row_sent", {"row": row}, distinct_id="ann")
                yield attribution_in().customer_id or "nobody"

        return Response(stream_with_context(rows()))

    @app.get("/broken_report")
    def broken_report() -> Response:
        def rows() -> Iterator[str]:
            yield "one"
            raise BrokenPipeError("the database went away")

        return Response(rows())

    @app.get("/healthz")
    def healthz() -> str:
        return str("analytics_session" in g)

    return app


@pytest.fixture
def governed(project: Any) -> Callable[..., Any]:
    """Makes a client of a shop whose requests have sessions."""

    def make(**options: Any) -> Any:
        app = shop()
        PostHogGovernance(app, **{"adapter": project.adapter, "owner": by_header, **options})
        return app.test_client()

    return make


def test_a_request_has_a_session_whose_calls_belong_to_its_customer(project: Any, governed: Any) -> None:
    answer = governed().get("/order", headers={"X-Customer": "acme"}).json

    (event,) = project.events("order_completed")
    assert event.uuid == answer["result"]["event_uuid"]
    assert (event.properties["genops_team"], event.properties["genops_customer_id"]) == ("web-team", "acme")
    span = project.session()
    assert (span.name, span.status.status_code) == ("session api_request", StatusCode.UNSET)
    assert span.attributes["genops.session.id"] == answer["session"]


@pytest.mark.requirement("E-15")
def test_an_exception_marks_the_session_and_ends_it(project: Any, governed: Any) -> None:
    assert governed().get("/failing").status_code == 500

    span = project.session()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "LookupError"


def test_an_answer_that_is_no_success_is_no_error(project: Any, governed: Any) -> None:
    assert governed().get("/refused").status_code == 403
    assert project.session().status.status_code is StatusCode.UNSET


def test_a_streamed_response_is_made_in_the_session_to_its_end(project: Any, governed: Any) -> None:
    answer = governed().get("/report", headers={"X-Customer": "acme"})

    assert answer.data == b"acmeacmeacme"
    assert project.customers("row_sent") == ["acme", "acme", "acme"]
    assert len(project.sessions()) == 1


def test_a_stream_that_breaks_off_marks_the_session(project: Any, governed: Any) -> None:
    with pytest.raises(BrokenPipeError):
        governed().get("/broken_report").get_data()

    assert project.session().attributes["error.type"] == "BrokenPipeError"


def test_a_stream_that_nobody_reads_to_its_end_ends_its_session(project: Any, governed: Any) -> None:
    answer = governed().get("/report", buffered=False)
    next(iter(answer.iter_encoded()))
    assert project.sessions() == []
    answer.close()

    assert len(project.sessions()) == 1
    assert attribution_in().customer_id is None


def test_nothing_of_a_session_is_left_behind(project: Any, governed: Any) -> None:
    client = governed()
    before = get_current()
    for page in ("/order", "/failing", "/report"):
        client.get(page, headers={"X-Customer": "acme"}).get_data()

    assert get_current() is before
    assert len(project.sessions()) == 3


def test_baggage_and_trace_of_the_caller_are_respected(project: Any, governed: Any) -> None:
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "genops.customer_id=acme",
    }
    governed().get("/order", headers=headers)

    assert project.customers("order_completed") == ["acme"]
    assert f"{project.session().context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_health_checks_can_be_left_out(project: Any, governed: Any) -> None:
    assert governed(excluded_paths="/healthz").get("/healthz").text == "False"
    assert project.sessions() == []


def test_where_another_function_answers_first_there_is_no_session_and_no_error(project: Any) -> None:
    app = shop()
    app.before_request(lambda: ("under maintenance", 503))
    PostHogGovernance(app, adapter=project.adapter)

    assert app.test_client().get("/order").status_code == 503
    assert project.sessions() == []


def test_one_extension_serves_several_applications_and_reads_their_configuration(project: Any) -> None:
    extension = PostHogGovernance(**project.options)
    for name in ("shop", "back-office"):
        app = shop()
        app.config["GENOPS_POSTHOG"] = {"feature": name, "team": "is given as an argument", "session_name": name}
        extension.init_app(app)
        app.test_client().get("/order")

    owners = [(event.properties["genops_team"], event.properties["genops_feature"]) for event in project.events()]
    assert owners == [("web-team", "shop"), ("web-team", "back-office")]
    assert [span.name for span in project.sessions()] == ["session shop", "session back-office"]


def test_an_adapter_and_the_arguments_of_one_contradict_each_other(project: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="An adapter was given, so team would have no effect"):
        PostHogGovernance(shop(), adapter=project.adapter, team="web-team")
