"""Servers that are killed, lose their data, hang or answer into the void: what is still admitted, what is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from processes import A_LEASE_LATER, EVENT_NANO, TAKEN_FOR_AWAY, Town, events
from proxy import Proxy
from servers import KillableServer

LIMIT = 1_000
ALLOWANCE = LIMIT // 100
"""Events that a process may spend without lease and ledger."""
REBUILT = 6
"""Seconds after which a ledger that has lost data lends again."""

StartServer = Callable[..., KillableServer]
Found = Callable[[str], Town]


# --- killed, and started again ---------------------------------------------------------------------------------------


def test_a_server_that_lost_everything_is_told_everything_by_those_who_live(
    start_server: StartServer, found: Found
) -> None:
    server = start_server()
    town = found(server.url)
    first, second = town.start(events(LIMIT)), town.start(events(LIMIT))
    assert (first.spend(300), second.spend(200)) == (300, 200)
    for spender in (first, second):
        spender.ask("flush")

    server.kill()
    server.start()
    for spender in (first, second):
        spender.ask("catch_up")

    assert town.used() == 500
    assert town.committed() == 500 * EVENT_NANO
    town.times.pass_(REBUILT)
    assert first.spend(2 * LIMIT) + second.spend(2 * LIMIT) == 500


def test_who_has_nothing_to_say_speaks_up_before_a_server_that_lost_everything_lends_again(
    start_server: StartServer, found: Found
) -> None:
    server = start_server()
    town = found(server.url)
    idle = town.start(events(LIMIT), options={"flush_interval": 0.02})
    assert idle.spend(900) == 900
    for _ in range(4):
        idle.ask("flush")  # it returns its lease, and falls silent
    assert town.record().leased == 0
    server.kill()
    server.start()
    busy = town.start(events(LIMIT))

    town.times.pass_(4.5)  # the idle process notices by itself, and begins the five seconds in which nothing is lent
    while town.used() < 900:
        pass
    assert busy.spend(10) == 0
    town.times.pass_(REBUILT)

    assert busy.spend(2 * LIMIT) == 100


def test_what_was_spent_by_processes_that_ended_is_all_that_a_server_without_data_forgets(
    start_server: StartServer, found: Found
) -> None:
    server = start_server()
    town = found(server.url)
    ended, living = town.start(events(LIMIT)), town.start(events(LIMIT))
    assert (ended.spend(300), living.spend(100)) == (300, 100)
    ended.end()
    living.ask("flush")

    server.kill()
    server.start()
    living.ask("catch_up")
    town.times.pass_(REBUILT)
    rest = living.spend(2 * LIMIT)

    assert 300 + 100 + rest - LIMIT == 300  # exceeded by what the ended process had spent, and by nothing else


def test_a_server_with_an_append_only_file_forgets_nothing_when_it_is_killed(
    start_server: StartServer, found: Found
) -> None:
    server = start_server(persistent=True)
    town = found(server.url)
    ended, living = town.start(events(LIMIT)), town.start(events(LIMIT))
    assert (ended.spend(300), living.spend(100)) == (300, 100)
    ended.end()
    living.ask("flush")
    before = town.record()

    server.kill()
    server.start()

    assert town.record() == before
    living.ask("catch_up")
    assert living.spend(2 * LIMIT) == 600
    living.ask("flush")
    assert town.committed() == LIMIT * EVENT_NANO


def test_a_script_flush_is_not_noticed(start_server: StartServer, found: Found) -> None:
    server = start_server()
    town = found(server.url)
    spender = town.start(events(LIMIT))
    assert spender.spend(100) == 100
    spender.ask("flush")

    with server.client() as client:
        client.script_flush()

    assert spender.spend(2 * LIMIT) == LIMIT - 100
    assert spender.ask("flush")
    assert spender.ask("numbers")["errors"] == 0
    assert town.committed() == LIMIT * EVENT_NANO


# --- away ------------------------------------------------------------------------------------------------------------


def test_enforced_exceeds_a_spent_budget_by_one_allowance_per_process_at_most(
    start_server: StartServer, found: Found
) -> None:
    server = start_server(persistent=True)
    town = found(server.url)
    spenders = [town.start(events(LIMIT)) for _ in range(3)]
    assert sum(spender.spend(LIMIT) for spender in spenders) == LIMIT
    for spender in spenders:
        spender.ask("flush")
    server.stop()
    town.times.pass_(A_LEASE_LATER)
    assert [spender.spend(10) for spender in spenders] == [0] * 3  # it may be busy
    town.times.pass_(TAKEN_FOR_AWAY)

    assert [spender.spend(2 * LIMIT) for spender in spenders] == [ALLOWANCE] * 3
    assert {spender.ask("refused_for", "checkout") for spender in spenders} == {"ledger_unreachable"}

    server.start()
    for spender in spenders:
        spender.ask("catch_up")
        assert spender.spend(10) == 0
    assert town.committed() == (LIMIT + 3 * ALLOWANCE) * EVENT_NANO


@pytest.mark.parametrize(("policy", "spent"), [("advisory", 100), ("strict", 0)])
def test_advisory_goes_on_and_strict_stops_when_a_server_refuses_connections(
    start_server: StartServer, found: Found, policy: str, spent: int
) -> None:
    server = start_server(persistent=True)
    town = found(server.url)
    spender = town.start(events(LIMIT), policy=policy)
    assert spender.spend(10) == 10
    spender.ask("flush")
    server.stop()
    town.times.pass_(A_LEASE_LATER)

    assert spender.spend(100) == spent

    server.start()
    spender.ask("catch_up")
    assert town.committed() == (10 + spent) * EVENT_NANO


@pytest.mark.parametrize("policy", ["advisory", "enforced", "strict"])
def test_no_call_waits_for_a_server_that_accepts_and_never_answers(
    start_server: StartServer, found: Found, proxies: list[Proxy], policy: str
) -> None:
    server = start_server()
    proxies.append(Proxy(server.socket))
    proxies[0].hold_replies = True
    town = found(f"{proxies[0].url}?socket_timeout=60")
    spender = town.start(events(LIMIT), policy=policy, options={"wait": 0.05})

    longest = spender.ask("longest_wait", 1_000, "checkout")

    assert longest < 20  # a call that waited for the answer would take 60 seconds, and a thousand an hour
    spender.kill()


def test_a_message_that_a_frozen_server_executes_later_is_counted_once(start_server: StartServer, found: Found) -> None:
    server = start_server()
    town = found(server.url)
    spender = town.start(events(LIMIT))
    assert spender.spend(100) == 100
    spender.ask("flush")
    assert spender.spend(3) == 3
    server.pause()
    assert not spender.ask("flush")  # it has been sent, and has timed out

    server.resume()
    spender.ask("catch_up")

    assert town.used() == 103
    assert town.committed() == 103 * EVENT_NANO


def test_answers_that_are_cut_off_count_nothing_twice(
    start_server: StartServer, found: Found, proxies: list[Proxy]
) -> None:
    server = start_server()
    proxies.append(Proxy(server.socket))
    town = found(server.url)
    spender = town.start(events(LIMIT), ledger=proxies[0].url)
    assert spender.spend(100) == 100
    spender.ask("flush")
    assert spender.spend(5) == 5

    proxies[0].cut_replies = True
    assert not spender.ask("flush")
    assert town.used() == 105  # the server has heard it
    proxies[0].cut_replies = False
    spender.ask("catch_up")

    assert spender.spend(2 * LIMIT) == LIMIT - 105
    spender.ask("flush")
    assert town.used() == LIMIT
    assert town.committed() == LIMIT * EVENT_NANO


def test_an_answer_that_comes_late_lends_nothing_that_has_expired(
    start_server: StartServer, found: Found, proxies: list[Proxy]
) -> None:
    server = start_server()
    proxies.append(Proxy(server.socket))
    town = found(server.url)
    late = town.start(events(LIMIT), ledger=proxies[0].url, options={"outage_percent": 0})
    assert late.spend(1) == 1
    for _ in range(4):
        late.ask("flush")  # it returns its lease
    assert town.record().leased == 0
    proxies[0].cut_replies = True
    assert late.spend(1) == 0  # the server has lent it something, and it does not know
    assert town.record().leased > 0
    town.times.pass_(A_LEASE_LATER)
    other = town.start(events(LIMIT))
    assert other.spend(2 * LIMIT) == LIMIT - 1
    other.ask("flush")

    proxies[0].cut_replies = False
    late.ask("catch_up")

    assert late.spend(2 * LIMIT) == 0
    assert town.committed() == LIMIT * EVENT_NANO


# --- a ledger that is there all the time -----------------------------------------------------------------------------


def test_a_limit_that_is_lowered_is_exceeded_by_outstanding_leases_at_most(any_town: Town) -> None:
    first, second = any_town.start(events(LIMIT)), any_town.start(events(LIMIT))
    assert (first.spend(400), second.spend(400)) == (400, 400)
    for spender in (first, second):
        spender.ask("flush")
    outstanding = any_town.record().leased

    any_town.ledger.set_limit("daily", 500 * EVENT_NANO, actor="test", reason="")
    for spender in (first, second):
        spender.spend(2 * LIMIT)
        spender.ask("flush")

    spent = any_town.committed()
    assert spent <= 800 * EVENT_NANO + outstanding
    assert any_town.record().leased == 0


def test_a_lease_is_used_up_without_a_word_to_the_ledger(any_town: Town) -> None:
    spender = any_town.start(events(100 * LIMIT))
    spender.spend(10)
    spender.ask("flush")
    before = spender.ask("numbers")
    within_lease = before["left"]["daily"] // EVENT_NANO

    assert spender.spend(within_lease) == within_lease > 900

    assert spender.ask("numbers")["round_trips"] == before["round_trips"]


def test_refused_calls_do_not_ask_the_ledger_again(any_town: Town) -> None:
    spender = any_town.start(events(LIMIT))
    assert spender.spend(LIMIT) == LIMIT
    assert spender.spend(1) == 0
    before = spender.ask("numbers")["round_trips"]

    assert spender.spend(5_000) == 0

    # A refusal stands for a quarter of a second, then for longer and longer.
    assert spender.ask("numbers")["round_trips"] <= before + 5


def test_an_alert_is_raised_once_by_a_fleet(any_town: Town) -> None:
    spenders = [any_town.start(events(LIMIT), policy="advisory") for _ in range(3)]
    for _ in range(4):
        for spender in spenders:
            spender.spend(100)
            spender.ask("flush")

    alerts = [alert for spender in spenders for alert in spender.ask("numbers")["alerts"]]

    assert sorted(alerts) == [["daily", 8_000], ["daily", 10_000]]  # from 90 to 100 percent at once: the higher one
