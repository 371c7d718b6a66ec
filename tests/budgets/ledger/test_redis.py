"""What only a ledger on a server has: addresses, faults of the server and of the wire, keys, and Lua's numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from conversation import A_DAY, DAY, MONTH, NEXT_DAY, Clock, Process, ask, counted
from proxy import Proxy
from redis.crc import key_slot
from servers import KillableServer

from genops_otel_posthog.budgets.ledger.protocol import (
    CostTable,
    LedgerCorrupt,
    LedgerUnavailable,
    Override,
    SyncRequest,
    Threshold,
)
from genops_otel_posthog.budgets.ledger.redis import RedisLedger
from genops_otel_posthog.errors import GenOpsConfigurationError

PRICED = {"events": CostTable((0,), (0,), (1,))}  # a nano-USD each
LARGEST = 2**53 - 1

StartServer = Callable[..., KillableServer]


@pytest.fixture
def server(start_server: StartServer) -> KillableServer:
    """A server of the test's own, without persistence."""
    return start_server()


def open_ledger(server: KillableServer, clock: Clock | None = None, **settings: Any) -> RedisLedger:
    return RedisLedger.from_url(server.url, clock=clock, **settings)


def spending(process: Process, units: int) -> SyncRequest:
    return process.request(ask(want=100, need=1), counted=(counted(units, "b"),), costs=PRICED, meters=("events",))


def a_full_ledger(ledger: RedisLedger) -> None:
    """Leaves something under every key that a ledger has."""
    ledger.set_limit("b", 1_000, actor="me", reason="")
    ledger.add_override(Override("1", "b", 1, 0, 2**40, "", "me"))
    alice = Process(ledger, "alice")
    alice.send(alice.request(ask(want=100, thresholds=(Threshold(8_000),)), counted=(counted(900, "b"),), costs=PRICED))
    bob = Process(ledger, "bob")
    bob.say(ask("a:b", want=100))


class TestAnAddress:
    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("redis://db.example:6380/2", "redis://db.example:6380/2"),
            ("rediss://db.example", "rediss://db.example:6379"),
            ("valkey://db.example/1?namespace=acme", "valkey://db.example:6379/1"),
            ("valkeys://db.example", "valkeys://db.example:6379"),
            ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock"),
            ("redis://me:se%2Fcret@db.example", "redis://db.example:6379"),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
        ],
    )
    def test_is_a_server_of_redis_or_valkey_and_is_shown_without_its_password(self, url: str, place: str):
        assert RedisLedger.from_url(url).place == place

    @pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
    def test_of_an_encrypted_server_is_connected_to_with_tls(self, scheme: str):
        ledger = RedisLedger.from_url(f"{scheme}://127.0.0.1:1")
        assert ledger._server.client.connection_pool.connection_class is redis.SSLConnection

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("http://db.example", "does not begin with redis://, valkey://"),
            ("redis://db.example?namespace=a b", "namespace 'a b' is not made of"),
            ("redis://db.example?namespace={a}", "namespace '{a}' is not made of"),
            ("redis://db.example?patience=3", "option that redis-py does not take.*patience"),
            ("redis://db.example?socket_timeout=soon", "option that redis-py does not take.*socket_timeout"),
            ("redis://db.example?cluster=maybe", "cluster option that is neither true nor false"),
            ("redis://:se#cret@db.example:6379", "has a #|is not a URL"),
            ("redis://:se/cret@db.example:6379", "is not a URL"),
            ("redis://db.example:port", "is not a URL"),
        ],
    )
    def test_that_cannot_be_meant_is_refused_before_it_is_used(self, url: str, why: str):
        with pytest.raises(GenOpsConfigurationError, match=why) as refused:
            RedisLedger.from_url(url)
        assert "cret" not in str(refused.value)

    def test_may_set_ledgers_on_one_server_apart(self, redis_url: str):
        Process(RedisLedger.from_url(redis_url), "alice").say(counted=(counted(5),))
        other = RedisLedger.from_url(redis_url + "-other")
        assert other.usage(MONTH) == {}
        other.close()


