"""The framework snippets of the GenOps guide, word for word.

They are from the guide's page on PostHog (docs/integrations/posthog.md of KoshiHQ/GenOps-AI), sections "Web Framework
Integration" and "Cloud Function Integration".
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.compat import install_aliases

DJANGO = """
# Django middleware
class PostHogGovernanceMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response
        self.adapter = GenOpsPostHogAdapter(
            team="web-team",
            project="django-app"
        )

    def __call__(self, request):
        with self.adapter.track_analytics_session("web_request") as session:
            request.analytics_session = session
            response = self.get_response(request)
            return response
"""

FLASK = """
# Flask integration
from flask import Flask, request, g
app = Flask(__name__)

@app.before_request
def before_request():
    g.adapter = GenOpsPostHogAdapter(team="api-team", project="flask-api")
    g.session = g.adapter.track_analytics_session("api_request").__enter__()

@app.teardown_request
def teardown_request(exception):
    if hasattr(g, 'session'):
        g.session.__exit__(None, None, None)
"""

LAMBDA = """
# AWS Lambda
import json
from genops.providers.posthog import GenOpsPostHogAdapter

def lambda_handler(event, context):
    adapter = GenOpsPostHogAdapter(
        team="serverless-team",
        project="lambda-analytics",
        environment="production"
    )

    with adapter.track_analytics_session("lambda_execution") as session:
        # Process analytics events
        for record in event.get('Records', []):
            adapter.capture_event_with_governance(
                event_name="lambda_processed",
                properties={"record_type": record.get('eventName')},
                distinct_id=f"lambda_{context.aws_request_id}"
            )

        return {
            'statusCode': 200,
            'body': json.dumps({'message': 'Analytics processed'})
        }
"""


@pytest.fixture
def in_the_environment(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The project's key and host where the snippets look for them: in the environment."""
    monkeypatch.setenv("POSTHOG_API_KEY", project.key)
    monkeypatch.setenv("POSTHOG_HOST", project.options["posthog_host"])
    monkeypatch.setenv("GENOPS_PRICING_MODE", "list")
    return project


@pytest.fixture
def aliases() -> Iterator[None]:
    """The guide's import paths, as long as the test runs."""
    assert install_aliases()
    yield
    for name in [name for name in sys.modules if name == "genops" or name.startswith("genops.")]:
        del sys.modules[name]


@pytest.mark.requirement("S4-69")
def test_the_django_middleware_of_the_guide_works(in_the_environment: Any) -> None:
    namespace: dict[str, Any] = {"GenOpsPostHogAdapter": GenOpsPostHogAdapter}
    exec(DJANGO, namespace)

    def view(request: Any) -> str:
        request.analytics_session.capture_event("page_viewed", distinct_id="ann")
        return request.analytics_session.session_id

    middleware = namespace["PostHogGovernanceMiddleware"](view)
    sessions = {middleware(SimpleNamespace()) for _ in range(3)}

    assert len(sessions) == 3
    (owner,) = {
        (event.properties["genops_team"], event.properties["genops_project"])
        for event in in_the_environment.events("page_viewed")
    }
    assert owner == ("web-team", "django-app")


@pytest.mark.requirement("S4-70", "E-14")
def test_the_flask_snippet_of_the_guide_makes_an_adapter_for_each_request_and_one_client(
    in_the_environment: Any,
) -> None:
    namespace: dict[str, Any] = {"GenOpsPostHogAdapter": GenOpsPostHogAdapter, "__name__": "flask_api"}
    exec(FLASK, namespace)
    app, g = namespace["app"], namespace["g"]
    ended, spent = [], []

    @app.get("/")
    def index() -> str:
        g.session.capture_event("page_viewed", distinct_id="ann")
        spent.append(g.adapter.get_cost_summary()["daily_costs"])
        return "ok"

    @app.teardown_request
    def look(error: BaseException | None) -> None:
        ended.append(g.session)

    client = app.test_client()
    client.get("/")
    threads = threading.active_count()
    for _ in range(49):
        assert client.get("/").status_code == 200

    assert threading.active_count() == threads
    assert len({session.session_id for session in ended}) == 50
    assert all(session.end_time is not None for session in ended)
    # The day's costs go on from one adapter to the next.
    assert spent == pytest.approx([number * 0.00005 for number in range(1, 51)])
    assert len(in_the_environment.events("page_viewed")) == 50


@pytest.mark.requirement("S4-71")
def test_the_lambda_handler_of_the_guide_delivers_before_it_returns_once_it_is_decorated(
    in_the_environment: Any, aliases: None
) -> None:
    from genops_otel_posthog.integrations.aws_lambda import governed_handler

    namespace: dict[str, Any] = {}
    exec(LAMBDA, namespace)
    handler = governed_handler()(namespace["lambda_handler"])
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 30_000)

    answer = handler({"Records": [{"eventName": "INSERT"}, {"eventName": "REMOVE"}]}, context)

    events = in_the_environment.delivered("lambda_processed")
    assert [event.properties["record_type"] for event in events] == ["INSERT", "REMOVE"]
    assert {event.distinct_id for event in events} == {"lambda_1"}
    assert json.loads(answer["body"]) == {"message": "Analytics processed"}
