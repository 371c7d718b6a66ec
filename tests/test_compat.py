"""The guide's import paths: there when asked for, out of the way of a real ``genops``."""

from __future__ import annotations

import ast
import functools
import importlib
import logging
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import genops_otel_posthog
import genops_otel_posthog.compat as compat
from genops_otel_posthog import errors
from genops_otel_posthog.adapter import validation, zero_code
from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.pricing.calculator import PostHogCostCalculator

#: Names of the guide's own pieces, which it shows as code to copy or uses without importing them.
GUIDE_NAMES = (
    "BatchEventProcessor",
    "CachedFeatureFlagEvaluator",
    "GenOpsPostHogAdapter",
    "PostHogAnalyticsSession",
    "PostHogCostCalculator",
    "ScalablePostHogAnalytics",
    "analyze_weekly_cost_trend",
    "create_tenant_adapter",
    "export_analytics_metrics",
    "get_daily_event_count",
    "get_daily_flag_count",
    "send_alert",
    "send_to_datadog",
    "smart_event_sampling",
)


@functools.cache
def defined_names() -> dict[str, set[str]]:
    """Classes and functions at the top of each module of the package, by the module's name without the package's."""
    package = Path(genops_otel_posthog.__file__).parent
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): {
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for path in package.rglob("*.py")
    }


def forget_genops() -> None:
    for name in [name for name in sys.modules if name == "genops" or name.startswith("genops.")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def no_genops() -> Iterator[None]:
    forget_genops()
    yield
    forget_genops()


@pytest.mark.parametrize(
    ("module", "name", "original"),
    [
        ("genops.providers.posthog", "auto_instrument", zero_code.auto_instrument),
        ("genops.providers.posthog", "instrument_posthog", zero_code.instrument_posthog),
        ("genops.providers.posthog", "uninstrument_posthog", zero_code.uninstrument_posthog),
        ("genops.providers.posthog", "get_current_adapter", zero_code.get_current_adapter),
        ("genops.providers.posthog", "GenOpsPostHogAdapter", GenOpsPostHogAdapter),
        ("genops.providers.posthog", "PostHogCostCalculator", PostHogCostCalculator),
        ("genops.providers.posthog_validation", "validate_setup", validation.validate_setup),
        ("genops.providers.posthog_validation", "print_validation_result", validation.print_validation_result),
        ("genops.providers.posthog", "PostHogAnalyticsSession", PostHogAnalyticsSession),
        ("genops.providers.posthog", "GenOpsBudgetExceededError", errors.GenOpsBudgetExceededError),
        ("genops.providers.posthog_validation", "ValidationLevel", validation.ValidationLevel),
        ("genops.core.exceptions", "GenOpsBudgetExceededError", errors.GenOpsBudgetExceededError),
        ("genops.core.exceptions", "GenOpsConfigurationError", errors.GenOpsConfigurationError),
        ("genops.core.exceptions", "GenOpsValidationError", errors.GenOpsValidationError),
    ],
)
def test_an_alias_is_the_same_object(module: str, name: str, original: object) -> None:
    assert compat.install_aliases() is True

    assert getattr(importlib.import_module(module), name) is original


@pytest.mark.requirement("D-22", "E-04")
def test_every_alias_exists() -> None:
    compat.install_aliases()

    for module, names in compat.ALIASES.items():
        for name in names:
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.requirement("D-22")
@pytest.mark.parametrize("name", GUIDE_NAMES)
def test_what_the_guide_names_has_an_alias_as_soon_as_it_exists(name: str) -> None:
    homes = {
        f"{module}.{name}"
        for module, names in defined_names().items()
        if name in names and module.startswith(("adapter.", "pricing.", "service."))
    }
    aliased = compat.ALIASES["genops.providers.posthog"].get(name)

    assert homes == (set() if aliased is None else {f"{aliased}.{name}"})


def test_packages_on_the_way_can_be_walked_through() -> None:
    compat.install_aliases()
    genops = importlib.import_module("genops")

    assert genops.providers.posthog.auto_instrument is zero_code.auto_instrument


def test_importing_the_module_is_enough() -> None:
    importlib.reload(compat)

    assert "genops.providers.posthog" in sys.modules


def test_doing_it_twice_changes_nothing() -> None:
    compat.install_aliases()
    first = sys.modules["genops"]

    assert compat.install_aliases() is True
    assert sys.modules["genops"] is first


def test_who_looks_for_genops_finds_a_package() -> None:
    compat.install_aliases()

    spec = find_spec("genops")
    assert spec is not None
    assert spec.submodule_search_locations is not None


def test_a_module_that_has_no_alias_is_not_found() -> None:
    compat.install_aliases()

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("genops.providers.openai")


@pytest.mark.parametrize("imported", [False, True], ids=["installed", "imported"])
def test_a_real_genops_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, imported: bool
) -> None:
    (tmp_path / "genops.py").write_text("owner = 'somebody else'", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    if imported:
        importlib.import_module("genops")

    with caplog.at_level(logging.WARNING):
        assert compat.install_aliases() is False

    assert importlib.import_module("genops").owner == "somebody else"
    assert "Import from genops_otel_posthog instead" in caplog.text