class TestAClient:
    @pytest.mark.parametrize("settings", [{}, {"decode_responses": True}, {"protocol": 3}], ids=str)
    def test_of_the_application_may_be_used(self, server: KillableServer, clock: Clock, settings: dict[str, Any]):
        with server.client(**settings) as client:
            ledger = RedisLedger(client, "acme", clock=clock)
            alice = Process(ledger, "alice")
            assert alice.send(spending(alice, 5)).usage == {"events": 5}
            assert [entry.kind for entry in ledger.journal()] == ["commit", "grant"]
            ledger.close()
            assert client.ping()

    def test_of_valkey_py_may_be_used(self, server: KillableServer, clock: Clock):
        valkey = pytest.importorskip("valkey")
        with valkey.Valkey(unix_socket_path=str(server.socket)) as client:
            ledger = RedisLedger(client, clock=clock)
            alice = Process(ledger, "alice")
            assert alice.send(spending(alice, 5)).usage == {"events": 5}
            server.kill()
            with pytest.raises(LedgerUnavailable):
                ledger.now_ms()

    def test_of_the_application_is_named_in_errors_by_its_address(self):
        with redis.Redis("127.0.0.1", 1, password="secret") as client, pytest.raises(LedgerUnavailable) as failure:
            RedisLedger(client).now_ms()
        assert "127.0.0.1:1" in str(failure.value)
        assert "secret" not in str(failure.value)


class TestAServerThat:
    def test_is_not_there_is_unavailable(self):
        with pytest.raises(LedgerUnavailable, match=r"redis://127\.0\.0\.1:1 cannot be used: .*refused") as failure:
            RedisLedger.from_url("redis://:secret@127.0.0.1:1").now_ms()
        assert "secret" not in str(failure.value)

    def test_wants_another_password_is_unavailable(self, start_server: StartServer):
        server = start_server(tcp=True, options=("--requirepass", "right"))
        ledger = RedisLedger.from_url(f"redis://:wrong@127.0.0.1:{server.port}")
        with pytest.raises(LedgerUnavailable, match=r"(?i)invalid") as failure:
            ledger.now_ms()
        assert "wrong" not in str(failure.value)
        ledger.close()

    def test_has_lost_its_scripts_gets_them_again(self, server: KillableServer, clock: Clock):
        alice = Process(open_ledger(server, clock), "alice")
        alice.send(spending(alice, 5))
        with server.client() as client:
            client.script_flush()
        assert alice.send(spending(alice, 7)).usage == {"events": 7}
        alice.ledger.close()

    def test_restarts_empty_says_that_it_has_forgotten_and_counts_everything_again(
        self, server: KillableServer, clock: Clock
    ):
        alice = Process(open_ledger(server, clock), "alice")
        for units in (5, 9):
            alice.send(spending(alice, units))
        server.kill()
        with pytest.raises(LedgerUnavailable):
            alice.ledger.sync(spending(alice, 12))
        server.start()
        request = spending(alice, 12)
        assert alice.ledger.sync(request).forgotten
        reply = alice.send(alice.request(*request.asks, counted=request.counted, meters=("events",), everything=True))
        assert reply.usage == {"events": 12}
        assert reply.standings[0].granted == 0  # others may not have said yet what they have spent
        clock.advance(5_000)
        assert alice.send(spending(alice, 12)).standings[0].granted == 100
        alice.ledger.close()

    @pytest.mark.parametrize("end", ["kill", "stop"])
    def test_restarts_with_its_data_goes_on_where_it_was(self, start_server: StartServer, clock: Clock, end: str):
        server = start_server(persistent=True)
        alice = Process(open_ledger(server, clock), "alice")
        request = spending(alice, 5)
        reply = alice.send(request)
        getattr(server, end)()
        with pytest.raises(LedgerUnavailable):
            alice.ledger.sync(request)
        server.start()
        assert alice.send(request) == reply
        assert alice.send(spending(alice, 7)).usage == {"events": 7}
        alice.ledger.close()

    def test_stands_still_is_unavailable_and_counts_the_repeated_request_once(
        self, server: KillableServer, clock: Clock
    ):
        alice = Process(open_ledger(server, clock), "alice")
        alice.send(spending(alice, 5))
        server.pause()
        request = spending(alice, 7)
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            alice.ledger.sync(request)
        server.resume()  # and reads what had been sent
        assert alice.send(request).usage == {"events": 7}
        assert alice.ledger.periods()[0].committed == 7
        alice.ledger.close()

    def test_is_only_a_replica_is_unavailable_and_nothing_is_changed(self, server: KillableServer, clock: Clock):
        alice = Process(open_ledger(server, clock), "alice")
        alice.send(spending(alice, 5))
        request = spending(alice, 7)
        with server.client() as client:
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(LedgerUnavailable, match="read only replica"):
                alice.ledger.sync(request)
            with pytest.raises(LedgerUnavailable, match="read only replica"):
                alice.ledger.check_writable()
            client.replicaof("NO", "ONE")
        assert alice.send(request).usage == {"events": 7}
        alice.ledger.close()

    def test_is_full_is_unavailable_and_nothing_is_changed(self, server: KillableServer, clock: Clock):
        alice = Process(open_ledger(server, clock), "alice")
        alice.send(spending(alice, 5))
        with server.client() as client:
            before = contents(client)
            client.config_set("maxmemory", "1")
            with pytest.raises(LedgerUnavailable, match="maxmemory"):
                alice.ledger.sync(spending(alice, 7))
            with pytest.raises(LedgerUnavailable, match="maxmemory"):
                alice.ledger.check_writable()
            assert contents(client) == before
            client.config_set("maxmemory", "0")
        alice.ledger.close()

    @pytest.mark.parametrize(
        "refusal",
        [
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "NOPERM User default has no permissions to run the 'evalsha' command",
        ],
    )
    def test_refuses_is_unavailable_and_says_why(self, refusing_server: Callable[[str], str], refusal: str):
        ledger = RedisLedger.from_url(refusing_server(refusal))
        with pytest.raises(LedgerUnavailable) as failure:
            ledger.now_ms()
        assert refusal.partition(" ")[2][:20] in str(failure.value)
        ledger.close()

    def test_is_a_node_of_a_cluster_says_what_to_write(self, refusing_server: Callable[[str], str]):
        ledger = RedisLedger.from_url(refusing_server("MOVED 1234 127.0.0.1:7001"))
        with pytest.raises(LedgerUnavailable, match=r"add \?cluster=true to the URL"):
            ledger.now_ms()
        ledger.close()


