"""Questions and a ``.env`` file: from nothing to a configuration that validates.

Every answer is checked as the setting itself is, before it is written; nothing is written before it was shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from genops_otel_posthog.adapter.validation.connection import validate_posthog_connection
from genops_otel_posthog.adapter.validation.findings import ValidationLevel, ValidationResult
from genops_otel_posthog.adapter.validation.setup import validate_setup
from genops_otel_posthog.settings import DEFAULT_HOST, VARIABLES
from genops_otel_posthog.settings.env_file import names_in, read_env_file, write_env_file
from genops_otel_posthog.settings.shown import shown_value

Ask = Callable[[str], str]
"""Shows a prompt and returns a line; raises ``EOFError`` where there is none, as :func:`input` does."""
Tell = Callable[[str], object]

_VARIABLES: Final = {variable.name: variable for variable in VARIABLES}
_KEY, _HOST, _LIMIT, _POLICY = (
    "POSTHOG_API_KEY",
    "POSTHOG_HOST",
    "GENOPS_DAILY_BUDGET_LIMIT",
    "GENOPS_GOVERNANCE_POLICY",
)
_REGIONS: Final[Mapping[str, str]] = {"us": DEFAULT_HOST, "eu": "https://eu.i.posthog.com"}
_YES, _NO = ("y", "yes"), ("n", "no")


class _Question(NamedTuple):
    name: str
    text: str
    required: bool = False


_QUESTIONS: Final = (
    _Question(_KEY, "Project key (PostHog: Settings, Project, General)", required=True),
    _Question(_HOST, "PostHog's region, us or eu, or the URL of your own host"),
    _Question("GENOPS_TEAM", "Team that answers for the cost", required=True),
    _Question("GENOPS_PROJECT", "Project within the team"),
    _Question("GENOPS_ENVIRONMENT", "Deployment environment, such as production"),
    _Question(_LIMIT, "Most that the team may spend on PostHog per day, in USD"),
    _Question(_POLICY, "When that is spent: advisory (tell), enforced (refuse) or strict (refuse from 95 % on)"),
    _Question("GENOPS_EXPORT_SPANS", "Shall spans (model calls, agents, errors) become PostHog events, true or false"),
)


def interactive_setup_wizard(
    path: str | os.PathLike[str] = ".env",
    *,
    offline: bool = False,
    ask: Ask = input,
    tell: Tell = print,
    environ: Mapping[str, str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> ValidationResult | None:
    """Asks for what is needed, writes it to a file with mode 0600, and validates what was written.

    A file that is there keeps its other lines, and what of it would be replaced is shown and asked about before. No
    answer means: as it is, in the file or in the environment.

    Args:
        path: The file.
        offline: Do not ask PostHog whether it accepts the key.
        ask: Where answers come from.
        tell: Where everything else goes.
        environ: The environment; that of the process when not given.
        progress: Told what is validated next, before it is.

    Returns:
        What the validation of the new configuration found; ``None`` when the input or the user ended it before
        anything was written.

    Raises:
        GenOpsConfigurationError: There is a file already, and it cannot be read.
        OSError: The file cannot be written.
    """
    environ = os.environ if environ is None else environ
    path = Path(path)
    there = names_in(path)
    known = {**environ, **(read_env_file(path) if there else {})}
    tell(f"The answers go to {path}, readable for you alone. No answer leaves a setting as it is; Ctrl-C ends it.")
    try:
        answers = _answers(known, offline, ask, tell)
        if not answers:
            tell("Nothing to write.")
        elif not _may_write(path, answers, there, ask, tell):
            tell("Nothing was written.")
            return None
    except (EOFError, KeyboardInterrupt):
        tell("\nEnded. Nothing was written.")
        return None
    if answers:
        write_env_file(path, answers)
        tell(f"Written: {path}. A shell reads it with: set -a; . {path}; set +a")
    for name in answers:
        if environ.get(name, "").strip() not in ("", answers[name]):
            tell(f"{name} is set to something else in this shell, and that wins there: unset {name}")
    tell("")
    return validate_setup(offline=offline, in_application=False, environ={**known, **answers}, progress=progress)


def _answers(known: Mapping[str, str], offline: bool, ask: Ask, tell: Tell) -> dict[str, str]:
    answers: dict[str, str] = {}
    for question in _QUESTIONS:
        if question.name == _POLICY and not ({**known, **answers}).get(_LIMIT, "").strip():
            continue
        _answer(question, known, answers, ask, tell)
        if question.name == _HOST and not offline:
            while _is_refused({**known, **answers}, tell):
                answers.pop(_KEY, None)
                _answer(_QUESTIONS[0]._replace(required=False), {}, answers, ask, tell)
                if _KEY not in answers:
                    break
    return answers


def _answer(question: _Question, known: Mapping[str, str], answers: dict[str, str], ask: Ask, tell: Tell) -> None:
    """Asks until the answer can be used."""
    name = question.name
    variable = _VARIABLES[name]
    present = shown_value(name, known.get(name, ""))
    default = variable.default.replace("`", "")
    hint = present or ("" if default == "–" else default)
    while True:
        given = ask(f"{question.text}{f' [{hint}]' if hint else ''}: ").strip()
        if name == _HOST:
            given = _REGIONS.get(given.lower(), given)
        if not given:
            if question.required and present is None:
                tell("  It is needed.")
                continue
            return
        try:
            variable.parse(given)
        except ValueError as reason:
            tell(f"  That cannot be used: {reason}.")
            continue
        if "'" in given or not given.isprintable():
            tell("  That cannot be used: it holds a quote, or a character that is none to see.")
            continue
        answers[name] = given
        return


def _is_refused(environ: Mapping[str, str], tell: Tell) -> bool:
    """Whether PostHog refuses the key; another key is then asked for. Whatever else is wrong is told."""
    tell("  Asking PostHog …")
    findings = validate_posthog_connection(environ=environ)
    for finding in findings:
        if finding.level in (ValidationLevel.ERROR, ValidationLevel.WARNING):
            tell(f"  {finding.component}: {finding.issue} {finding.recommendation}")
    if all(finding.level is ValidationLevel.SUCCESS for finding in findings):
        tell("  PostHog accepts the key.")
    return any(finding.component == "Key accepted" and finding.level is ValidationLevel.ERROR for finding in findings)


def _may_write(path: Path, answers: Mapping[str, str], there: set[str], ask: Ask, tell: Tell) -> bool:
    """Shows what would be written, and asks. What replaces something needs a yes."""
    replaced = [name for name in answers if name in there]
    tell("")
    for name, value in answers.items():
        tell(f"  {name}={shown_value(name, value)}{'  (replaces what is there)' if name in replaced else ''}")
    while True:
        hint, default = ("y/N", False) if replaced else ("Y/n", True)
        given = ask(f"Write {'these into' if path.exists() else 'them to'} {path}? [{hint}]: ").strip().lower()
        if not given:
            return default
        if given in _YES + _NO:
            return given in _YES
        tell("  Please answer y or n.")
