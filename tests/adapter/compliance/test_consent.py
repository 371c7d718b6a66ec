"""Who has agreed to what, wherever that is kept."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from genops_otel_posthog.adapter.compliance import AskedConsent, ConsentFile, ConsentUnavailableError, MemoryConsent
from genops_otel_posthog.errors import GenOpsConfigurationError

from .conftest import NOON

pytestmark = pytest.mark.requirement("S4-49")


@pytest.fixture(params=["memory", "file"])
def store(request, home, clock):
    if request.param == "memory":
        yield MemoryConsent(clock)
        return
    opened = ConsentFile(home / "consent" / "consent.sqlite3", clock)
    yield opened
    opened.close()


def test_who_has_said_nothing_has_not_agreed(store):
    assert not store.is_granted("ada", "analytics")
    assert store.of_person("ada") == []


def test_consent_is_for_a_person_and_a_purpose(store):
    store.put("ada", "analytics", granted=True, source="")
    assert store.is_granted("ada", "analytics")
    assert not store.is_granted("ada", "marketing")
    assert not store.is_granted("bob", "analytics")


def test_what_was_said_last_holds(store):
    for granted in (True, False, True, False):
        store.put("ada", "analytics", granted=granted, source="")
        assert store.is_granted("ada", "analytics") is granted


def test_everything_about_a_person_can_be_had_and_erased(store):
    store.put("ada", "marketing", granted=False, source="account page")
    store.put("ada", "analytics", granted=True, source="banner v3")
    store.put("bob", "analytics", granted=True, source="")
    assert [each.document() for each in store.of_person("ada")] == [
        {"purpose": "analytics", "granted": True, "at": NOON.isoformat(), "source": "banner v3"},
        {"purpose": "marketing", "granted": False, "at": NOON.isoformat(), "source": "account page"},
    ]
    assert store.erase("ada") == 2
    assert store.erase("ada") == 0
    assert not store.is_granted("ada", "analytics")
    assert store.is_granted("bob", "analytics")


def test_threads_may_use_one_store(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put(f"user-{n % 20}", "analytics", granted=True, source=""), range(200)))
        assert all(pool.map(lambda n: store.is_granted(f"user-{n}", "analytics"), range(20)))


def test_any_text_may_be_an_id(store):
    for identity in ("", "'; DROP TABLE consent; --", "\ud800", "\0", "ä" * 10_000):
        store.put(identity, "analytics", granted=True, source="")
        assert store.is_granted(identity, "analytics")


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(home, clock):
    opened = ConsentFile(home / "consent" / "consent.sqlite3", clock)
    opened.put("ada@example.com", "analytics", granted=True, source="")
    yield opened
    opened.close()


def test_the_file_is_for_its_user_alone(file):
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.iterdir()} == {0o600}


def test_the_ids_of_people_are_not_in_the_file(file):
    assert all(b"@example" not in path.read_bytes() for path in file.path.parent.iterdir())


def test_another_process_sees_at_once_what_was_withdrawn(file):
    ask = (
        "import sys; from genops_otel_posthog.adapter.compliance import ConsentFile\n"
        f"store = ConsentFile({str(file.path)!r})\n"
        "for line in sys.stdin: print(store.is_granted(line.strip(), 'analytics'), flush=True)"
    )
    command = [sys.executable, "-c", ask]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:

        def answer():
            other.stdin.write("ada@example.com\n")
            return other.stdout.readline().strip()

        assert answer() == "True"
        file.put("ada@example.com", "analytics", granted=False, source="")
        assert answer() == "False"
        other.stdin.close()
    assert other.returncode == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_reads_and_writes_with_a_connection_of_its_own(file):
    child = os.fork()
    if child == 0:
        try:
            assert file.is_granted("ada@example.com", "analytics")
            file.put("bob", "analytics", granted=True, source="")
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert file.is_granted("bob", "analytics")


def test_a_file_that_is_none_is_an_error_that_says_what_to_do(home):
    path = home / "consent.sqlite3"
    path.parent.mkdir()
    path.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(ConsentUnavailableError, match="set GENOPS_CONSENT_PATH to another file"):
        ConsentFile(path).is_granted("ada", "analytics")


def test_a_file_that_was_locked_for_too_long_can_be_used_again_afterwards(file, monkeypatch):
    from genops_otel_posthog.adapter.compliance import consent_file

    monkeypatch.setattr(consent_file, "_BUSY_SECONDS", 0.05)
    file.close()
    other = sqlite3.connect(file.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConsentUnavailableError, match="locked"):
        file.put("ada", "analytics", granted=True, source="")
    other.execute("ROLLBACK")
    other.close()
    file.put("ada", "analytics", granted=True, source="")


# --- the application's own --------------------------------------------------------------------------------------------


def test_a_function_of_the_application_is_asked_and_keeps_consent_itself():
    store = AskedConsent(lambda person, purpose: (person, purpose) == ("ada", "marketing"))
    assert store.is_granted("ada", "marketing")
    assert not store.is_granted("ada", "analytics")
    assert (store.of_person("ada"), store.erase("ada")) == ([], 0)
    with pytest.raises(GenOpsConfigurationError, match="grant and withdraw it there"):
        store.put("ada", "marketing", granted=True, source="")
