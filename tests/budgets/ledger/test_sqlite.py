"""The ledger in a file: whose it is, where it may be, and what it says when it cannot be used."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conversation import MONTH, NOON, Clock, Process, ask, counted

from genops_otel_posthog.budgets.ledger import ledger_file
from genops_otel_posthog.budgets.ledger.ledger_file import NETWORK_FILE_SYSTEMS, network_file_system
from genops_otel_posthog.budgets.ledger.protocol import LedgerCorrupt, LedgerUnavailable
from genops_otel_posthog.budgets.ledger.sqlite import APPLICATION_ID, SCHEMA_VERSION, SqliteLedger
from genops_otel_posthog.errors import GenOpsConfigurationError

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger will be."""
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def written(path: Path) -> Path:
    """Where a ledger is, closed, in which 5 events were counted."""
    write(path)
    return path


def write(path: Path, name: str = "alice", units: int = 5) -> None:
    ledger = SqliteLedger(path, Clock())
    try:
        Process(ledger, name).say(ask(want=100), counted=(counted(units, "b"),))
    finally:
        ledger.close()


def used(path: Path) -> int:
    ledger = SqliteLedger(path, Clock())
    try:
        return ledger.usage(MONTH).get("events", 0)
    finally:
        ledger.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestTheFile:
    @posix
    def test_and_all_beside_it_and_its_folder_are_the_owner_s_alone(self, path: Path):
        before = os.umask(0)
        try:
            ledger = SqliteLedger(path)
            Process(ledger, "alice").say()
        finally:
            os.umask(before)
        assert sorted(file.name for file in path.parent.iterdir()) == [
            "ledger.sqlite3",
            "ledger.sqlite3-shm",
            "ledger.sqlite3-wal",
            "ledger.sqlite3.lock",
        ]
        assert {mode(file) for file in path.parent.iterdir()} == {0o600}
        assert mode(path.parent) == 0o700
        ledger.close()

    @posix
    def test_that_others_may_read_is_used_with_a_warning(self, written: Path, caplog: pytest.LogCaptureFixture):
        written.chmod(0o644)
        assert used(written) == 5
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert str(written) in warning
        assert "644" in warning
        assert "chmod 600" in warning

    @posix
    def test_that_others_may_use_is_shared_with_them_whole(self, path: Path):
        path.parent.mkdir()
        path.touch()
        path.chmod(0o660)
        ledger = SqliteLedger(path)
        Process(ledger, "alice").say()
        assert {mode(file) for file in path.parent.iterdir()} == {0o660}
        ledger.close()

    @posix
    def test_in_a_folder_that_others_may_write_to_is_used_with_a_warning(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ):
        written.parent.chmod(0o777)
        assert used(written) == 5
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert f"chmod go-w {written.parent}" in warning

    @posix
    def test_leaves_the_permissions_of_a_folder_that_was_there(self, path: Path):
        path.parent.mkdir(mode=0o755)
        write(path)
        assert mode(path.parent) == 0o755

    def test_is_not_made_before_it_is_used(self, path: Path):
        SqliteLedger(path).close()
        assert not path.parent.exists()

    def test_may_be_given_as_a_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        ledger = SqliteLedger("ledger.sqlite3")
        monkeypatch.chdir("/")
        Process(ledger, "alice").say()
        ledger.close()
        assert (tmp_path / "ledger.sqlite3").exists()

    def test_may_have_any_name(self, tmp_path: Path):
        path = tmp_path / "100 % of ünits?#x"
        write(path)
        assert used(path) == 5
        assert path.exists()

    def test_keeps_a_log_that_a_power_cut_may_shorten_but_not_damage(self, path: Path):
        ledger = SqliteLedger(path)
        with ledger._writing():
            pass
        assert ledger._connection is not None
        settings = [
            ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["wal", 1]
        ledger.close()

    @pytest.mark.parametrize("gone", [[""], ["", "-wal", "-shm"], ["", "-wal", "-shm", ".lock"]])
    def test_is_begun_anew_when_it_was_taken_away(self, gone: list[str], path: Path, clock: Clock):
        ledger = SqliteLedger(path, clock)
        alice = Process(ledger, "alice")
        alice.say(counted=(counted(5),))
        for ending in gone:
            path.with_name(path.name + ending).unlink()
        assert alice.say().forgotten
        alice.say(counted=(counted(5),), everything=True)
        ledger.close()
        assert used(path) == 5

    def test_is_read_anew_when_it_was_replaced(self, path: Path, tmp_path: Path, clock: Clock):
        ledger = SqliteLedger(path, clock)
        Process(ledger, "alice").say(counted=(counted(5),))
        write(tmp_path / "other", "bob", 70)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink()
        (tmp_path / "other").replace(path)
        assert ledger.usage(MONTH) == {"events": 70}
        ledger.close()
        assert used(path) == 70

    def test_may_be_used_again_after_it_was_closed(self, path: Path, clock: Clock):
        ledger = SqliteLedger(path, clock)
        Process(ledger, "alice").say(counted=(counted(5),))
        ledger.close()
        ledger.close()
        assert ledger.usage(MONTH) == {"events": 5}
        ledger.close()


class TestNetworkFileSystems:
    MOUNTS = (
        "/dev/sda1 / ext4 rw 0 0\n"
        "nas:/home /home nfs4 rw,vers=4.2 0 0\n"
        "/dev/sdb1 /home/ann/local xfs rw 0 0\n"
        "//nas/share /mnt/our\\040share cifs rw 0 0\n"
        "tmpfs /run tmpfs rw 0 0\n"
        "nas:/run /run nfs rw 0 0\n"
    )

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/var/lib/ledger", None),
            ("/home/ann/ledger", "nfs4"),
            ("/home/ann/local/ledger", None),
            ("/homes/ledger", None),
            ("/mnt/our share/ledger", "cifs"),
            ("/run/ledger", "nfs"),
        ],
    )
    def test_are_told_by_where_they_are_mounted(self, path: str, kind: str | None):
        assert network_file_system(Path(path), self.MOUNTS) == kind

    @pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
    def test_are_refused_with_what_to_do(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        mounts = tmp_path / "mounts"
        mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nnas:/x {tmp_path} {kind} rw 0 0\n")
        monkeypatch.setattr(ledger_file, "MOUNTS", mounts)
        with pytest.raises(GenOpsConfigurationError) as error:
            SqliteLedger(tmp_path / "ledger.sqlite3")
        assert str(tmp_path / "ledger.sqlite3") in str(error.value)
        assert f"({kind})" in str(error.value)
        assert "GENOPS_LEDGER_URL=redis://" in str(error.value)

    def test_are_found_behind_a_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        mounts = tmp_path / "mounts"
        mounts.write_text(f"nas:/x {tmp_path}/nas nfs rw 0 0\n")
        monkeypatch.setattr(ledger_file, "MOUNTS", mounts)
        (tmp_path / "nas").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "nas")
        with pytest.raises(GenOpsConfigurationError, match="nfs"):
            SqliteLedger(tmp_path / "link" / "ledger.sqlite3")


