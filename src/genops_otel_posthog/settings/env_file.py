"""``.env`` files, whose lines are assignments of a shell: reading them, and changing some of their variables.

They hold keys, so they are written for their owner alone, and as a whole or not at all.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from genops_otel_posthog.errors import GenOpsConfigurationError

_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=")
_WORD: Final = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])*""")
_NOTHING: Final = re.compile(r"\s*|(?:^|\s+)\s*#.*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=^-]*")


def read_env_file(path: str | os.PathLike[str]) -> dict[str, str]:
    """The variables of a file; of one that is given twice, the last. Nothing is expanded.

    Raises:
        GenOpsConfigurationError: The file cannot be read, or a line is no assignment. Values are not repeated.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(_text(Path(path)).splitlines(), 1):
        if _NOTHING.fullmatch(line):
            continue
        found = _ASSIGNMENT.match(line)
        word = found and _WORD.match(line, found.end())
        if not (found and word and _NOTHING.fullmatch(line, word.end())):
            raise GenOpsConfigurationError(
                f"{path}:{number}: this is no line like NAME=value; put a value that holds blanks into quotes"
            )
        values[found["name"]] = "".join(shlex.split(word[0]))
    return values


def names_in(path: str | os.PathLike[str]) -> set[str]:
    """The names of the variables in a file; none where there is no file.

    Raises:
        GenOpsConfigurationError: The file cannot be read.
    """
    if not Path(path).exists():
        return set()
    return {found["name"] for line in _text(Path(path)).splitlines() if (found := _ASSIGNMENT.match(line))}


def write_env_file(path: str | os.PathLike[str], values: Mapping[str, str]) -> None:
    """Sets variables in a file, which is made where there is none. Its other lines stay as they are.

    The file is replaced as a whole, and its owner alone may read it (mode 0600). A symbolic link stays one.

    Args:
        path: The file.
        values: Values by name; none may hold a single quote or more than one line.

    Raises:
        GenOpsConfigurationError: A value cannot be written, or the file cannot be read.
        OSError: The file cannot be written.
    """
    target = Path(path).resolve()
    lines = _text(target).splitlines() if target.exists() else []
    left = dict(values)
    for place, line in enumerate(lines):
        found = _ASSIGNMENT.match(line)
        if found and found["name"] in values:
            # Once more where it is given twice: the last would win.
            lines[place] = _line(found["name"], values[found["name"]])
            left.pop(found["name"], None)
    lines += [_line(name, value) for name, value in left.items()]
    _replace(target, "".join(f"{line}\n" for line in lines))


def _line(name: str, value: str) -> str:
    if "'" in value or not value.isprintable():
        raise GenOpsConfigurationError(
            f"{name} cannot be written: it holds a quote, or a character that is none to see"
        )
    return f"{name}={value}" if _PLAIN.fullmatch(value) else f"{name}='{value}'"


def _replace(target: Path, text: str) -> None:
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise GenOpsConfigurationError(f"{path} cannot be read: it is not UTF-8") from None
    except OSError as error:
        raise GenOpsConfigurationError(f"{path} cannot be read: {error.strerror}") from None
