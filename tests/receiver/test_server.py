"""Starting and stopping, the data file, the receiver as a process."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.receiver import LocalReceiver, ReceiverProcess
from genops_otel_posthog.receiver.store import Store

EVENT = json.dumps({"api_key": "phc_test", "event": "paid", "distinct_id": "user-1"})


def send(receiver: Any, path: str = "/e/", body: str = EVENT) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    connection.request("POST", path, body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_each_receiver_has_a_port_and_data_of_its_own() -> None:
    with LocalReceiver() as one, LocalReceiver() as two:
        send(one)
        assert one.port != two.port
        assert (len(one.events()), len(two.events())) == (1, 0)


def test_the_data_file_is_private_and_goes_with_the_receiver() -> None:
    with LocalReceiver() as receiver:
        path = receiver.data_path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
    assert not path.parent.exists()


def test_a_data_file_that_is_named_stays_and_is_continued(tmp_path: Path) -> None:
    data = tmp_path / "below" / "data.db"
    for _ in range(2):
        with LocalReceiver(data=data) as receiver:
            send(receiver)
    with sqlite3.connect(data) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
        assert connection.execute("SELECT id FROM requests ORDER BY id").fetchall() == [(1,), (2,)]
    connection.close()


def test_a_data_file_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    data = tmp_path / "data.db"
    data.touch(0o644)
    with LocalReceiver(data=data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["this is no database, it is a text file that is long enough to be looked at", None]
)
def test_a_data_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, content: str | None) -> None:
    data = tmp_path / "notes.txt"
    if content is None:
        data.mkdir()
    else:
        data.write_text(content)
    with pytest.raises(GenOpsConfigurationError, match=r"notes\.txt"):
        LocalReceiver(data=data).start()


def test_a_data_file_of_another_version_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.db"
    Store(data).close()
    connection = sqlite3.connect(data)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(GenOpsConfigurationError, match="schema version 99"):
        Store(data)


def test_a_port_that_is_taken_is_refused_with_its_number() -> None:
    with LocalReceiver() as receiver, pytest.raises(GenOpsConfigurationError, match=str(receiver.port)):
        LocalReceiver(port=receiver.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.com"])
def test_only_loopback_is_listened_on_unless_it_is_allowed(host: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match="loopback"):
        LocalReceiver(host=host)


def test_the_port_can_be_used_again_at_once() -> None:
    with LocalReceiver() as receiver:
        port = receiver.port
        send(receiver)
    with LocalReceiver(port=port) as receiver:
        assert receiver.port == port
        assert send(receiver) == 200


def test_stopping_cuts_what_hangs_and_what_waits() -> None:
    receiver = LocalReceiver().start()
    receiver.fail("capture", hang=True, times=1)
    receiver.fail("capture", delay=3600)
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            outcomes.append(str(send(receiver)))
        except (OSError, http.client.HTTPException):
            outcomes.append("cut")

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    receiver.wait_for_requests(1, path="/e")
    receiver.stop()
    for thread in threads:
        thread.join(timeout=10)
    assert "cut" in outcomes
    assert len(outcomes) == 2


def test_stopping_twice_is_fine() -> None:
    receiver = LocalReceiver().start()
    receiver.stop()
    receiver.stop()


def test_an_idle_connection_does_not_delay_the_stop() -> None:
    receiver = LocalReceiver().start()
    with socket.create_connection(("127.0.0.1", receiver.port)) as idle:
        receiver.stop()
        with suppress(ConnectionResetError):  # it had not been accepted yet
            assert idle.recv(1) == b""


def test_flags_may_come_from_a_file(tmp_path: Path) -> None:
    flags = tmp_path / "flags.json"
    flags.write_text('[{"key": "beta"}]')
    with LocalReceiver(flags=flags) as receiver:
        assert send(receiver, "/flags/?v=2", '{"token":"phc_test","distinct_id":"u"}') == 200
        assert receiver.flag_requests()[0].answer == {"beta": False}


@pytest.mark.parametrize("content", ["{", "7"])
def test_a_flag_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    flags = tmp_path / "flags.json"
    flags.write_text(content)
    with pytest.raises(GenOpsConfigurationError, match=r"flags\.json"):
        LocalReceiver(flags=flags)


def test_many_connections_at_once_are_all_answered(receiver: LocalReceiver) -> None:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(send(receiver))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert len(receiver.events()) == 40


def test_bodies_are_kept_only_when_asked_for() -> None:
    with LocalReceiver() as receiver:
        send(receiver)
        with pytest.raises(GenOpsError, match="was not kept"):
            receiver.request_body(1)


# --- as a process -------------------------------------------------------------------------------------------------


def test_a_process_answers_like_a_thread_and_leaves_nothing(tmp_path: Path) -> None:
    with ReceiverProcess(keep_bodies=True) as receiver:
        assert send(receiver) == 200
        assert receiver.events()[0].event == "paid"
        assert receiver.request_body(1) == EVENT.encode()
        pid = receiver.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_a_killed_process_acknowledged_is_on_disk(tmp_path: Path) -> None:
    data = tmp_path / "data.db"
    receiver = ReceiverProcess(data=data).start()
    port = receiver.port
    assert send(receiver) == 200
    receiver.kill()
    with ReceiverProcess(data=data, port=port) as again:
        assert [event.event for event in again.events()] == ["paid"]


def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    with LocalReceiver() as receiver, pytest.raises(GenOpsError, match="cannot listen"):
        ReceiverProcess(port=receiver.port).start()