class TestAWireThat:
    def test_is_cut_after_the_request_was_executed_counts_the_repeated_request_once(
        self, server: KillableServer, clock: Clock, proxies: list[Proxy]
    ):
        proxies.append(proxy := Proxy(server.socket))
        alice = Process(RedisLedger.from_url(proxy.url, clock=clock), "alice")
        alice.send(spending(alice, 5))
        proxy.cut_replies = True
        request = spending(alice, 7)
        with pytest.raises(LedgerUnavailable):
            alice.ledger.sync(request)
        proxy.cut_replies = False
        there = open_ledger(server, clock)
        assert there.usage(MONTH) == {"events": 7}  # it had been executed
        assert alice.send(request).usage == {"events": 7}
        assert there.periods()[0].committed == 7
        there.close()
        alice.ledger.close()

    def test_is_half_open_is_given_up_in_time(self, server: KillableServer, clock: Clock, proxies: list[Proxy]):
        proxies.append(proxy := Proxy(server.socket))
        proxy.hold_replies = True
        ledger = RedisLedger.from_url(proxy.url, clock=clock, timeout=0.05)
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            ledger.now_ms()
        ledger.close()


def contents(client: redis.Redis) -> dict[bytes, bytes]:
    """Everything that is stored, as the server would dump it."""
    return {key: client.dump(key) for key in client.scan_iter()}


