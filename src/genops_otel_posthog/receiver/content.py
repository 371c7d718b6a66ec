"""Request bodies back to plain bytes, with a limit that a decompression bomb cannot pass."""

from __future__ import annotations

import importlib
import io
import json
import zlib
from typing import Any

GZIP_MAGIC = b"\x1f\x8b\x08"


class BodyTooLarge(Exception):
    """The body has more bytes than the endpoint takes, as sent or once decompressed."""


class BodyUndecodable(Exception):
    """The body is not what its encoding says."""


class EncodingUnsupported(Exception):
    """The receiver has no decoder for this content encoding."""


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body in plain.

    Args:
        body: as sent.
        encoding: the ``Content-Encoding``, in lower case; empty or ``identity`` for none. ``zstd`` needs Python 3.14
            or the ``zstandard`` package.
        limit: most bytes the result may have.

    Raises:
        BodyTooLarge: the result has more bytes than ``limit``.
        BodyUndecodable: the body does not decode.
        EncodingUnsupported: there is no decoder for ``encoding``.
    """
    if encoding in ("", "identity"):
        plain = body
    elif encoding == "gzip":
        plain = _inflate(body, zlib.MAX_WBITS | 16, limit)
    elif encoding == "deflate":
        plain = _inflate(body, zlib.MAX_WBITS, limit)
    elif encoding == "zstd":
        plain = _unzstd(body, limit)
    else:
        raise EncodingUnsupported(encoding)
    if len(plain) > limit:
        raise BodyTooLarge(f"more than {limit} bytes")
    return plain


def parse_json(text: str) -> Any:
    """Decode JSON as strictly as PostHog does: ``NaN`` and ``Infinity`` are errors.

    Raises:
        BodyUndecodable: it is not JSON, or nested too deeply.
    """
    try:
        return _strict_json.decode(text)
    except (ValueError, RecursionError) as problem:
        raise BodyUndecodable(str(problem) or "nested too deeply") from problem


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_strict_json = json.JSONDecoder(parse_constant=_refuse_constant)


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:  # a gzip file may have several members
        inflater = zlib.decompressobj(window)
        try:
            part = inflater.decompress(body, limit - size + 1)
        except zlib.error as problem:
            raise BodyUndecodable(str(problem)) from problem
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BodyTooLarge(f"more than {limit} bytes")
        if not inflater.eof:
            raise BodyUndecodable("the compressed body ends too early")
        body = inflater.unused_data
    return b"".join(parts)


def _unzstd(body: bytes, limit: int) -> bytes:
    try:
        standard: Any = importlib.import_module("compression.zstd")
    except ImportError:
        standard = None
    try:
        if standard is not None:
            return bytes(standard.ZstdDecompressor().decompress(body, limit + 1))
        package: Any = importlib.import_module("zstandard")
        return bytes(package.ZstdDecompressor().stream_reader(io.BytesIO(body)).read(limit + 1))
    except ImportError:
        raise EncodingUnsupported("zstd") from None
    except Exception as problem:  # each library has its own error class for a broken frame
        raise BodyUndecodable(str(problem)) from problem