class TestTheSchema:
    def test_has_a_file_for_every_version(self):
        files = sorted(path.name for path in (Path(ledger_file.__file__).parent / "schema").iterdir())
        assert files == [f"{number:04}.sql" for number in range(1, SCHEMA_VERSION + 1)]

    def test_says_which_version_it_is_and_whose(self, written: Path):
        with sqlite3.connect(written) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        connection.close()

    def test_of_a_newer_version_is_left_alone(self, written: Path):
        set_version(written, SCHEMA_VERSION + 1)
        before = written.read_bytes()
        with pytest.raises(LedgerUnavailable, match=f"newer version.*schema {SCHEMA_VERSION + 1}.*Upgrade"):
            write(written)
        assert written.read_bytes() == before

    def test_that_a_newer_version_has_changed_meanwhile_is_left_alone(self, path: Path, clock: Clock):
        ledger = SqliteLedger(path, clock)
        alice = Process(ledger, "alice")
        alice.say(counted=(counted(5),))
        set_version(path, SCHEMA_VERSION + 1)
        with pytest.raises(LedgerUnavailable, match="newer version"):
            alice.say(counted=(counted(6),))
        with pytest.raises(LedgerUnavailable, match="newer version"):
            ledger.usage(MONTH)
        set_version(path, SCHEMA_VERSION)
        assert ledger.usage(MONTH) == {"events": 5}
        ledger.close()


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def text(path: Path) -> None:
    path.write_text("these are my notes, not a database\n" * 100)


def of_another_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (note TEXT)")
    connection.close()


def marked_by_another_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 1196437808")
    connection.close()


