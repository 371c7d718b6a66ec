"""Destinations by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.destinations.registry import configured, destination_names, named
from genops_otel_posthog.settings import Settings

KEYS = {"POSTHOG_API_KEY": "phc_of_a_test", "RUDDERSTACK_WRITE_KEY": "1aBcDeFg", "GENOPS_DATABASE_URL": "sqlite:///a/b"}

OWN = """
class Kafka:
    name, account = "kafka", ""
    max_batch_events, max_batch_bytes, max_event_bytes = 10, 1000, 100

    def __init__(self, settings):
        self.settings = settings

    def send(self, bodies, timeout):
        from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
        return Answer(Verdict.ACCEPTED)

    def close(self):
        pass


def broken(settings):
    raise RuntimeError("no broker")


def unnamed(settings):
    made = Kafka(settings)
    made.name = "My Kafka"
    return made
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers destinations."""
    (tmp_path / "kafka_of_a_test.py").write_text(OWN)
    metadata = tmp_path / "kafka_of_a_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kafka-of-a-test\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[genops_otel_posthog_destinations]\nkafka = kafka_of_a_test:Kafka\nbroken = kafka_of_a_test:broken\n"
        "unnamed = kafka_of_a_test:unnamed\nnothing = builtins:repr\nmissing = not_there:make\n"
        "posthog = kafka_of_a_test:Kafka\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kafka_of_a_test", raising=False)


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


def names(destinations: Sequence[Any]) -> list[str]:
    return [destination.name for destination in destinations]


def test_nothing_is_configured_by_an_empty_environment() -> None:
    assert configured(settings()) == ()


@pytest.mark.parametrize(("name", "variable"), list(zip(("posthog", "rudderstack", "database"), KEYS, strict=True)))
def test_each_is_switched_on_by_its_variable(name: str, variable: str) -> None:
    assert names(configured(settings(**{variable: KEYS[variable]}))) == [name]


def test_all_of_them_may_be_on_at_once() -> None:
    assert names(configured(settings(**KEYS))) == ["posthog", "rudderstack", "database"]


def test_posthog_can_be_switched_off_beside_the_others() -> None:
    assert names(configured(settings(**KEYS, POSTHOG_ENABLE="false"))) == ["rudderstack", "database"]


@pytest.mark.parametrize(
    ("environ", "integrations"),
    [
        (KEYS, {"All": True, "PostHog": False}),
        ({**KEYS, "POSTHOG_ENABLE": "false"}, {"All": True}),
        ({"RUDDERSTACK_WRITE_KEY": "1aBcDeFg"}, {"All": True}),
    ],
)
def test_rudderstack_may_tell_posthog_only_where_we_do_not(environ: dict[str, str], integrations: Any) -> None:
    (destination,) = [each for each in configured(settings(**environ)) if each.name == "rudderstack"]
    assert destination._integrations == integrations  # type: ignore[attr-defined]  # it is RudderStack


def test_destinations_can_be_had_by_name_each_once() -> None:
    assert names(named(["database", "posthog", "database"], settings(**KEYS))) == ["database", "posthog"]


def test_a_database_that_is_asked_for_needs_no_variable() -> None:
    assert names(named(["database"], settings())) == ["database"]


@pytest.mark.parametrize(
    ("name", "variable"), [("posthog", "POSTHOG_API_KEY"), ("rudderstack", "RUDDERSTACK_WRITE_KEY")]
)
def test_a_name_without_its_variable_is_refused_with_the_variable(name: str, variable: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=variable):
        named([name], settings())


@pytest.mark.parametrize(
    ("name", "said"),
    [("ruderstack", "did you mean rudderstack?"), ("xyzzy", "there are posthog, rudderstack, database")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, said: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=said.replace("?", r"\?")):
        named([name], settings())


@pytest.mark.usefixtures("package")
def test_a_package_offers_its_own_by_entry_point() -> None:
    assert destination_names() == (
        *("posthog", "rudderstack", "database"),
        *("broken", "kafka", "missing", "nothing", "unnamed"),
    )
    given = settings(GENOPS_TEAM="checkout")
    (destination,) = named(["kafka"], given)
    assert destination.send([b"{}"], 1) == Answer(Verdict.ACCEPTED)
    assert destination.settings is given  # type: ignore[attr-defined]  # of the package above


@pytest.mark.usefixtures("package")
def test_a_package_cannot_take_the_place_of_a_built_in_one() -> None:
    (destination,) = named(["posthog"], settings(**KEYS))
    assert type(destination).__module__.startswith("genops_otel_posthog.")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r"destination broken \(kafka_of_a_test:broken\) cannot be made: RuntimeError: no broker"),
        ("missing", r"destination missing \(not_there:make\) cannot be made: ModuleNotFoundError"),
        ("nothing", r"destination nothing \(builtins:repr\) is no destination: it has no name, account"),
        ("unnamed", "cannot be named 'My Kafka'"),
    ],
)
def test_a_package_that_offers_none_is_named(name: str, said: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=said):
        named([name], settings())
