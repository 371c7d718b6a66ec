"""Definitions in the database: one worker downloads, all use them, and an outage does not take them away."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from genops_otel_posthog.flags import FlagChain, FlagDefinitionCache, FlagStoreError, Subject
from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.database import StoredDefinitions
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore

from .conftest import flag

pytest.importorskip("posthog.flag_definition_cache", reason="the SDK has it since version 7.4")

USER = Subject("u1")
BETA = {"flags": [{"key": "beta", "active": True, "filters": {"groups": [{"properties": []}]}}]}


@pytest.fixture
def cache_for(store, clock):
    """Makes a worker's cache by the test's clock."""

    def cache_for(key: str = "phc_test") -> FlagDefinitionCache:
        breaker = Breaker(failures=1, pause=30, longest=300, clock=clock)
        return FlagDefinitionCache(store, key, poll_interval=30, clock=clock, breaker=breaker)

    return cache_for


def put(store, definitions=BETA, at: float = 900.0, project: str = "phc_test") -> None:
    whole = {"group_type_mapping": {}, "cohorts": {}, **definitions}
    store.put_definitions(FlagDefinitionCache(store, project)._project, StoredDefinitions(json.dumps(whole), at))


def test_it_is_what_the_sdk_calls_a_provider(cache_for):
    from posthog.flag_definition_cache import FlagDefinitionCacheProvider

    assert isinstance(cache_for(), FlagDefinitionCacheProvider)


# --- one for all ------------------------------------------------------------------------------------------------------


def test_the_second_worker_downloads_nothing(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    for _ in range(2):
        definitions = FlagDefinitionCache(store, "phc_test")
        client = new_client(local=True, flag_definition_cache_provider=definitions)
        chain = FlagChain(client, definitions=definitions, deadline=10)
        assert chain.answer("beta", USER).source == "posthog_local"
    assert [request.status for request in receiver.flag_requests("definitions")] == [200]


def test_a_worker_process_uses_what_another_process_downloaded(receiver, new_client, store):
    receiver.set_flags([flag("beta", variants={"a": 100})])
    definitions = FlagDefinitionCache(store, "phc_test")
    client = new_client(local=True, flag_definition_cache_provider=definitions)
    FlagChain(client, definitions=definitions, deadline=10).answer("beta", USER)

    with receiver.fail("all", reset=True):  # PostHog is away when the second process starts
        secret = "secret_key" if "secret_key" in inspect.signature(type(client).__init__).parameters else ""
        program = f"""
from pathlib import Path
from posthog import Posthog
from genops_otel_posthog.flags import FlagChain, FlagDefinitionCache, Subject
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore
store = SqliteFlagStore(Path({str(store.path)!r}))
definitions = FlagDefinitionCache(store, "phc_test")
client = Posthog("phc_test", host={receiver.url!r}, {secret or "personal_api_key"}="phx_test",
                 flag_definition_cache_provider=definitions)
