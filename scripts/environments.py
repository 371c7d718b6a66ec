"""Virtual environments below ``.venvs``, made when needed and never anywhere else.

One environment per purpose and Python version, so that switching either costs nothing. An environment is complete when
the fingerprint of what it was made from lies in it; that file is written last, so an interrupted or failed installation
is simply made again, and an environment whose ingredients have changed is never patched up. Only the standard library
is used: this runs before anything is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
PYTHON_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# They would let the user's own installation leak in, or let pip install somewhere else than into the environment.
LEAKING = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
)
WAIT_BETWEEN_SIGNS_OF_LIFE = 15  # seconds


class EnvironmentFailure(Exception):
    """An environment could not be made; the message says why and what to do."""


def clean_environ() -> dict[str, str]:
    """The environment variables of this process without those that would leak into a virtual environment."""
    return {name: value for name, value in os.environ.items() if name not in LEAKING}


class Environment:
    """One virtual environment.

    Args:
        purpose: Names it, together with the version of Python.
        requirements: Arguments of ``pip install``, relative to the root of the repository.
        constraints: A constraints file, when versions are to be held.
    """

    def __init__(self, purpose: str, requirements: list[str], constraints: Path | None = None) -> None:
        self.directory = VENVS / f"{purpose}-{PYTHON_VERSION}"
        self._requirements = requirements
        self._constraints = constraints
        self._stamp = self.directory / "fingerprint"
        self._log = VENVS / f"{self.directory.name}.log"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.script("python")

    def script(self, name: str) -> Path:
        """A command installed in it."""
        return self.directory / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)

    def ready(self) -> Environment:
        """Make it unless it is there already, and return it.

        Raises:
            EnvironmentFailure: ``venv`` or ``pip`` failed.
        """
        wanted = self._fingerprint()
        if self._read_stamp() == wanted:
            return self
        with self._alone():
            if self._read_stamp() != wanted:
                self._make(wanted)
        return self

    def install(self, *arguments: str) -> None:
        """Run ``pip install`` in it.

        Raises:
            EnvironmentFailure: pip failed.
        """
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        # Compiling everything takes as long as installing it; Python compiles what it imports.
        self._run(
            [*pip, "install", "--no-compile", *arguments], "pip could not install what is needed; is PyPI reachable?"
        )

    def _make(self, wanted: str) -> None:
        started = time.monotonic()
        where = self.directory.relative_to(ROOT)
        print(f"preparing {where} (once; nothing outside of it changes)", flush=True)
        self._log.unlink(missing_ok=True)
        hint = "Python's venv module is missing or broken; on Debian and Ubuntu `apt install python3-venv` brings it."
        self._run([sys.executable, "-m", "venv", "--clear", str(self.directory)], hint)
        self.install("--upgrade", "pip")  # the one that comes with Python may be years old and search for minutes
        constraints = ["--constraint", str(self._constraints)] if self._constraints else []
        self.install(*constraints, *self._requirements)
        self._stamp.write_text(wanted, encoding="utf-8")
        print(f"prepared {where} in {time.monotonic() - started:.0f} s", flush=True)

    def _run(self, command: list[str], hint: str) -> None:
        """Run quietly, with a sign of life now and then; the output is shown only when it fails."""
        started = time.monotonic()
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=clean_environ(), stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    try:
                        process.wait(timeout=WAIT_BETWEEN_SIGNS_OF_LIFE)
                    except subprocess.TimeoutExpired:
                        print(f"  … still installing, {time.monotonic() - started:.0f} s", flush=True)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode:
            tail = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise EnvironmentFailure(f"{tail}\n\n{' '.join(command)} ended with code {process.returncode}.\n{hint}")

    def _read_stamp(self) -> str:
        try:
            return self._stamp.read_text(encoding="utf-8")
        except OSError:
            return ""

    def _fingerprint(self) -> str:
        ingredients = [sys.version, sys.executable, str(self.directory), *self._requirements, packaging_tables()]
        if self._constraints:
            ingredients.append(self._constraints.read_text(encoding="utf-8"))
        return hashlib.sha256("\0".join(ingredients).encode()).hexdigest()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time make this environment, where the system can lock files."""
        VENVS.mkdir(exist_ok=True)
        with (VENVS / f"{self.directory.name}.lock").open("w", encoding="utf-8") as lock:
            if sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print(f"another command is preparing {self.directory.relative_to(ROOT)}; waiting", flush=True)
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def packaging_tables() -> str:
    """The tables of ``pyproject.toml`` that decide what is installed; settings of tools do not."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = re.split(r"(?m)^(?=\[)", text)
    version = (ROOT / "src" / "genops_otel_posthog" / "version.py").read_text(encoding="utf-8")
    deciding = ("[build-system]", "[project", "[tool.hatch")
    return "".join(table for table in tables if table.startswith(deciding)) + version


def remove_all() -> None:
    """Remove every environment."""
    shutil.rmtree(VENVS, ignore_errors=True)
