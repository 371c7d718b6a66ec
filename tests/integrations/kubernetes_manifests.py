"""The manifests of ``examples/kubernetes``, and as Kustomize would put them together."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
OPERATOR = FOLDER / "operator"

_ENVIRONMENT_VARIABLE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "value"],
    "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
}

#: What of the Operator's ``Instrumentation`` is used here. The published definition is
#: https://github.com/open-telemetry/opentelemetry-operator/blob/main/docs/api/instrumentations.md; it is in no package.
INSTRUMENTATION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "opentelemetry.io/v1alpha1"},
        "kind": {"const": "Instrumentation"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "exporter": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"endpoint": {"type": "string", "pattern": "^https?://[^/]+:[0-9]+$"}},
                },
                "propagators": {
                    "type": "array",
                    "items": {
                        "enum": ["tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none"]
                    },
                },
                "sampler": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "type": {
                            "enum": [
                                "always_on",
                                "always_off",
                                "traceidratio",
                                "parentbased_always_on",
                                "parentbased_always_off",
                                "parentbased_traceidratio",
                                "jaeger_remote",
                                "xray",
                            ]
                        },
                        "argument": {"type": "string"},
                    },
                },
                "env": {"type": "array", "items": _ENVIRONMENT_VARIABLE},
                "python": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "image": {"type": "string"},
                        "env": {"type": "array", "items": _ENVIRONMENT_VARIABLE},
                    },
                },
            },
        },
    },
}


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@lru_cache
def built(folder: Path) -> tuple[dict[str, Any], ...]:
    """What ``kubectl apply -k`` would apply: the resources with the patches merged into them.

    Only what is used here of Kustomize is understood; anything else is an error.
    """
    (kustomization,) = documents(folder / "kustomization.yaml")
    unknown = kustomization.keys() - {"apiVersion", "kind", "resources", "patches"}
    if kustomization["kind"] != "Kustomization" or unknown:
        raise ValueError(f"not understood: {sorted(unknown)}")
    resources: list[dict[str, Any]] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve(strict=True)
        resources += built(path) if path.is_dir() else documents(path)
    for patch in kustomization.get("patches", ()):
        target = (patch["target"]["kind"], patch["target"]["name"])
        (place,) = [number for number, given in enumerate(resources) if identity(given) == target]
        (change,) = documents(folder / patch["path"])
        resources[place] = _merged(resources[place], change)
    return tuple(resources)


def identity(resource: dict[str, Any]) -> tuple[str, str]:
    """Kind and name."""
    return resource["kind"], resource["metadata"]["name"]


def resource(kind: str, name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """One of the resources."""
    (found,) = [given for given in built(folder) if identity(given) == (kind, name)]
    return found


def pods(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The templates of pods."""
    return [given["spec"]["template"] for given in built(folder) if given["kind"] in ("Deployment", "StatefulSet")]


def container(name: str) -> dict[str, Any]:
    """A container by its name."""
    (found,) = [given for pod in pods() for given in pod["spec"]["containers"] if given["name"] == name]
    return found


def environment() -> dict[str, str]:
    """The variables of the shop's container."""
    (from_map, from_secret) = container("shop")["envFrom"]
    return {
        **resource("ConfigMap", from_map["configMapRef"]["name"])["data"],
        **resource("Secret", from_secret["secretRef"]["name"])["stringData"],
    }


def _merged(given: Any, change: Any) -> Any:
    """A strategic merge, of mappings alone."""
    if not isinstance(change, dict):
        return change
    return {**given, **{key: _merged(given.get(key, {}), value) for key, value in change.items()}}
