"""Pseudonyms: a person's id replaced by a keyed hash, the same one every time, that nobody without the key can undo.

Without a key a hash of an e-mail address hides nothing: all addresses can be tried. Hence a key from the environment,
or one that is made for a directory and stays in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from genops_otel_posthog.settings.compliance_variables import FEWEST_KEY_CHARACTERS

PREFIX: Final = "p_"
"""What a pseudonym begins with, so that it can be told from an id."""

_DIGEST_BYTES: Final = 16
_KEY_FILE: Final = "subjects.key"


class Pseudonyms:
    """Makes pseudonyms with one key. It does not show the key.

    Args:
        key: At least 32 characters.

    Raises:
        ValueError: It is shorter.
    """

    def __init__(self, key: str) -> None:
        if len(key) < FEWEST_KEY_CHARACTERS:
            raise ValueError(f"a key has at least {FEWEST_KEY_CHARACTERS} characters")
        # BLAKE2's keys have up to 64 bytes (RFC 7693); a longer text must not lose its end.
        self._state = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=hashlib.sha512(key.encode()).digest())

    def of(self, identity: str) -> str:
        """The pseudonym of an id: ``p_`` and 32 hexadecimal digits."""
        state = self._state.copy()
        state.update(identity.encode("utf-8", "surrogatepass"))
        return PREFIX + state.hexdigest()

    def __repr__(self) -> str:
        return "Pseudonyms(…)"


def is_pseudonym(identity: str) -> bool:
    """Whether this has the form of a pseudonym."""
    return (
        len(identity) == len(PREFIX) + 2 * _DIGEST_BYTES
        and identity.startswith(PREFIX)
        and not identity[len(PREFIX) :].strip("0123456789abcdef")
    )


def local_pseudonyms(directory: Path) -> Pseudonyms:
    """Those of a directory: its key is made when it is first needed, for its user alone, and stays there.

    Raises:
        OSError: The key can be neither read nor made.
        ValueError: There is a file, but no key in it.
    """
    file = directory / _KEY_FILE
    if not file.exists():
        _make_key(file)
    key = file.read_text(encoding="ascii").strip()
    try:
        return Pseudonyms(key)
    except ValueError:
        raise ValueError(f"there is no key in {file}; put it back from a backup, or remove it to begin anew") from None


def _make_key(file: Path) -> None:
    """Of several processes that make one, the first has made it."""
    made = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(32).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(made, file)
    finally:
        made.unlink()
