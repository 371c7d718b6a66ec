"""Gates in force by environment alone: no chain, no client and no gate is made by the application."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.sdk.trace import TracerProvider

from genops_otel_posthog import Attribution, GovernanceSpanProcessor, PostHogSpanExporter
from genops_otel_posthog.cli import main
from genops_otel_posthog.export import flows, names, telling
from genops_otel_posthog.flags import (
    AGENT_DEBUGGER_UI,
    ENABLE_GUARDRAILS_TRACING,
    TRACK_MODEL_COSTS,
    VERSIONED_RAG_TRACKING,
    FlagChain,
    FlagRow,
    get_flags,
    set_flag,
    standing,
    use_chain,
)
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import Settings

from .conftest import flag

ALL = {"rag_query_triggered", "prompt_blocked"}
OWNER = {"user_id": "u1", "workspace_id": "acme"}


@pytest.fixture(autouse=True)
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application has not made PostHog's default client yet, and nothing was said."""
    import posthog

    monkeypatch.setattr(posthog, "default_client", None)
    monkeypatch.setattr(posthog, "api_key", None)
    standing._warn.forget()


@pytest.fixture
def environ(receiver: LocalReceiver, store: SqliteFlagStore, tmp_path: Path) -> dict[str, str]:
    """What the application is started with."""
    store.put(FlagRow("unrelated"))
    return {
        "POSTHOG_API_KEY": "phc_gated",
        "POSTHOG_HOST": receiver.url,
        "GENOPS_OUTBOX_PATH": str(tmp_path / "outbox"),
        "GENOPS_FLAGS_DATABASE_URL": f"sqlite:///{tmp_path / 'state' / 'flags.sqlite3'}",
    }


@pytest.fixture
def written(receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], set[str]]]:
    """Runs an application of this environment; returns which events of those with a gate arrived."""
    providers: list[TracerProvider] = []

    def written(environ: dict[str, str]) -> set[str]:
        provider = TracerProvider(shutdown_on_exit=False)
        providers.append(provider)
        settings = Settings.from_environ(environ)
        provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter(settings=settings), settings=settings))
        for place in (telling, flows):
            monkeypatch.setattr(place, "tracer", lambda: provider.get_tracer(names.SCOPE))
        with flows.track_rag_query("atlas", **OWNER):
            pass
        flows.track_prompt_blocked(source="abuse_detection", match_score=0.9, reason="injection", **OWNER)
        chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
        with provider.get_tracer("app").start_as_current_span("chat gpt-4o", attributes={**chat, "user.id": "u1"}):
            pass
        assert provider.force_flush(20_000)
        return {event.event for event in receiver.events(token="phc_gated")} & ALL

    yield written
    receiver.recover()
    for provider in providers:
        provider.shutdown()


@pytest.mark.requirement("S3-46", "S3-61")
def test_without_a_row_everything_is_written(written, environ) -> None:
    assert written(environ) == ALL


@pytest.mark.requirement("S3-19", "S3-20", "S3-60", "E-37")
@pytest.mark.parametrize(
    ("name", "event"), [(VERSIONED_RAG_TRACKING, "rag_query_triggered"), (ENABLE_GUARDRAILS_TRACING, "prompt_blocked")]
)
def test_a_row_of_the_named_database_keeps_its_event_from_being_written(written, environ, store, name, event) -> None:
    store.put(FlagRow(name, enabled=False))
    assert written(environ) == ALL - {event}


