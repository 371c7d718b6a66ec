"""Who answers, in which order, and what an outage changes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags import FlagChain, FlagRow, Subject
from genops_otel_posthog.flags.breaker import Breaker

from .conftest import flag

USER = Subject("u1", "acme")


def outcome(answer):
    return answer.value, answer.source, answer.error


# --- in which order -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-14", "S3-59")
def test_posthogs_definitions_are_evaluated_here(receiver, new_client, store):
    receiver.set_flags([flag("beta", version=5, id=7)])
    store.put(FlagRow("beta", enabled=False))
    answer = FlagChain(new_client(local=True), store, deadline=10).answer("beta", USER)
    assert outcome(answer) == (True, "posthog_local", None)
    assert (answer.version, answer.flag_id) == (5, 7)
    assert receiver.flag_requests("flags") == []


def test_what_cannot_be_evaluated_here_is_asked_of_the_server(receiver, new_client, store):
    conditions = [{"properties": [{"key": "plan", "type": "person", "value": ["gold"], "operator": "is_not"}]}]
    receiver.set_flags([flag("beta", filters={"groups": conditions})])
    answer = FlagChain(new_client(local=True), store, deadline=10).answer("beta", USER)
    assert answer.source == "posthog_remote"


def test_without_a_secret_key_the_server_is_asked(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    store.put(FlagRow("beta", enabled=False))
    answer = FlagChain(new_client(), store, deadline=10).answer("beta", USER)
    assert outcome(answer) == (True, "posthog_remote", None)


def test_off_at_posthog_is_off_whatever_the_database_says(receiver, new_client, store):
    receiver.set_flags([flag("beta", rollout=0)])
    store.put(FlagRow("beta"))
    assert FlagChain(new_client(), store, deadline=10).answer("beta", USER).value is False


def test_a_flag_that_posthog_does_not_know_is_the_databases(new_client, store):
    store.put(FlagRow("beta"))
    answer = FlagChain(new_client(), store, deadline=10).answer("beta", USER)
    assert outcome(answer) == (True, "database", "flag_missing")


@pytest.mark.parametrize("default", [True, False, "control"])
def test_what_nobody_knows_is_the_coded_default(new_client, store, default):
    answer = FlagChain(new_client(), store, deadline=10).answer("beta", USER, default)
    assert outcome(answer) == (default, "default", "flag_missing")
    assert answer.reason == "default"
    assert not answer.is_known


def test_with_nothing_at_all_the_default_stands():
    assert outcome(FlagChain().answer("beta", USER, True)) == (True, "default", "flag_missing")


def test_in_override_mode_a_row_goes_before_posthog(receiver, new_client, store):
    receiver.set_flags([flag("beta"), flag("other")])
    store.put(FlagRow("beta", enabled=False))
    chain = FlagChain(new_client(), store, mode="override", deadline=10)
    assert outcome(chain.answer("beta", USER)) == (False, "database", None)
    assert receiver.flag_requests() == []
    assert chain.answer("other", USER).source == "posthog_remote"


def test_in_override_mode_a_row_needs_no_definitions(receiver, new_client, store):
    store.put(FlagRow("beta"))
    with receiver.fail("definitions", delay=1):
        chain = FlagChain(new_client(local=True), store, mode="override", deadline=10)
        assert chain.answer("beta", USER).source == "database"
        assert chain.posthog is not None
        assert not chain.posthog.is_prepared  # nobody has waited for them


# --- what it costs --------------------------------------------------------------------------------------------------


def test_an_answer_of_the_server_is_used_again_for_half_a_minute(receiver, new_client, clock):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10, clock=clock)
    sources = [chain.answer("beta", USER).source]
    clock.now += 30
    again = chain.answer("beta", USER)
    sources.append(again.source)
    clock.now += 1
    sources.append(chain.answer("beta", USER).source)
    assert sources == ["posthog_remote", "cache", "posthog_remote"]
    assert (again.stale_s, again.reason) == (30, "cached")
    assert len(receiver.flag_requests("flags")) == 2


def test_a_flag_that_does_not_exist_is_not_asked_for_each_user(receiver, new_client):
    chain = FlagChain(new_client(), deadline=10)
    for number in range(20):
        chain.answer("beta", Subject(f"u{number}"))
    assert len(receiver.flag_requests("flags")) == 1


def test_subjects_with_other_groups_or_properties_have_answers_of_their_own(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    subjects = [
        Subject("u1"),
        Subject("u1", "acme"),
        Subject("u1", groups={"company": "x"}),
        Subject("u1", person_properties={"age": 1}),
        Subject("u1", person_properties={"age": "1"}),
        Subject("u1", person_properties={"age": True}),
    ]
    for _ in range(2):
        for subject in subjects:
            chain.answer("beta", subject)
    assert len(receiver.flag_requests("flags")) == len(subjects)


def test_properties_in_another_order_are_the_same(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    chain.answer("beta", Subject("u1", person_properties={"a": [1, {"x": 2}], "b": 2}))
    chain.answer("beta", Subject("u1", person_properties={"b": 2, "a": [1, {"x": 2}]}))
    assert len(receiver.flag_requests("flags")) == 1


def test_the_answers_that_are_kept_are_limited_in_number(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    assert chain.posthog is not None
    chain.posthog.remembered._limit = 2
    for user in ("a", "b", "a", "c", "a", "b"):
        chain.answer("beta", Subject(user))
    assert [request.distinct_id for request in receiver.flag_requests("flags")] == ["a", "b", "c", "b"]


# --- outages --------------------------------------------------------------------------------------------------------

OUTAGES = {
    "down": {"reset": True},
    "failing": {"status": 500},
    "over quota": {"quota": ["feature_flag_requests"]},
    "unpaid": {"status": 402},
    "refusing the key": {"status": 401},
    "talking nonsense": {"status": 200, "body": "<html>"},
}


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.requirement("S3-15", "S3-60")
def test_while_posthog_is_away_the_database_answers(receiver, new_client, store, fault):
    receiver.set_flags([flag("beta", rollout=0)])
    store.put(FlagRow("beta", payload="row"))
    with receiver.fail("all", **fault):
        answer = FlagChain(new_client(), store, deadline=10).answer("beta", USER)
    assert (answer.value, answer.source, answer.payload) == (True, "database", "row")
    assert answer.error is not None


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
def test_while_posthog_is_away_and_there_is_no_row_the_default_stands_with_the_reason(receiver, new_client, fault):
    with receiver.fail("all", **fault):
        answer = FlagChain(new_client(), deadline=10).answer("beta", USER, True)
    assert (answer.value, answer.source, answer.reason) == (True, "default", "error")
    assert answer.error not in (None, "flag_missing")


def test_nobody_waits_for_a_slow_posthog_beyond_the_deadline(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    store.put(FlagRow("beta", payload="row"))
    with receiver.fail("flags", hang=True):  # for ever, so that the answer can come from nowhere else
        answer = FlagChain(new_client(), store, deadline=0.05).answer("beta", USER)
    assert outcome(answer) == (True, "database", "timeout")


def test_nobody_waits_for_definitions_beyond_the_deadline(receiver, new_client, store):
    store.put(FlagRow("beta"))
    with receiver.fail("all", delay=1):
        chain = FlagChain(new_client(local=True), store, deadline=0.05)
        assert chain.answer("beta", USER).source == "database"
        assert chain.posthog is not None
        assert not chain.posthog.is_prepared


def test_after_three_failures_posthog_is_left_alone_until_a_probe(receiver, new_client, clock):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10, breaker=Breaker(failures=3, pause=5, clock=clock), clock=clock)
    with receiver.fail("flags", status=500) as fault:
        errors = [chain.answer("beta", Subject(f"u{number}")).error for number in range(5)]
        assert errors == ["api_error_500"] * 3 + ["breaker_open"] * 2
        assert fault.struck == 3
    assert chain.answer("beta", USER).error == "breaker_open"
    clock.now += 5
    assert outcome(chain.answer("beta", USER)) == (True, "posthog_remote", None)


def test_over_quota_posthog_is_left_alone_at_once(receiver, new_client):
    chain = FlagChain(new_client(), deadline=10)
    with receiver.fail("flags", quota=["feature_flag_requests"]) as fault:
        errors = [chain.answer("beta", Subject(f"u{number}")).error for number in range(3)]
        assert fault.struck == 1
    assert errors == ["quota_limited", "breaker_open", "breaker_open"]


def test_an_answer_that_came_too_late_is_there_the_next_time(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    assert chain.posthog is not None
    request = chain.posthog.ask("beta", USER)
    request.give_up()
    request.future.result(10)
    assert outcome(chain.answer("beta", USER)) == (True, "cache", None)


def test_giving_up_counts_once_even_if_the_request_fails_later(receiver, new_client, clock):
    chain = FlagChain(new_client(), deadline=10, breaker=Breaker(failures=2, clock=clock))
    assert chain.posthog is not None
    with receiver.fail("flags", status=500):
        request = chain.posthog.ask("beta", USER)
        request.give_up()
        request.future.result(10)
    assert not chain.posthog.breaker.is_open


def test_in_an_outage_a_row_goes_before_posthogs_last_answer_and_that_before_the_default(
    receiver, new_client, store, clock
):
    receiver.set_flags([flag("beta"), flag("gamma")])
    store.put(FlagRow("beta", enabled=False))
    chain = FlagChain(new_client(), store, deadline=10, clock=clock)
    for key in ("beta", "gamma"):
        assert chain.answer(key, USER).source == "posthog_remote"
    clock.now += 600
    with receiver.fail("flags", status=500):
        assert outcome(chain.answer("beta", USER)) == (False, "database", "api_error_500")
        old = chain.answer("gamma", USER)
        assert outcome(old) == (True, "cache", "api_error_500")
        assert (old.reason, old.stale_s) == ("stale", 600)
        clock.now += 3600
        assert chain.answer("gamma", USER).source == "default"


def test_definitions_that_were_loaded_outlive_posthog(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(local=True), store, deadline=10)
    chain.answer("beta", USER)
    with receiver.fail("all", reset=True):
        assert chain.answer("beta", Subject("another")).source == "posthog_local"


def test_when_all_workers_hang_nobody_queues(receiver, new_client, store):
    chain = FlagChain(new_client(), store, deadline=0.05)
    assert chain.posthog is not None
    release = threading.Event()
    while chain.posthog._workers.submit(release.wait) is not None:
        pass
    assert chain.answer("beta", USER).error == "busy"
    release.set()


def test_a_client_that_is_disabled_is_not_asked(receiver, new_client, store):
    store.put(FlagRow("beta"))
    answer = FlagChain(new_client(disabled=True), store, deadline=10).answer("beta", USER)
    assert outcome(answer) == (True, "database", "disabled")
    assert receiver.flag_requests() == []


# --- other ways to ask ----------------------------------------------------------------------------------------------


async def test_in_asyncio_the_loop_goes_on_while_posthog_is_asked(receiver, new_client, store):
    store.put(FlagRow("beta"))
    chain, went_on = FlagChain(new_client(), store, deadline=0.2), asyncio.Event()
    with receiver.fail("flags", hang=True):
        asking = asyncio.create_task(chain.answer_async("beta", USER))
        asyncio.get_running_loop().call_soon(went_on.set)
        await went_on.wait()
        assert not asking.done()
        assert outcome(await asking) == (True, "database", "timeout")


async def test_in_asyncio_the_answers_are_the_same(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(local=True), store, deadline=10)
    assert (await chain.answer_async("beta", USER)).source == "posthog_local"
    assert (await chain.answer_async("gamma", USER, "x")).value == "x"


async def test_in_asyncio_who_is_cancelled_takes_nothing_along(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    with receiver.fail("flags", delay=0.2):
        asking = asyncio.create_task(chain.answer_async("beta", USER))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert (await chain.answer_async("beta", USER)).value is True


def test_without_waiting_nothing_is_asked_of_the_server(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    store.put(FlagRow("beta", payload="row"))
    answer = FlagChain(new_client(), store, deadline=10).answer_now("beta", USER)
    assert outcome(answer) == (True, "database", "not_asked")
    assert receiver.flag_requests() == []


def test_without_waiting_the_server_may_be_asked_for_the_next_time(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10)
    assert outcome(chain.answer_now("beta", USER, ask=True)) == (False, "default", "not_waited_for")
    receiver.wait_for_flag_requests(1)
    assert chain.answer("beta", USER).value is True
    assert chain.answer_now("beta", USER).source == "cache"


def test_a_chain_that_is_prepared_evaluates_locally_without_waiting(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(local=True), store)
    assert chain.prepare(10)
    assert chain.answer_now("beta", USER).source == "posthog_local"


def test_a_chain_that_cannot_be_prepared_says_so(receiver, new_client):
    with receiver.fail("definitions", status=500):
        assert not FlagChain(new_client(local=True)).prepare(10)


def test_several_flags_are_a_snapshot(receiver, new_client, store):
    receiver.set_flags([flag("beta")])
    store.put(FlagRow("gamma", variant="x"))
    chain = FlagChain(new_client(local=True), store)
    chain.prepare(10)
    assert chain.known_keys == {"beta", "gamma"}
    found = chain.answers(["beta", "gamma", "delta"], USER)
    assert {key: answer.value for key, answer in found.items()} == {"beta": True, "gamma": "x", "delta": False}


@pytest.mark.parametrize("deadline", [0, -1, float("nan")])
def test_a_deadline_that_is_none_is_refused(deadline):
    with pytest.raises(GenOpsConfigurationError, match="a positive number of seconds"):
        FlagChain(deadline=deadline)


def test_what_is_no_synchronous_client_is_refused():
    with pytest.raises(GenOpsConfigurationError, match=r"not of a object; in asyncio use"):
        FlagChain(object())