class TestWhatIsStored:
    def test_as_another_kind_than_the_ledger_stores_is_corrupt_and_nothing_is_changed(
        self, server: KillableServer, clock: Clock
    ):
        ledger = open_ledger(server, clock)
        a_full_ledger(ledger)
        alice = Process(ledger, "alice")
        alice.sequence = alice.acknowledged = 1
        request = alice.request(  # lists a new budget and raises an alert: nothing is left alone
            ask(), ask("a:b", want=100), ask("new"), counted=(counted(1_100, "b"),), costs=PRICED, meters=("events",)
        )
        with server.client() as client:
            elsewhere = {b"process:bob"}  # not a matter of this request
            keys = [key for key in client.scan_iter() if key.partition(b"}:")[2] not in elsewhere]
            assert len(keys) == 16
            for key in keys:
                kept = client.dump(key)
                client.set(key, "something else")
                before = contents(client)
                with pytest.raises(LedgerCorrupt, match="not a ledger of this version, or is damaged"):
                    ledger.sync(request)
                assert contents(client) == before
                client.restore(key, 0, kept, replace=True)
        assert ledger.sync(request).usage == {"events": 1_100}
        ledger.close()

    def test_where_a_number_should_be_is_corrupt(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        alice = Process(ledger, "alice")
        alice.send(spending(alice, 5))
        with server.client() as client:
            client.hset("{gp:default}:period:b:d:2026-11-22", "committed", "a lot")
            with pytest.raises(LedgerCorrupt, match="a number is stored as a lot"):
                ledger.sync(spending(alice, 7))
        ledger.close()

    def test_by_a_newer_version_is_not_touched(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        a_full_ledger(ledger)
        with server.client() as client:
            client.hset("{gp:default}:ledger", "version", "2")
            before = contents(client)
            with pytest.raises(LedgerCorrupt, match="its format is 2, not 1"):
                Process(ledger, "carol").say(ask())
            with pytest.raises(LedgerCorrupt, match="its format is 2, not 1"):
                ledger.set_limit("b", 5, actor="me", reason="")
            assert contents(client) == before
        ledger.close()

    def test_lies_in_one_slot_of_a_cluster(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        a_full_ledger(ledger)
        with server.client() as client:
            keys = client.keys()
        assert {key_slot(key) for key in keys} == {key_slot(b"gp:default")}
        ledger.close()

    def test_of_a_period_is_kept_for_40_days_after_its_end(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        a_full_ledger(ledger)
        kept_ms = DAY.end_ms - clock.now_ms + 40 * A_DAY
        with server.client() as client:
            for key in client.keys("*}:period:*") + client.keys("*}:leases:*"):
                assert kept_ms - 60_000 < client.pttl(key) <= kept_ms
        ledger.close()

    def test_of_a_process_is_kept_until_what_it_counted_is_passed_over(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        a_full_ledger(ledger)
        with server.client() as client:
            for key in client.keys("*}:process:*") + client.keys("*}:counted:*") + client.keys("*}:usage:*"):
                assert client.pttl(key) > (31 + 40) * A_DAY
        ledger.close()

    def test_needs_no_key_that_only_the_server_could_know(self, server: KillableServer, clock: Clock):
        """Every key but those of periods whose leases expired elsewhere is declared: redirections can be trusted."""
        ledger = open_ledger(server, clock)
        with server.client() as client, client.monitor() as monitor:
            a_full_ledger(ledger)
            client.echo("the end")
            declared: set[str] = set()
            used: set[str] = set()
            for command in monitor.listen():
                words = command["command"].split(" ")
                if words[0] == "ECHO":
                    break
                if words[0] == "EVALSHA":
                    declared |= {word for word in words if word.startswith("{gp:default}:")}
                elif command["client_type"] == "lua":
                    used |= {word for word in words[1:2] if word.startswith("{gp:default}:")}
        assert used
        assert used <= declared
        ledger.close()


class TestNumbers:
    """A limit of Redis is what a double holds exactly, about nine million US dollars."""

    def test_up_to_2_to_the_53_are_exact(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        alice = Process(ledger, "alice")
        for units in (LARGEST - 12_345_678_901, LARGEST - 1):
            standing = alice.say(
                ask(limit=LARGEST, want=LARGEST), counted=(counted(units, "b"),), costs=PRICED, leaving=True
            ).standings[0]
            assert standing.committed == units
        standing = alice.standing(ask(limit=LARGEST, want=LARGEST))
        assert (standing.limit, standing.cap, standing.granted, standing.leased) == (LARGEST, LARGEST, 1, 1)
        assert ledger.usage(MONTH) == {"events": LARGEST - 1}
        assert ledger.periods()[0].committed == LARGEST - 1
        assert ledger.journal()[1].amount == LARGEST - 1 - (LARGEST - 12_345_678_901)
        ledger.close()

    @pytest.mark.parametrize("basis_points", [1, 3_333, 9_500, 9_999])
    @pytest.mark.parametrize("limit", [LARGEST, LARGEST - 1, 9_007_199_254_739_999, 2**52 + 1])
    def test_of_a_part_of_a_limit_are_exact(self, server: KillableServer, clock: Clock, limit: int, basis_points: int):
        ledger = open_ledger(server, clock)
        standing = Process(ledger, "alice").standing(ask(limit=limit, cap=basis_points, want=LARGEST))
        assert standing.cap == standing.granted == limit * basis_points // 10_000
        ledger.close()

    def test_beyond_stay_where_they_are(self, server: KillableServer, clock: Clock):
        ledger = open_ledger(server, clock)
        alice = Process(ledger, "alice")
        for units in (LARGEST - 5, LARGEST):
            alice.say(ask(), counted=(counted(units, "b"),), costs={"events": CostTable((0,), (0,), (3,))})
        assert ledger.periods()[0].committed == LARGEST
        ledger.close()

    def test_are_counted_by_what_they_differ_in_where_the_sums_are_large(self, server: KillableServer, clock: Clock):
        dear = {"events": CostTable((0,), (0,), (50_000,))}
        ledger = open_ledger(server, clock)
        alice = Process(ledger, "alice")
        used = 200_000_000_000  # 10^16 nano-USD in all: more than a double counts exactly
        reply = alice.say(
            ask(), counted=(counted(3, "b"),), costs=dear, usage_at_least={MONTH: {"events": used}}, meters=("events",)
        )
        assert reply.usage == {"events": used + 3}
        assert reply.standings[0].committed == 150_000
        ledger.close()


class TestACluster:
    @pytest.fixture
    def cluster(self, start_server: StartServer) -> KillableServer:
        """One node that has all slots."""
        server = start_server(tcp=True, options=("--cluster-enabled", "yes"))
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                time.sleep(0.05)  # the first two seconds it takes no part: nothing tells when they have passed
        return server

    def test_holds_a_ledger_that_its_url_says_is_there(self, cluster: KillableServer, clock: Clock):
        ledger = RedisLedger.from_url(f"{cluster.tcp_url}?cluster=true&namespace=acme", clock=clock, timeout=2)
        a_full_ledger(ledger)
        clock.advance(60_000)
        carol = Process(ledger, "carol")
        carol.say(ask(want=50), ask("a:b", windows=(NEXT_DAY,)))  # reaps in periods that it does not name
        assert [entry.kind for entry in ledger.journal(budget="b")][-2:] == ["reap", "grant"]
        assert ledger.usage(MONTH) == {"events": 900}
        ledger.close()

    def test_that_is_not_there_is_unavailable(self):
        ledger = RedisLedger.from_url("redis://:secret@127.0.0.1:1?cluster=true")
        with pytest.raises(LedgerUnavailable, match=r"redis://127\.0\.0\.1:1 cannot be used") as failure:
            ledger.now_ms()
        assert "secret" not in str(failure.value)


FORKING = """
    import os, sys
    from genops_otel_posthog.budgets.ledger.redis import RedisLedger

    def connection(ledger):
        return ledger._server.client.client_id()

    ledger = RedisLedger.from_url(sys.argv[1], timeout=5)
    ledger.now_ms()
    parents = connection(ledger)
    sockets = set(os.listdir("/dev/fd"))
    child = os.fork()
    if not child:
        ledger.abandon()
        still_open = sockets <= set(os.listdir("/dev/fd"))
        ledger.now_ms()
        os._exit(0 if still_open and connection(ledger) != parents else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection(ledger) == parents
    ledger.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_connects_anew_and_leaves_its_parents_connection_alone(server: KillableServer):
    subprocess.run([sys.executable, "-c", textwrap.dedent(FORKING), server.url], check=True)


def test_a_forked_child_does_not_use_the_client_of_its_parent(server: KillableServer):
    with server.client() as client:
        ledger = RedisLedger(client)
        ledger.abandon()
        with pytest.raises(LedgerUnavailable, match="open another RedisLedger after the fork"):
            ledger.now_ms()


def test_closing_twice_and_before_any_use_is_harmless(server: KillableServer):
    ledger = open_ledger(server)
    ledger.close()
    assert ledger.now_ms() > 0
    ledger.close()
    ledger.close()
