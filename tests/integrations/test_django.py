"""Django: real requests through its own test clients, under WSGI and under ASGI."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import get_current
from opentelemetry.trace import StatusCode

from genops_otel_posthog import GenOpsConfigurationError, PostHogInstrumentor, governance
from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.integrations.django import PostHogGovernanceMiddleware

django = pytest.importorskip("django", reason="needs Django: it is in the extra `newest`")

from django.conf import settings  # noqa: E402 - not before it is known to be there
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.test import AsyncClient, Client, RequestFactory, override_settings  # noqa: E402
from django.urls import path  # noqa: E402

pytestmark = [pytest.mark.newest, pytest.mark.requirement("S4-69", "E-15")]

MIDDLEWARE = "genops_otel_posthog.integrations.django.PostHogGovernanceMiddleware"


def order(request: HttpRequest) -> HttpResponse:
    """An ordinary view."""
    session = request.analytics_session
    result = session.capture_event("order_completed", {"total": 42}, distinct_id="ann")
    return JsonResponse({"session": session.session_id, "event": result["event_uuid"], "cost": result["cost"]})


async def order_async(request: HttpRequest) -> HttpResponse:
    request.analytics_session.capture_event("order_completed", {"total": 42}, distinct_id="ann")
    return JsonResponse({"session": request.analytics_session.session_id})


def failing(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such basket")


async def failing_async(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such basket")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def idle(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.__dict__.get("analytics_session") is not None))


def report(request: HttpRequest) -> HttpResponse:
    def rows() -> Iterator[str]:
        for row in range(3):
            request.analytics_session.capture_event("row_sent", {"row": row}, distinct_id="ann")
            yield attribution_in().customer_id or "nobody"

    return StreamingHttpResponse(rows())


async def report_async(request: HttpRequest) -> HttpResponse:
    async def rows() -> AsyncIterator[str]:
        for row in range(3):
            request.analytics_session.capture_event("row_sent", {"row": row}, distinct_id="ann")
            yield attribution_in().customer_id or "nobody"

    return StreamingHttpResponse(rows())


def broken_report(request: HttpRequest) -> HttpResponse:
    def rows() -> Iterator[str]:
        yield "one"
        raise BrokenPipeError("the database went away")

    return StreamingHttpResponse(rows())


def picture(request: HttpRequest) -> HttpResponse:
    return FileResponse(open(__file__, "rb"))


def urlconf() -> ModuleType:
    module = ModuleType("tests_of_django_urls")
    module.urlpatterns = [
        path(f"{view.__name__}/", view)
        for view in (
            order,
            order_async,
            failing,
            failing_async,
            missing,
            idle,
            report,
            report_async,
            broken_report,
            picture,
        )
    ]
    return module


sys.modules["tests_of_django_urls"] = urlconf()
if not settings.configured:
    settings.configure(
        DEBUG=False, SECRET_KEY="of a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF="tests_of_django_urls", USE_TZ=True
    )
    django.setup()


def by_header(request: HttpRequest) -> str | None:
    """Whose a request is: what the tests give as ``owner``."""
    return request.headers.get("X-Customer")


@pytest.fixture
def governed(project: Any) -> Iterator[Callable[..., Any]]:
    """Switches the middleware on with more of ``GENOPS_POSTHOG``, until the test ends."""
    switched: list[Any] = []

    def switch(*around: str, **given: Any) -> None:
        chosen = override_settings(
            MIDDLEWARE=[*around, MIDDLEWARE], GENOPS_POSTHOG={"adapter": project.adapter, "owner": by_header, **given}
        )
        chosen.enable()
        switched.append(chosen)

    yield switch
    for chosen in switched:
        chosen.disable()


def test_a_request_has_a_session_whose_calls_belong_to_its_customer(project: Any, governed: Any) -> None:
    governed()
    answer = Client().get("/order/", headers={"X-Customer": "acme"}).json()

    (event,) = project.events("order_completed")
    assert event.uuid == answer["event"]
    assert event.properties["genops_team"] == "web-team"
    assert event.properties["genops_customer_id"] == "acme"
    span = project.session()
    assert span.name == "session web_request"
    assert span.attributes["genops.session.id"] == answer["session"]
    assert span.status.status_code is StatusCode.UNSET


async def test_under_asgi_the_same_holds(project: Any, governed: Any) -> None:
    governed()
    answer = (await AsyncClient().get("/order_async/", headers={"X-Customer": "acme"})).json()

    assert project.customers("order_completed") == ["acme"]
    assert project.session().attributes["genops.session.id"] == answer["session"]


async def test_under_asgi_a_synchronous_view_has_it_in_its_thread(project: Any, governed: Any) -> None:
    governed()
    await AsyncClient().get("/order/", headers={"X-Customer": "acme"})

    assert project.customers("order_completed") == ["acme"]


async def test_under_asgi_the_owner_may_be_a_coroutine_function(project: Any, governed: Any) -> None:
    async def from_the_database(request: HttpRequest) -> dict[str, object]:
        return {"customer_id": "acme", "feature": "checkout", "cost_center": None}

    governed(owner=from_the_database)
    await AsyncClient().get("/order_async/")

    (event,) = project.events("order_completed")
    assert (event.properties["genops_customer_id"], event.properties["genops_feature"]) == ("acme", "checkout")


@pytest.mark.parametrize("view", ["failing", "failing_async"])
def test_an_exception_marks_the_session_and_ends_it(project: Any, governed: Any, view: str) -> None:
    governed()
    answer = Client(raise_request_exception=False).get(f"/{view}/")

    span = project.session()
    assert answer.status_code == 500
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "LookupError"


@pytest.mark.parametrize("view", ["failing", "failing_async"])
async def test_under_asgi_an_exception_marks_the_session_and_ends_it(project: Any, governed: Any, view: str) -> None:
    governed()
    answer = await AsyncClient(raise_request_exception=False).get(f"/{view}/")

    assert answer.status_code == 500
    assert project.session().attributes["error.type"] == "LookupError"


def test_an_exception_of_another_middleware_marks_the_session(project: Any, governed: Any) -> None:
    class Failing:
        def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
            pass

        def __call__(self, request: HttpRequest) -> HttpResponse:
            raise LookupError("no such tenant")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tests_of_django_middleware", SimpleNamespace(Failing=Failing))
        governed()
        with override_settings(MIDDLEWARE=[MIDDLEWARE, "tests_of_django_middleware.Failing"]):
            Client(raise_request_exception=False).get("/idle/")

    assert project.session().attributes["error.type"] == "LookupError"


def test_a_page_that_is_not_found_is_no_error(project: Any, governed: Any) -> None:
    governed()

    assert Client().get("/missing/").status_code == 404
    assert project.session().status.status_code is StatusCode.UNSET


def test_a_streamed_response_is_made_in_the_session_to_its_end(project: Any, governed: Any) -> None:
    governed()
    answer = Client().get("/report/", headers={"X-Customer": "acme"})

    assert project.sessions() == []
    assert list(answer.streaming_content) == [b"acme", b"acme", b"acme"]
    assert project.customers("row_sent") == ["acme", "acme", "acme"]
    assert project.session().status.status_code is StatusCode.UNSET


async def test_under_asgi_a_streamed_response_is_made_in_the_session_to_its_end(project: Any, governed: Any) -> None:
    governed()
    answer = await AsyncClient().get("/report_async/", headers={"X-Customer": "acme"})

    assert [part async for part in answer.streaming_content] == [b"acme", b"acme", b"acme"]
    assert len(project.sessions()) == 1


def test_between_the_parts_of_a_stream_the_server_is_in_no_session(project: Any, governed: Any) -> None:
    governed()
    answer = Client().get("/report/", headers={"X-Customer": "acme"})
    before = get_current()
    next(iter(answer.streaming_content))

    assert get_current() is before
    assert attribution_in().customer_id is None
    answer.close()
    assert len(project.sessions()) == 1


def test_a_stream_that_breaks_off_marks_the_session(project: Any, governed: Any) -> None:
    governed()
    with pytest.raises(BrokenPipeError):
        list(Client().get("/broken_report/").streaming_content)

    assert project.session().attributes["error.type"] == "BrokenPipeError"


def test_a_file_can_still_be_sent_by_the_server_itself(project: Any, governed: Any) -> None:
    governed()
    answer = PostHogGovernanceMiddleware(picture)(RequestFactory().get("/picture/"))

    assert answer.file_to_stream is not None
    assert len(project.sessions()) == 1
    answer.close()


def test_requests_that_are_served_at_the_same_time_keep_their_owners_apart(project: Any, governed: Any) -> None:
    governed()
    client = Client()
    client.get("/idle/")
    customers = [f"customer-{number}" for number in range(20)]
    threads = [
        threading.Thread(target=client.get, args=("/order/",), kwargs={"headers": {"X-Customer": customer}})
        for customer in customers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, project.customers("order_completed"))) == sorted(customers)
    assert len({span.attributes["genops.session.id"] for span in project.sessions()}) == 21


def test_posthog_s_own_functions_belong_to_the_session_as_well(project: Any, governed: Any) -> None:
    def zero_code(request: HttpRequest) -> HttpResponse:
        project.adapter.client.capture("page_viewed", distinct_id="ann")
        return HttpResponse()

    governed()
    PostHogInstrumentor().instrument(team="of the process")
    try:
        with override_settings(ROOT_URLCONF=(path("zero_code/", zero_code),)):
            Client().get("/zero_code/", headers={"X-Customer": "acme"})
    finally:
        PostHogInstrumentor().uninstrument()

    (event,) = project.events("page_viewed")
    assert (event.properties["genops_team"], event.properties["genops_customer_id"]) == ("web-team", "acme")


def test_baggage_and_trace_of_the_caller_are_respected(project: Any, governed: Any) -> None:
    governed(owner=None)
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "genops.customer_id=acme",
    }
    Client().get("/order/", headers=headers)

    assert project.customers("order_completed") == ["acme"]
    assert f"{project.session().context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_where_django_is_instrumented_the_session_stands_in_its_span(project: Any, governed: Any) -> None:
    governed()
    with project.tracer.start_as_current_span("GET /order/") as request_span:
        Client().get("/order/", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})

    assert project.session().parent.span_id == request_span.get_span_context().span_id


def test_whom_the_owner_function_names_comes_before_baggage(project: Any, governed: Any) -> None:
    governed()
    Client().get("/order/", headers={"X-Customer": "acme", "baggage": "genops.customer_id=initech"})

    assert project.customers("order_completed") == ["acme"]


def test_an_owner_function_that_fails_is_logged_and_the_request_is_served(
    project: Any, governed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    governed(owner=lambda request: request.META["NO_SUCH_HEADER"])

    assert Client().get("/order/").status_code == 200
    assert project.customers("order_completed") == [None]
    assert "The owner of a request could not be told" in caplog.text
    assert "NO_SUCH_HEADER" in caplog.text


def test_health_checks_can_be_left_out(project: Any, governed: Any) -> None:
    governed(excluded_paths=["/idle/", "/static/*"])

    assert Client().get("/idle/").content == b"False"
    assert Client().get("/static/logo.png").status_code == 404
    assert project.sessions() == []


def test_nothing_of_a_session_is_left_behind(project: Any, governed: Any) -> None:
    governed()
    before = get_current()
    with governance(team="around"):
        Client().get("/order/", headers={"X-Customer": "acme"})
        assert attribution_in().customer_id is None

    assert get_current() is before


def test_without_an_adapter_the_setting_holds_the_arguments_of_one(project: Any) -> None:
    given = {**project.options, "team": "django-team", "session_name": "page", "owner": f"{__name__}.by_header"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, __name__, SimpleNamespace(by_header=by_header))
        with override_settings(MIDDLEWARE=[MIDDLEWARE], GENOPS_POSTHOG=given):
            Client().get("/order/", headers={"X-Customer": "acme"})

    (event,) = project.events("order_completed")
    assert (event.properties["genops_team"], event.properties["genops_customer_id"]) == ("django-team", "acme")
    assert project.session().name == "session page"


def test_without_the_setting_the_environment_says_everything(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", project.key)
    monkeypatch.setenv("POSTHOG_HOST", project.options["posthog_host"])
    monkeypatch.setenv("GENOPS_TEAM", "of-the-environment")
    with override_settings(MIDDLEWARE=[MIDDLEWARE]):
        Client().get("/order/")

    (event,) = project.events("order_completed")
    assert event.properties["genops_team"] == "of-the-environment"


def test_a_word_in_the_setting_that_means_nothing_is_named() -> None:
    with (
        override_settings(MIDDLEWARE=[MIDDLEWARE], GENOPS_POSTHOG={"tema": "web-team"}),
        pytest.raises(GenOpsConfigurationError, match=r"GENOPS_POSTHOG.*tema"),
    ):
        Client().get("/idle/")
