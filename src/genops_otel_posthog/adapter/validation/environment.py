"""Do the environment variables say something, is it possible, and are they spelt as they are read?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import masked_key
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.settings import ANNOUNCED, Settings
from genops_otel_posthog.settings.environment import unusable_values
from genops_otel_posthog.settings.names import PREFIX, foreign_names
from genops_otel_posthog.settings.variable import Variable

_KEY, _HOST, _ENVIRONMENT, _OWNER = "Project key", "Host", "Environment", "Attribution"
_WHERE_THE_KEY_IS = "https://posthog.com/docs/libraries/python"
SET_THE_KEY: Final = "export POSTHOG_API_KEY=phc_…"

#: PostHog's hosts, by the names that its documentation has used.
POSTHOG_HOSTS: Final = (
    "us.i.posthog.com",
    "eu.i.posthog.com",
    "us.posthog.com",
    "eu.posthog.com",
    "app.posthog.com",
    "i.posthog.com",
)

#: What stands in examples instead of a key.
_PLACEHOLDER = re.compile(r"your[-_]|example|project[-_](api[-_])?key|x{6}|\.\.\.|<.*>", re.IGNORECASE)


def validate_environment_config(environ: Mapping[str, str] | None = None) -> list[ValidationIssue]:
    """Checks the environment variables: values, names, the project key's form, the host, the owner.

    Args:
        environ: The environment; that of the process when not given.
    """
    environ = os.environ if environ is None else environ
    unusable = unusable_values(environ)
    settings = Settings.from_environ(environ, strict=False)
    findings = [_unusable(value.variable, value.problem) for value in unusable]
    wrong = {value.variable.name for value in unusable}
    if "POSTHOG_API_KEY" not in wrong:
        findings += key_findings(settings.api_key)
    if "POSTHOG_HOST" not in wrong:
        findings.append(_host(settings.host))
    return [*findings, *_switched_off(settings), *_owner(settings), *_names(environ)]


def _unusable(variable: Variable, problem: str) -> ValidationIssue:
    component = {"POSTHOG_API_KEY": _KEY, "POSTHOG_HOST": _HOST}.get(variable.name, _ENVIRONMENT)
    return error(
        component,
        f"{problem}.",
        "Correct the variable, or unset it.",
        f"export {variable.name}={variable.example}",
    )


def key_findings(key: str | None) -> list[ValidationIssue]:
    """Whether a key, which the settings have accepted, looks like a project key. One finding."""
    if key is None:
        return [
            error(
                _KEY,
                "POSTHOG_API_KEY is not set.",
                "Copy the project key from PostHog: Settings, Project, General.",
                SET_THE_KEY,
                _WHERE_THE_KEY_IS,
            )
        ]
    shown = masked_key(key)
    if _PLACEHOLDER.search(key):
        return [
            warning(
                _KEY,
                f"POSTHOG_API_KEY ({shown}) looks like the placeholder of an example.",
                "Put the project key in its place: PostHog, Settings, Project, General.",
                SET_THE_KEY,
            )
        ]
    if not key.startswith("phc_"):
        return [
            warning(
                _KEY,
                f"POSTHOG_API_KEY ({shown}) does not start with phc_.",
                "Check that it is a project key.",
                SET_THE_KEY,
            )
        ]
    return [success(_KEY, f"POSTHOG_API_KEY ({shown}) has the form of a project key.")]


def _host(url: str) -> ValidationIssue:
    """What the settings have accepted as a host."""
    name = urlsplit(url).hostname or url
    if name in POSTHOG_HOSTS:
        return success(_HOST, f"{name} is PostHog's.")
    if name.endswith(".posthog.com"):
        return warning(
            _HOST,
            f"{name} is not one of PostHog's hosts for events: {', '.join(POSTHOG_HOSTS)}.",
            "Use the host of the region that the project is in.",
            "export POSTHOG_HOST=https://us.i.posthog.com",
        )
    if url.startswith("http://") and not _is_loopback(name):
        return warning(
            _HOST,
            f"{url} is not encrypted: everybody on the way can read the key and what events say about people.",
            "Use https.",
            f"export POSTHOG_HOST=https{url.removeprefix('http')}",
        )
    return info(_HOST, f"{name} is not PostHog's cloud; is it yours, or a proxy?")


def _is_loopback(name: str) -> bool:
    return name in ("localhost", "::1") or name.endswith(".localhost") or name.startswith("127.")


def _switched_off(settings: Settings) -> Iterator[ValidationIssue]:
    if settings.enabled is False:
        yield warning(
            _ENVIRONMENT,
            "POSTHOG_ENABLE is false, so nothing is sent to PostHog.",
            "Unset it, or set it to true, when events are to appear.",
            "unset POSTHOG_ENABLE",
        )


def _owner(settings: Settings) -> Iterator[ValidationIssue]:
    if settings.team is None:
        yield warning(
            _OWNER,
            "GENOPS_TEAM is not set, so cost has no owner unless the code names one.",
            "Name the team that answers for the cost.",
            "export GENOPS_TEAM=my-team",
        )
        return
    yield success(_OWNER, f"Cost belongs to team {settings.team}.")
    if settings.project is None:
        yield info(
            _OWNER,
            "GENOPS_PROJECT is not set, so cost is not told apart by project.",
            "Name the project.",
            "export GENOPS_PROJECT=my-project",
        )


def _names(environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    for name, meant in foreign_names(environ):
        if meant is None:
            yield warning(
                _ENVIRONMENT,
                f"{name} is not a variable of genops-otel-posthog and is ignored.",
                "Unset it, or look its name up in the environment reference.",
                f"unset {name}",
            )
        else:
            yield warning(
                _ENVIRONMENT,
                f"{name} is not read by anything; did you mean {meant}?",
                f"Rename it to {meant}.",
                f'export {meant}="${name}"; unset {name}',
            )
    for name, meaning in ANNOUNCED.items():
        if name.startswith(PREFIX) and environ.get(name, "").strip():
            yield warning(
                _ENVIRONMENT,
                f"{name} is announced and not acted on by this version. {meaning}",
                "Unset it until it is.",
                f"unset {name}",
            )
