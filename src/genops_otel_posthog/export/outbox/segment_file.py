"""The form of a segment file: a header, then records one after the other.

A record is its length, a checksum and its body. The checksum starts from a seed that the header yields, because an
empty record with the plain checksum of nothing is eight zero bytes, and zero bytes are what a crash of the machine
leaves at the end of a file.

Nothing here knows who reads or writes.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

FORMAT: Final = 1
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Largest body of a record: four times what any known destination takes for one event. A length beyond it is damage."""

IMPORTANCES: Final = ("low", "normal", "critical")
"""From what goes first when there is no room to what goes last."""

_MAGIC: Final = b"GENOPSOB"
_HEADER = struct.Struct("<8sHBBII")  # magic, format, codec, importance, length of the description, checksum of it
_CODEC_JSON: Final = 0
_RECORD = struct.Struct("<II")  # length of the body, seeded checksum of it

PIECE_BYTES: Final = 256 * 1024
"""Records are read in pieces of this size, because whoever appends waits for so long."""

RECORD_OVERHEAD: Final = _RECORD.size
pack_record_head = _RECORD.pack


class UnreadableSegment(Exception):
    """The file is no segment, or one of a format this version does not know."""


class Header(NamedTuple):
    """What a segment says of itself.

    Attributes:
        importance: One of :data:`IMPORTANCES`; all records of a segment share it.
        destinations: The identities of the destinations it is for.
        start: Where the first record begins.
        seed: What the checksums of its records start from; differs from segment to segment.
    """

    importance: str
    destinations: tuple[str, ...]
    start: int
    seed: int


class Record(NamedTuple):
    """A record that was read.

    Attributes:
        body: The event.
        begin: Where it begins.
        end: Where the next record begins.
    """

    body: bytes
    begin: int
    end: int


def make_header(importance: str, destinations: tuple[str, ...], *, nonce: bytes) -> tuple[bytes, Header]:
    """The bytes of a header, and what they say.

    Args:
        nonce: A few random bytes, so that no two segments have the same seed.
    """
    description = json.dumps({"destinations": destinations, "nonce": nonce.hex()}, separators=(",", ":")).encode()
    content = _HEADER.pack(
        _MAGIC, FORMAT, _CODEC_JSON, IMPORTANCES.index(importance), len(description), zlib.crc32(description)
    )
    content += description
    return content, Header(importance, destinations, len(content), _seed(content))


def read_header(descriptor: int) -> Header:
    """What a segment says of itself.

    Raises:
        UnreadableSegment: With the reason.
        OSError: It cannot be read.
    """
    head = os.pread(descriptor, _HEADER.size, 0)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise UnreadableSegment("it does not begin as a segment does")
    _, version, codec, importance, length, checksum = _HEADER.unpack(head)
    if version != FORMAT:
        raise UnreadableSegment(f"it has format {version}, and this version reads format {FORMAT}")
    description = os.pread(descriptor, length, _HEADER.size) if length <= PIECE_BYTES else b""
    if len(description) != length or zlib.crc32(description) != checksum:
        raise UnreadableSegment("its header is damaged")
    if codec != _CODEC_JSON or importance >= len(IMPORTANCES):
        raise UnreadableSegment(f"it has codec {codec} and importance {importance}, which this version does not know")
    said: Mapping[str, Any] = json.loads(description)
    content = head + description
    return Header(IMPORTANCES[importance], tuple(said["destinations"]), len(content), _seed(content))


def _seed(header: bytes) -> int:
    return zlib.crc32(header) or 1


def make_record(body: bytes, seed: int) -> bytes:
    """A record's bytes."""
    return _RECORD.pack(len(body), zlib.crc32(body, seed)) + body


def parse_records(chunk: bytes, offset: int, seed: int) -> Iterator[Record]:
    """The intact records at the beginning of a chunk; the first that is cut short or damaged ends them.

    Args:
        chunk: Bytes of the file, from the beginning of a record on.
        offset: Where in the file they are.
    """
    position, size = 0, len(chunk)
    while position + RECORD_OVERHEAD <= size:
        length, checksum = _RECORD.unpack_from(chunk, position)
        begin = position + RECORD_OVERHEAD
        position = begin + length
        if not length or position > size:
            return
        body = chunk[begin:position]
        if zlib.crc32(body, seed) != checksum:
            return
        yield Record(body, offset + begin - RECORD_OVERHEAD, offset + position)


def read_records(read: Callable[[int, int], bytes], seed: int, offset: int, limit: int) -> Iterator[Record]:
    """The intact records from an offset on, read a piece at a time.

    Args:
        read: Gives so many bytes from an offset on, or fewer at the end of the file.
        seed: Of the segment.
        offset: The beginning of a record.
        limit: Read no further than this.
    """
    wanted = PIECE_BYTES
    while offset < limit:
        chunk = read(min(wanted, limit - offset), offset)
        before = offset
        for record in parse_records(chunk, offset, seed):
            offset = record.end
            yield record
        if offset == before:
            # Cut short, damaged, or longer than the piece: only the length can tell.
            if len(chunk) < RECORD_OVERHEAD:
                return
            needed = RECORD_OVERHEAD + min(_RECORD.unpack_from(chunk)[0], MAX_BODY_BYTES)
            if needed <= len(chunk) or needed > limit - offset or needed == wanted:
                return
            wanted = needed
        else:
            wanted = PIECE_BYTES
