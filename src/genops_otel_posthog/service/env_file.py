"""Variables from a ``.env`` file, where the environment has none of that name."""

from __future__ import annotations

import os
from pathlib import Path

from genops_otel_posthog.errors import GenOpsConfigurationError

DEFAULT_ENV_FILE = ".env"


def load_env_file(path: str | os.PathLike[str] = DEFAULT_ENV_FILE) -> list[str]:
    """Puts the variables of a file into the environment. What is there already stays, even where it is blank.

    Args:
        path: The file, by default ``.env`` in the current directory. Format: that of python-dotenv.

    Returns:
        The names of the variables that were put in. Their values are nobody's business.

    Raises:
        GenOpsConfigurationError: The file cannot be read, or python-dotenv is not installed.
    """
    try:
        from dotenv import dotenv_values
    except ModuleNotFoundError as missing:
        raise GenOpsConfigurationError(
            "reading a .env file needs the package python-dotenv, which is not installed: "
            "pip install 'genops-otel-posthog[dotenv]'"
        ) from missing
    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig") as stream:
            found = dotenv_values(stream=stream)
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise GenOpsConfigurationError(f"the file {str(file)!r} cannot be read: {reason}") from problem
    loaded = [name for name, value in found.items() if value is not None and name not in os.environ]
    os.environ.update({name: value for name in loaded if (value := found[name]) is not None})
    return loaded
