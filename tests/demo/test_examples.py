"""The compose files of the examples: their form, since no container engine is needed to run the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genops_otel_posthog.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = ["jaeger/docker-compose.yaml", "signoz/docker-compose.yaml"]
OURS = "genops-posthog-example"


def compose(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return content


def default_of(value: str) -> str:
    """``default`` of ``${VARIABLE:-default}``."""
    return value.partition(":-")[2].removesuffix("}") if value.startswith("${") else value


@pytest.mark.parametrize("name", FILES)
def test_images_of_others_are_pinned(name: str) -> None:
    images = {service["image"] for service in compose(name)["services"].values()} - {OURS}

    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_the_images_of_signoz_are_pinned() -> None:
    spec = compose("signoz/casting.yaml")["spec"]

    assert [spec[part]["spec"]["image"].rpartition(":v")[1] for part in ("signoz", "ingester")] == [":v", ":v"]


@pytest.mark.parametrize("name", FILES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    ports = [port for service in compose(name)["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", FILES)
def test_our_image_is_built_from_files_that_exist(name: str) -> None:
    for service in compose(name)["services"].values():
        if service["image"] == OURS:
            context = (EXAMPLES / name).parent / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
            assert (context / "pyproject.toml").is_file()


@pytest.mark.parametrize("name", FILES)
def test_the_shop_runs_under_opentelemetry_instrument_with_valid_settings(name: str) -> None:
    shop = compose(name)["services"]["shop"]
    environment = {variable: default_of(value) for variable, value in shop["environment"].items()}

    assert shop["command"] == ["opentelemetry-instrument", "python", "shop.py"]
    assert Settings.from_environ(environment, strict=True).team == "platform"
    assert environment["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"


@pytest.mark.parametrize("name", FILES)
def test_services_that_are_waited_for_exist_and_can_be_healthy(name: str) -> None:
    services = compose(name)["services"]
    for service in services.values():
        for other, condition in service.get("depends_on", {}).items():
            assert condition["condition"] == "service_started" or "healthcheck" in services[other]


def test_the_dockerfile_copies_what_the_ignore_file_lets_through() -> None:
    dockerfile = (EXAMPLES / "jaeger/Dockerfile").read_text()
    allowed = (EXAMPLES / "jaeger/Dockerfile.dockerignore").read_text().splitlines()

    assert "src/genops_otel_posthog/demo/shop.py" in dockerfile
    assert {"!src", "!pyproject.toml", "!README.md", "!LICENSE"} <= set(allowed)
