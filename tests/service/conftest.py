"""Fixtures: services that send to the local receiver, and are stopped when the test ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.service import PostHogService
from genops_otel_posthog.settings.once import WarnOnce

KEY = "phc_service_test_0123456789"


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings that are said once have not been said, and nobody has asked for detail."""
    monkeypatch.delenv("DEBUG", raising=False)
    for name, module in list(sys.modules.items()):
        if name.startswith("genops_otel_posthog"):
            for each in vars(module).values():
                if isinstance(each, WarnOnce):
                    each.forget()


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    """The local receiver, empty and well."""
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def new_service(receiver: LocalReceiver) -> Iterator[Callable[..., PostHogService]]:
    """Makes services that send to the receiver."""
    services = []

    def new_service(**fields: object) -> PostHogService:
        service = PostHogService(consent=fields.pop("consent", None))  # type: ignore[arg-type]
        services.append(service)
        told = {"api_key": KEY, "host": receiver.url, "flush_interval": 50, "enable": True, "timeout": 5.0, **fields}
        assert service.initialize_sync(told)
        return service

    yield new_service
    for service in services:
        service.shutdown_sync(10)


@pytest.fixture
def service(new_service: Callable[..., PostHogService]) -> PostHogService:
    return new_service()