def a_ledger_with_pages_overwritten(path: Path) -> None:
    write(path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def half_a_ledger(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_ledger_without_a_table(path: Path) -> None:
    write(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE leases")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        text,
        of_another_application,
        marked_by_another_application,
        a_ledger_with_pages_overwritten,
        half_a_ledger,
        a_ledger_without_a_table,
    ],
)
def test_what_is_no_ledger_or_is_damaged_is_said_so_and_not_overwritten(damage: Callable[[Path], None], path: Path):
    path.parent.mkdir()
    damage(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LedgerCorrupt) as error:
            write(path)
        assert str(error.value).startswith(f"{path} is not a ledger, or is damaged: ")
        assert "Nothing was overwritten. Move it away" in str(error.value)
    assert path.read_bytes() == before


def test_a_reply_that_is_damaged_is_said_so(written: Path):
    connection = sqlite3.connect(written)
    connection.execute("UPDATE processes SET reply = '[1,2'")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerCorrupt, match="'\\[1,2' is not JSON"):
        write(written)


class TestUnavailable:
    """The ledger cannot be used now; what is in it is not lost, and it is used again when it can be."""

    def test_a_lock_of_sqlite_that_somebody_keeps(self, written: Path):
        ledger = SqliteLedger(written, Clock(), timeout=0.05)
        other = sqlite3.connect(written, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        alice = Process(ledger, "other")
        request = alice.request(counted=(counted(1),))
        with pytest.raises(LedgerUnavailable, match="database is locked"):
            alice.send(request)
        assert ledger.usage(MONTH) == {"events": 5}
        other.execute("ROLLBACK")
        other.close()
        alice.send(request)
        assert ledger.usage(MONTH) == {"events": 6}
        ledger.close()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(LedgerUnavailable, match=r"Not a directory|File exists"):
            write(tmp_path / "file" / "ledger.sqlite3")

    def test_a_folder_where_the_file_should_be(self, path: Path):
        path.mkdir(parents=True)
        with pytest.raises(LedgerUnavailable, match="cannot be used"):
            write(path)

    @posix
    def test_a_file_that_may_not_be_written(self, tmp_path: Path):
        write(tmp_path / "ledger")
        program = """
import os, sys
sys.path.insert(0, sys.argv[2])
from conversation import Process
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

os.chdir(sys.argv[1])
os.chmod("ledger", 0o444)
os.chmod("ledger.lock", 0o444)
os.chmod(".", 0o555)
if os.getuid() == 0:  # root may write everywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for use in (lambda ledger: Process(ledger, "alice").say(), lambda ledger: ledger.check_writable()):
    try:
        use(SqliteLedger("ledger"))
    except Exception as error:
        print(type(error).__name__, error)
"""
        told = run(program, tmp_path).splitlines()
        assert len(told) == 2
        for line in told:
            assert line.startswith("LedgerUnavailable ")
            assert "Permission denied" in line or "readonly" in line
        tmp_path.chmod(0o755)
        assert used(tmp_path / "ledger") == 5

    @posix
    def test_a_disk_that_is_full(self, path: Path):
        # No file may become larger: what the system answers is what it answers on a full disk, for each write.
        program = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from conversation import MONTH, Process, counted
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = SqliteLedger(sys.argv[1])
alice = Process(ledger, "alice")
alice.say(counted=(counted(1),))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
answered = 1
try:
    for units in range(2, 10_000):
        request = alice.request(counted=(counted(units, meter=f"meter {units} " + 1_000 * "x"),))
        alice.send(request)
        answered += units
except Exception as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert sum(ledger.usage(MONTH).values()) == answered
alice.send(request)
print(sum(ledger.usage(MONTH).values()) == answered + units)
"""
        failed, goes_on = run(program, path).splitlines()
        assert failed.startswith(f"LedgerUnavailable the ledger {path} cannot be used: ")
        assert "full" in failed or "disk I/O error" in failed
        assert goes_on == "True"


def run(program: str, path: Path) -> str:
    command = [sys.executable, "-c", program, str(path), str(Path(__file__).parent)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def test_an_amount_that_no_file_can_hold_is_refused_and_nothing_is_changed(path: Path):
    ledger = SqliteLedger(path, Clock())
    alice = Process(ledger, "alice")
    with pytest.raises(OverflowError):
        alice.say(counted=(counted(5), counted(2**63, "b")))
    assert ledger.usage(MONTH) == {}
    ledger.close()


def test_time_is_told_to_the_millisecond(path: Path):
    clock = Clock(NOON + 123)
    assert SqliteLedger(path, clock).now_ms() == NOON + 123