answer = FlagChain(client, store, definitions=definitions, recorders=(), deadline=10).answer("beta", Subject("u1"))
print(answer.value, answer.source)
client.shutdown()
"""
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=environ
        )
    assert finished.stdout.split() == ["a", "posthog_local"], finished.stderr


def test_one_worker_asks_posthog_and_the_others_look_here(store, clock, cache_for):
    put(store)
    workers = [cache_for() for _ in range(3)]
    assert [worker.should_fetch_flag_definitions() for worker in workers] == [False] * 3  # they start from the database
    for worker in workers:
        worker.get_flag_definitions()
    clock.now += 30
    assert [worker.should_fetch_flag_definitions() for worker in workers] == [True, False, False]


def test_the_leader_leads_on_while_it_polls(store, clock, cache_for):
    leader, other = cache_for(), cache_for()
    for _ in range(5):
        assert leader.should_fetch_flag_definitions()
        leader.on_flag_definitions_received(BETA)
        other.get_flag_definitions()
        assert not other.should_fetch_flag_definitions()
        clock.now += 30


def test_when_the_leader_is_gone_another_takes_over(store, clock, cache_for):
    leader, other = cache_for(), cache_for()
    leader.should_fetch_flag_definitions()
    leader.on_flag_definitions_received(BETA)
    other.get_flag_definitions()
    clock.now += 44
    assert not other.should_fetch_flag_definitions()
    clock.now += 1
    assert other.should_fetch_flag_definitions()


def test_a_leader_that_shuts_down_hands_over_at_once(store, cache_for):
    leader, other = cache_for(), cache_for()
    leader.should_fetch_flag_definitions()
    leader.on_flag_definitions_received(BETA)
    other.get_flag_definitions()
    leader.shutdown()
    assert other.should_fetch_flag_definitions()


def test_projects_do_not_see_each_other(store, cache_for):
    put(store)
    assert cache_for("phc_other").get_flag_definitions() is None
    assert cache_for("phc_other").should_fetch_flag_definitions()


def test_the_database_does_not_get_the_projects_key(store, cache_for):
    worker = cache_for("phc_secretive")
    worker.should_fetch_flag_definitions()
    worker.on_flag_definitions_received(BETA)
    assert b"secretive" not in store.path.read_bytes()


# --- outages ----------------------------------------------------------------------------------------------------------


def test_a_download_that_failed_makes_the_database_serve_while_posthog_is_left_alone(store, clock, cache_for):
    put(store, at=900.0)
    worker = cache_for()
    worker.should_fetch_flag_definitions()
    worker.get_flag_definitions()
    assert not worker.is_stale
    clock.now += 30
    assert worker.should_fetch_flag_definitions()  # and the SDK hears nothing good
    clock.now += 30
    assert not worker.should_fetch_flag_definitions()
    assert worker.get_flag_definitions()["flags"] == BETA["flags"]
    assert worker.is_stale
    assert worker.age_s == clock.now - 900


def test_after_the_pause_posthog_is_tried_again_and_its_answer_ends_the_outage(store, clock, cache_for):
    put(store)
    worker = cache_for()
    worker.should_fetch_flag_definitions()
    worker.get_flag_definitions()
    tries = []
    for _ in range(5):
        clock.now += 30
        tries.append(worker.should_fetch_flag_definitions())
    assert tries.count(True) >= 2
    assert tries.count(False) >= 2
    worker.on_flag_definitions_received(BETA)
    assert not worker.is_stale
    assert worker.age_s is None


def test_not_modified_is_not_taken_for_a_failure(store, clock, cache_for):
    worker = cache_for()
    worker.should_fetch_flag_definitions()
    worker.on_flag_definitions_received(BETA)
    for _ in range(5):
        clock.now += 30
        assert worker.should_fetch_flag_definitions()  # each answered with 304, of which the SDK says nothing


def test_a_process_that_starts_in_an_outage_evaluates_and_says_how_old_that_is(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    an_hour_ago = datetime.now(timezone.utc).timestamp() - 3600
    put(store, at=an_hour_ago)
    definitions = FlagDefinitionCache(store, "phc_test")
    client = new_client(local=True, flag_definition_cache_provider=definitions)
    chain = FlagChain(client, definitions=definitions, deadline=10)
    with receiver.fail("all", reset=True):
        assert chain.answer("beta", USER).source == "posthog_local"  # nothing has failed so far
        client.load_feature_flags()  # what the SDK's poller does
        client.load_feature_flags()
        answer = chain.answer("beta", USER)
    assert (answer.value, answer.source, answer.reason) == (True, "cache", "stale")
    assert 3590 <= answer.stale_s <= 3700


@pytest.mark.parametrize("status", [401, 402])
def test_definitions_that_posthog_takes_back_are_restored_from_the_database(receiver, new_client, store, status):
    receiver.set_flags([flag("beta")])
    definitions = FlagDefinitionCache(store, "phc_test")
    client = new_client(local=True, flag_definition_cache_provider=definitions)
    chain = FlagChain(client, definitions=definitions, deadline=10, recorders=())
    assert chain.answer("beta", USER).source == "posthog_local"
    with receiver.fail("all", status=status):
        client.load_feature_flags()  # over quota, or with a key that is refused, the SDK forgets all flags
        assert client.feature_flags == []
        chain.answer("beta", USER)  # begins to restore them
        chain.posthog._load.result(10)
        answer = chain.answer("beta", Subject("another"))
    assert (answer.value, answer.source) == (True, "cache")


def test_a_project_that_has_no_flags_is_not_restored(receiver, new_client, store):
    definitions = FlagDefinitionCache(store, "phc_test")
    client = new_client(local=True, flag_definition_cache_provider=definitions)
    chain = FlagChain(client, definitions=definitions, deadline=10)
    assert chain.answer("beta", USER).error == "flag_missing"
    assert not definitions.hold(60)
    assert not definitions.is_stale


def test_without_definitions_at_all_posthog_is_asked_whoever_leads(cache_for):
    leader, other = cache_for(), cache_for()
    assert leader.should_fetch_flag_definitions()
    assert other.should_fetch_flag_definitions()


def test_a_database_that_is_away_has_the_sdk_ask_posthog(receiver, new_client, store, monkeypatch):
    receiver.set_flags([flag("beta")])

    def away(project: str) -> None:
        raise FlagStoreError("away")

    monkeypatch.setattr(store, "definitions", away)
    definitions = FlagDefinitionCache(store, "phc_test")
    client = new_client(local=True, flag_definition_cache_provider=definitions)
    assert FlagChain(client, definitions=definitions, deadline=10).answer("beta", USER).source == "posthog_local"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_is_another_worker(store, cache_for):
    put(store)
    parent = cache_for()
    parent.get_flag_definitions()
    assert parent.should_fetch_flag_definitions()
    pid = os.fork()
    if pid == 0:
        os._exit(int(parent.should_fetch_flag_definitions()))  # the parent leads
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_store_of_a_path_is_the_same_for_all(store):
    put(store)
    other = SqliteFlagStore(store.path)
    assert FlagDefinitionCache(other, "phc_test").get_flag_definitions()["flags"] == BETA["flags"]
