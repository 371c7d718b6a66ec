"""Where files are when nobody says where, and which file a URL means. The same for everything that keeps one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from genops_otel_posthog.errors import GenOpsConfigurationError

MOUNTS: Final = Path("/proc/self/mounts")
"""Where Linux says what is mounted where."""

_DRIVE = re.compile(r"/[A-Za-z]:[/\\]")
_OCTAL = re.compile(r"\\([0-7]{3})")  # how spaces, tabs, line ends and backslashes are written in a table of mounts


def state_directory(instead: str, environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The package's place in the directory for state that the user's system has.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/ for other systems than Windows and macOS.

    Args:
        instead: What to set where the user has no home directory, for the error.
        environ: The environment; ``os.environ`` when not given.
        platform: ``sys.platform``.

    Raises:
        GenOpsConfigurationError: The user has no home directory.
    """
    environ = os.environ if environ is None else environ
    given = environ.get("LOCALAPPDATA" if platform == "win32" else "XDG_STATE_HOME", "")
    if Path(given).is_absolute():  # the specification has relative paths ignored
        state = Path(given)
    else:
        below = {"win32": "AppData/Local", "darwin": "Library/Application Support"}.get(platform, ".local/state")
        try:
            state = Path.home() / below
        except RuntimeError as error:
            raise GenOpsConfigurationError(f"there is no home directory to keep it in; {instead}") from error
    return state / "genops-otel-posthog"


def sqlite_path(url: str) -> Path:
    """The file that ``sqlite:///absolute/path``, ``sqlite:///./relative/path`` or ``sqlite:///~/path`` names.

    Raises:
        ValueError: It names none; the message is the reason.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if path in ("", "/") or path.endswith(("/", ":memory:")) or parts.netloc.startswith(":"):
        raise ValueError("it names no file that processes can share; write it like sqlite:///absolute/path")
    if parts.netloc:
        raise ValueError("a file has three slashes before it, sqlite:///absolute/path or sqlite:///./relative/path")
    if parts.query or parts.fragment:
        raise ValueError("a file takes no options; write ? as %3F and # as %23 if they are in its name")
    if path.startswith(("/./", "/../")) or _DRIVE.match(path):
        return Path(path[1:])
    if path.startswith("/~"):
        return Path(path[1:]).expanduser()
    return Path("/" + path.lstrip("/"))  # some write four slashes before an absolute path


class Mount(NamedTuple):
    """A mounted file system.

    Attributes:
        kind: Its type: ``ext4``, ``overlay``, ``tmpfs``, ``nfs4``; empty where it is not known.
        point: Where it is mounted.
    """

    kind: str
    point: Path


def mount_of(path: Path, mounts: str) -> Mount:
    """The file system that holds a path.

    Args:
        path: An absolute path without symbolic links; it need not exist.
        mounts: Text of :data:`MOUNTS`.
    """
    found, depth = Mount("", Path(path.anchor)), 0
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[1]))
        # Of two on the same point, the later one hides the earlier.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = Mount(fields[2], point), len(point.parts)
    return found