@pytest.mark.requirement("S3-18", "E-37")
@pytest.mark.parametrize("enabled", [True, False])
def test_a_row_decides_whether_costs_of_models_are_rows(written, environ, store, tmp_path, enabled) -> None:
    pytest.importorskip("sqlalchemy")
    store.put(FlagRow(TRACK_MODEL_COSTS, "workspace", "acme", enabled=not enabled))  # of somebody else
    store.put(FlagRow(TRACK_MODEL_COSTS, "user", "u1", enabled=enabled))
    events = tmp_path / "events.sqlite3"
    written({**environ, "GENOPS_DATABASE_URL": f"sqlite:///{events}"})
    with closing(sqlite3.connect(events)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM model_cost_logs").fetchone()
    assert count == int(enabled)


@pytest.mark.requirement("S3-15")
def test_without_a_url_the_users_own_database_decides(written, environ, monkeypatch, tmp_path) -> None:
    del environ["GENOPS_FLAGS_DATABASE_URL"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    assert CliRunner().invoke(main, ["flags", "set", VERSIONED_RAG_TRACKING, "--off"]).exit_code == 0
    assert written(environ) == ALL - {"rag_query_triggered"}


@pytest.mark.requirement("S3-14", "S3-59", "E-37")
def test_definitions_of_the_applications_client_decide_once_it_is_there(
    receiver, new_client, environ, monkeypatch
) -> None:
    import posthog

    gates = standing.standing_gates(Settings.from_environ(environ))
    owner = Attribution(**OWNER)
    assert gates.allows(VERSIONED_RAG_TRACKING, owner)
    receiver.set_flags([flag(VERSIONED_RAG_TRACKING, rollout=0)])
    client = new_client(local=True)
    client.load_feature_flags()
    monkeypatch.setattr(posthog, "default_client", client)
    assert not gates.allows(VERSIONED_RAG_TRACKING, owner)
    assert [request.kind for request in receiver.flag_requests()] == ["definitions"], "that of the client itself"


@pytest.mark.requirement("E-37", "S3-22")
def test_posthogs_server_decides_where_the_environment_has_it_asked_and_the_database_when_it_is_down(
    receiver, environ, store
) -> None:
    receiver.set_flags([flag(ENABLE_GUARDRAILS_TRACING, rollout=0)])
    store.put(FlagRow(VERSIONED_RAG_TRACKING, enabled=False))
    gates = standing.standing_gates(Settings.from_environ({**environ, "GENOPS_GATES_ASK_POSTHOG": "true"}))
    owner = Attribution(**OWNER)
    assert gates.allows(ENABLE_GUARDRAILS_TRACING, owner), "nobody waits for the first answer"
    receiver.wait_for_flag_requests(1)
    chain = gates._current()._chain
    chain.answer(ENABLE_GUARDRAILS_TRACING, chain_subject(owner))  # waits for what was asked
    gates._gates._decisions.clear()  # five seconds later
    assert not gates.allows(ENABLE_GUARDRAILS_TRACING, owner)
    with receiver.fail("flags", status=500):
        assert not gates.allows(VERSIONED_RAG_TRACKING, owner)


def chain_subject(owner: Attribution) -> Any:
    from genops_otel_posthog.flags import Subject

    return Subject(user=owner.user_id, workspace=owner.workspace_id)


def test_posthogs_server_is_not_asked_by_default(receiver, environ) -> None:
    gates = standing.standing_gates(Settings.from_environ(environ))
    gates.allows(ENABLE_GUARDRAILS_TRACING, Attribution(**OWNER))
    assert gates._client() is None


def test_a_chain_that_the_application_gave_comes_first(written, environ, store, tmp_path) -> None:
    own = SqliteFlagStore(tmp_path / "own.sqlite3")
    own.put(FlagRow(ENABLE_GUARDRAILS_TRACING, enabled=False))
    store.put(FlagRow(VERSIONED_RAG_TRACKING, enabled=False))
    use_chain(FlagChain(database=own))
    assert written(environ) == {"rag_query_triggered"}


def test_a_database_that_cannot_be_used_is_said_once_and_everything_is_written(environ, caplog) -> None:
    gates = standing.standing_gates(Settings.from_environ({**environ, "GENOPS_FLAGS_DATABASE_URL": "nodb://host/x"}))
    assert gates.allows(ENABLE_GUARDRAILS_TRACING)
    assert gates.allows(VERSIONED_RAG_TRACKING)
    assert caplog.text.count("Gates are decided without a database") == 1


@pytest.mark.requirement("S3-17", "S3-21", "D-40")
def test_a_front_end_reads_the_gates_of_the_named_database(environ, store, monkeypatch) -> None:
    monkeypatch.setenv("GENOPS_FLAGS_DATABASE_URL", environ["GENOPS_FLAGS_DATABASE_URL"])
    assert get_flags("u1")[AGENT_DEBUGGER_UI] == {
        "enabled": False, "variant": None, "payload": None, "source": "default"
    }  # fmt: skip
    set_flag(AGENT_DEBUGGER_UI, True, user_id="u1")
    assert get_flags("u1")[AGENT_DEBUGGER_UI]["enabled"]
    assert not get_flags("u2")[AGENT_DEBUGGER_UI]["enabled"]
    assert [row.scope_id for row in store.rows() if row.flag_key == AGENT_DEBUGGER_UI] == ["u1"]


def test_a_client_that_is_made_later_is_asked(environ, receiver, new_client, monkeypatch) -> None:
    import posthog

    monkeypatch.setenv("GENOPS_FLAGS_DATABASE_URL", environ["GENOPS_FLAGS_DATABASE_URL"])
    assert "shown" not in get_flags("u1")
    receiver.set_flags([flag("shown")])
    client = new_client(local=True)
    client.load_feature_flags()
    monkeypatch.setattr(posthog, "default_client", client)
    assert get_flags("u1")["shown"]["source"] == "posthog_local"
