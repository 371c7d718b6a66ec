"""The manifests of ``examples/kubernetes``: valid, consistent, and doing what they say with real processes.

Kubernetes' own published schemas, which come with the package ``kubernetes-validate``, decide what is valid; that of
the OpenTelemetry Operator, which is in no package, is restated for what is used of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest

from genops_otel_posthog.acceptance import project_key_problem
from genops_otel_posthog.places import state_directory
from genops_otel_posthog.receiver.server import LocalReceiver, environment_for
from genops_otel_posthog.settings import VARIABLES, Settings

from .kubernetes_manifests import (
    FOLDER,
    INSTRUMENTATION,
    OPERATOR,
    built,
    container,
    documents,
    environment,
    identity,
    pods,
    resource,
)

if str(Path(__file__).parents[1] / "budgets" / "ledger") not in sys.path:
    sys.path.append(str(Path(__file__).parents[1] / "budgets" / "ledger"))

from servers import KillableServer, start_server  # noqa: F401 - start_server is a fixture

pytestmark = pytest.mark.requirement("S4-72")

OF_THE_CLUSTER = [given for given in built(OPERATOR) if given["kind"] != "Instrumentation"]


# --- valid ------------------------------------------------------------------------------------------------------------


@pytest.mark.newest
@pytest.mark.parametrize("version", ["1.30", "newest"])
@pytest.mark.parametrize("given", OF_THE_CLUSTER, ids=lambda given: "/".join(identity(given)))
def test_kubernetes_would_take_it(given: dict[str, Any], version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="it is in the extra `newest`")
    wanted = validator.latest_version() if version == "newest" else version

    assert wanted.startswith(validator.validate(given, wanted, strict=True))


@pytest.mark.newest
def test_the_schemas_find_a_misspelt_field_and_a_wrong_type() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="it is in the extra `newest`")
    deployment = resource("Deployment", "shop")
    for broken in ({"replica": 3}, {"replicas": "three"}):
        changed = {**deployment, "spec": {**deployment["spec"], **broken}}
        with pytest.raises(validator.ValidationError):
            validator.validate(changed, validator.latest_version(), strict=True)


@pytest.mark.newest
def test_the_operator_would_take_its_instrumentation() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="it is in the extra `newest`")

    jsonschema.validate(resource("Instrumentation", "genops", OPERATOR), INSTRUMENTATION)


# --- consistent -------------------------------------------------------------------------------------------------------


def test_every_file_is_applied_or_merged() -> None:
    named = {FOLDER / name for name in documents(FOLDER / "kustomization.yaml")[0]["resources"]}
    (operator,) = documents(OPERATOR / "kustomization.yaml")
    named |= {
        OPERATOR / name for name in (*operator["resources"][1:], *(patch["path"] for patch in operator["patches"]))
    }

    assert named == {path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}


def test_the_key_is_in_the_secret_and_nothing_secret_is_in_the_configmap() -> None:
    secret = {variable.name for variable in VARIABLES if variable.secret}
    secrets = resource("Secret", "posthog")["stringData"]

    assert secrets.keys() == {"POSTHOG_API_KEY"} <= secret
    assert project_key_problem(secrets["POSTHOG_API_KEY"]) is None
    # A URL may hold a password; this one does not.
    public = resource("ConfigMap", "genops")["data"]
    assert secret & public.keys() == {"GENOPS_LEDGER_URL"}
    assert "@" not in public["GENOPS_LEDGER_URL"]


def test_every_variable_exists_and_has_a_value_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environ(strict=True)

    assert given.keys() - {variable.name for variable in VARIABLES} == {"XDG_STATE_HOME"}
    assert (settings.team, settings.governance_policy, settings.daily_budget_limit) == (
        "k8s-analytics",
        "enforced",
        200,
    )
    assert settings.durable_capture


@pytest.mark.requirement("S4-79")
def test_three_replicas_count_in_the_ledger_that_the_service_leads_to() -> None:
    ledger = urlsplit(environment()["GENOPS_LEDGER_URL"])
    service = resource("Service", "ledger")["spec"]
    (port,) = service["ports"]

    assert resource("Deployment", "shop")["spec"]["replicas"] == 3
    assert (ledger.scheme, ledger.hostname, ledger.port) == ("redis", "ledger", port["port"])
    assert port["targetPort"] in {named["name"] for named in container("valkey")["ports"]}


def test_services_and_policies_select_pods_that_exist() -> None:
    labels = [pod["metadata"]["labels"].items() for pod in pods()]
    selectors = [given["spec"]["selector"] for given in built(FOLDER) if given["kind"] == "Service"]
    policy = resource("NetworkPolicy", "ledger")["spec"]
    selectors.append(policy["podSelector"]["matchLabels"])
    selectors.append(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"])

    assert [sum(selector.items() <= given for given in labels) for selector in selectors] == [1, 1, 1, 1]


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod["metadata"]["labels"]["app.kubernetes.io/name"])
def test_pods_may_do_nothing_that_they_need_not(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for given in spec["containers"]:
        assert given["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in given["resources"]["limits"]
        assert given["readinessProbe"]
        assert given["livenessProbe"]


def test_everything_that_is_kept_on_disk_lies_in_the_volume() -> None:
    state = PurePosixPath(state_directory("", environment(), "linux").as_posix())
    shop = resource("Deployment", "shop")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container("shop")["volumeMounts"]}

    assert [name for path, name in mounts.items() if state.is_relative_to(path)] == ["state"]
    assert {volume["name"] for volume in shop["volumes"]} == set(mounts.values())


def test_pods_have_the_time_that_the_server_takes_to_deliver() -> None:
    from inspect import signature

    from genops_otel_posthog.integrations.asgi import PostHogGovernanceMiddleware

    seconds = signature(PostHogGovernanceMiddleware).parameters["flush_seconds"].default
    spec = resource("Deployment", "shop")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 30 + seconds  # what requests may take, and then the deliveries


def test_the_annotation_names_the_instrumentation() -> None:
    pod = resource("Deployment", "shop", OPERATOR)["spec"]["template"]
    (instrumentation,) = [given for given in built(OPERATOR) if given["kind"] == "Instrumentation"]

    assert pod["metadata"]["annotations"] == {
        "instrumentation.opentelemetry.io/inject-python": instrumentation["metadata"]["name"]
    }
    assert pod["spec"] == resource("Deployment", "shop")["spec"]["template"]["spec"]


@pytest.mark.parametrize("dockerfile", sorted(FOLDER.rglob("Dockerfile")), ids=lambda path: path.parent.name)
def test_what_an_image_is_built_from_is_not_ignored(dockerfile: Path) -> None:
    root = FOLDER.parents[1]
    ignored = (dockerfile.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]

    assert all((root / name).exists() for name in kept)
    assert {"src", "pyproject.toml", "README.md", "LICENSE"} <= set(kept)
    assert ("examples/fastapi_app.py" in kept) == ("examples/fastapi_app.py" in dockerfile.read_text(encoding="utf-8"))


# --- doing what they say ----------------------------------------------------------------------------------------------

REPLICA = """
from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsPostHogAdapter

