"""Does this process have siblings on other machines? What platforms tell their processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: Variable → the platform that sets it, on each of any number of instances.
_PLATFORMS: Final[Mapping[str, str]] = {
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
    "ECS_CONTAINER_METADATA_URI": "Amazon ECS",
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "K_SERVICE": "Cloud Run",
    "CONTAINER_APP_NAME": "Azure Container Apps",
    "WEBSITE_INSTANCE_ID": "Azure App Service",
    "NOMAD_ALLOC_ID": "Nomad",
    "DYNO": "Heroku",
    "FLY_MACHINE_ID": "Fly.io",
    "RENDER_SERVICE_ID": "Render",
    "RAILWAY_REPLICA_ID": "Railway",
}
_GUNICORN_WORKERS: Final = re.compile(r"(?:^|\s)(?:-w|--workers)[ =]?(\d+)")


def platform_with_replicas(environ: Mapping[str, str]) -> str | None:
    """The platform that this process runs on, if it is one that runs several instances of an application."""
    return next((name for variable, name in _PLATFORMS.items() if environ.get(variable, "").strip()), None)


def workers(environ: Mapping[str, str]) -> int:
    """How many processes the web server of this machine is told to run by the environment, 1 where it is not told."""
    given = environ.get("WEB_CONCURRENCY", "").strip()
    if given.isdecimal():
        return int(given)
    found = _GUNICORN_WORKERS.search(environ.get("GUNICORN_CMD_ARGS", ""))
    return int(found[1]) if found else 1
