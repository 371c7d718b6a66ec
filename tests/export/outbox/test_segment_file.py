"""The form of a segment file: what is read back after any damage, and what a released format looks like."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.export.outbox.segment_file import (
    MAX_BODY_BYTES,
    PIECE_BYTES,
    Header,
    UnreadableSegment,
    make_header,
    make_record,
    read_header,
    read_records,
)

NONCE = bytes(8)
BODIES = [b'{"event":"a"}', b'{"event":"bb"}', b'{"event":"ccc"}']


def file_of(path: Path, *bodies: bytes, tail: bytes = b"") -> tuple[int, Header]:
    content, header = make_header("normal", ("posthog.abc",), nonce=NONCE)
    path.write_bytes(content + b"".join(make_record(body, header.seed) for body in bodies) + tail)
    return os.open(path, os.O_RDWR), header


def bodies_in(descriptor: int, header: Header) -> list[bytes]:
    size = os.fstat(descriptor).st_size
    records = read_records(lambda size, offset: os.pread(descriptor, size, offset), header.seed, header.start, size)
    return [record.body for record in records]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    descriptor, header = file_of(tmp_path / "s", *BODIES)
    assert read_header(descriptor) == header
    assert bodies_in(descriptor, header) == BODIES


def test_zero_bytes_at_the_end_are_no_records(tmp_path: Path) -> None:
    assert zlib.crc32(b"") == 0, "eight zero bytes would be an empty record"
    descriptor, header = file_of(tmp_path / "s", *BODIES, tail=bytes(4096))
    assert bodies_in(descriptor, header) == BODIES


def test_a_file_cut_anywhere_yields_the_records_that_are_whole(tmp_path: Path) -> None:
    descriptor, header = file_of(tmp_path / "s", *BODIES)
    ends = [header.start]
    for body in BODIES:
        ends.append(ends[-1] + 8 + len(body))
    for size in range(ends[-1], header.start - 1, -1):
        os.ftruncate(descriptor, size)
        whole = sum(size >= end for end in ends[1:])
        assert bodies_in(descriptor, header) == BODIES[:whole]


def test_a_flipped_bit_ends_what_is_read_and_nothing_wrong_is_read(tmp_path: Path) -> None:
    descriptor, header = file_of(tmp_path / "s", *BODIES)
    for offset in range(header.start, os.fstat(descriptor).st_size):
        byte = os.pread(descriptor, 1, offset)
        os.pwrite(descriptor, bytes([byte[0] ^ 4]), offset)
        read = bodies_in(descriptor, header)
        assert read == BODIES[: len(read)]
        assert len(read) < len(BODIES)
        os.pwrite(descriptor, byte, offset)
    assert bodies_in(descriptor, header) == BODIES


def test_a_record_longer_than_a_piece_is_read_whole(tmp_path: Path) -> None:
    bodies = [b"a", b"b" * (3 * PIECE_BYTES), b"c" * (PIECE_BYTES - 8), b"d" * PIECE_BYTES, b"e"]
    descriptor, header = file_of(tmp_path / "s", *bodies)
    assert bodies_in(descriptor, header) == bodies


@pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, 2**32 - 1])
def test_a_length_that_no_event_has_is_damage(tmp_path: Path, length: int) -> None:
    tail = length.to_bytes(4, "little") + bytes(4) + b"x" * 100
    descriptor, header = file_of(tmp_path / "s", *BODIES, tail=tail)
    assert bodies_in(descriptor, header) == BODIES


def test_the_records_of_one_segment_are_not_those_of_another() -> None:
    seeds = {make_header("normal", ("posthog.abc",), nonce=bytes([n] * 8))[1].seed for n in range(50)}
    assert len(seeds) == 50


# Written by the first release that had an outbox. What it says must be read for ever.
FORMAT_1 = bytes.fromhex(
    "47454e4f50534f42010000013b00000036e92e8b7b2264657374696e6174696f6e73223a5b22706f7374686f672e616263225d2c226e"
    "6f6e6365223a2230303030303030303030303030303030227d"
)
RECORD_1 = bytes.fromhex("0d000000c9f95dca7b226576656e74223a2261227d")


def test_a_segment_of_the_first_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(FORMAT_1 + RECORD_1)
    with path.open("rb") as file:
        header = read_header(file.fileno())
        assert (header.importance, header.destinations, header.start) == ("normal", ("posthog.abc",), len(FORMAT_1))
        assert bodies_in(file.fileno(), header) == [b'{"event":"a"}']


def test_what_the_first_format_left_is_delivered_by_today_s_outbox(
    open_outbox: Any, recorded: Any, until: Any, directory: Path
) -> None:
    directory.mkdir(mode=0o700)
    path = directory / "1795305600000-999999-1.seg"
    path.write_bytes(FORMAT_1 + RECORD_1 * 3 + RECORD_1[:7])  # its process was killed while it appended
    destination = recorded(name="posthog")
    destination.account = "abc"
    outbox = open_outbox(destination)
    until(outbox, lambda: not path.exists())
    assert destination.taken == [b'{"event":"a"}'] * 3
    assert outbox.accounting().holds


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin as a segment does"),
        (b"SQLite format 3\0" + bytes(100), "does not begin as a segment does"),
        (FORMAT_1[:8] + b"\x63\0" + FORMAT_1[10:], "it has format 99, and this version reads format 1"),
        (FORMAT_1[:10] + b"\x07" + FORMAT_1[11:], "codec 7"),
        (FORMAT_1[:-1], "its header is damaged"),
        (FORMAT_1[:-1] + b"!", "its header is damaged"),
    ],
)
def test_what_is_no_segment_of_a_known_format_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(UnreadableSegment, match=reason):
        read_header(file.fileno())