adapter = GenOpsPostHogAdapter()
admitted = 0
for number in range(400):
    try:
        adapter.capture_event_with_governance("page_viewed", {"number": number})
        admitted += 1
    except GenOpsBudgetExceededError:
        pass
adapter.shutdown()
print(admitted)
"""


@pytest.mark.requirement("S4-79")
def test_three_replicas_spend_what_one_may(
    start_server: Callable[..., KillableServer],  # noqa: F811 - the fixture that is imported
    receiver: LocalReceiver,
    tmp_path: Path,
) -> None:
    """With the environment of the manifests but for addresses and a smaller limit: of 1,200 events, 400 can be paid."""
    command = container("valkey")["args"]
    assert command[0] == "valkey-server"
    ledger = start_server(tcp=True, options=tuple(command[1:]))
    variables = {
        **environment(),
        "POSTHOG_HOST": receiver.url,
        "GENOPS_LEDGER_URL": ledger.tcp_url + "/0",
        "GENOPS_DAILY_BUDGET_LIMIT": "0.02",
        "GENOPS_PRICING_MODE": "list",
        "PYTHONWARNINGS": "ignore",
    }
    replicas = [
        subprocess.Popen(
            [sys.executable, "-c", REPLICA],
            env={**os.environ, **variables, "XDG_STATE_HOME": str(tmp_path / f"replica-{number}")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(resource("Deployment", "shop")["spec"]["replicas"])
    ]
    admitted = [int(replica.communicate(timeout=60)[0]) for replica in replicas]

    assert 0 < sum(admitted) <= 400
    arrived = receiver.events("page_viewed", token=variables["POSTHOG_API_KEY"])
    assert len(arrived) == sum(admitted)


UNCHANGED = """
import os, posthog
posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
posthog.capture("page_viewed", distinct_id="ann")
"""


@pytest.mark.newest
@pytest.mark.slow
def test_an_application_that_was_not_changed_is_governed_by_what_the_operator_injects(
    receiver: LocalReceiver, tmp_path: Path
) -> None:
    """The Operator sets ``PYTHONPATH`` and variables, and the application is started as it always is."""
    import opentelemetry.instrumentation.auto_instrumentation as injected

    spec = resource("Instrumentation", "genops", OPERATOR)["spec"]
    packages = Path(injected.__path__[0]).parents[2]
    (tmp_path / "app.py").write_text(UNCHANGED)
    variables = {
        **environment(),
        **{given["name"]: given["value"] for given in spec["python"]["env"]},
        "OTEL_SERVICE_NAME": "injected",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_PROPAGATORS": ",".join(spec["propagators"]),
        "PYTHONPATH": f"{packages}/opentelemetry/instrumentation/auto_instrumentation:{packages}",
        # Of this test: where things are, and a span for certain.
        **environment_for(receiver.url),
        "OTEL_TRACES_SAMPLER": "always_on",
        "GENOPS_LEDGER_URL": "memory://",
        "XDG_STATE_HOME": str(tmp_path),
    }
    finished = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    (span,) = receiver.spans("capture page_viewed", service="injected")
    assert span.attributes["genops.team"] == "k8s-analytics"
    (event,) = receiver.events("page_viewed", token="phc_local")
    assert event.properties["genops_project"] == "microservices"
