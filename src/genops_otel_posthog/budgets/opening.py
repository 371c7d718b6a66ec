"""From settings to a governor: which budgets, which ledger, who is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from genops_otel_posthog.budgets.alerts.delivery import AlertDelivery
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_file import BudgetFile
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.correspondence import AlertSink
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.protocol import LedgerCorrupt, LedgerUnavailable
from genops_otel_posthog.budgets.ledger.url import open_ledger
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.sampling import SamplingRules
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.budgets.synchroniser import OnExchange
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.leaving import run_on_sigterm
from genops_otel_posthog.places import state_directory
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.usage import BillingMonth, InProcessUsage
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

_ALONE = "memory://"


@dataclass(frozen=True)
class Budgeting:
    """What a process needs to decide about calls.

    Attributes:
        governor: Decides.
        sampling: Which events are left out as a budget fills; ``None``: none.
        critical_events: Names of events that pass an exhausted budget.
        raises: Whether a refused call raises instead of being dropped.
    """

    governor: Governor
    sampling: SamplingRules | None
    critical_events: frozenset[str]
    raises: bool


def open_budgeting(
    settings: Settings,
    book: PriceBook,
    usage: InProcessUsage,
    *,
    more: Iterable[Budget] = (),
    at_least: bool = False,
    used_before: Mapping[str, int] | None = None,
    quietly: Callable[[], AbstractContextManager[object]] = nullcontext,
    on_exchange: OnExchange = lambda seconds, error: None,
    strict: bool = True,
) -> Budgeting | None:
    """Opens what settings describe.

    Args:
        settings: The merged settings.
        book: The price book.
        usage: The process's month-to-date usage.
        more: Budgets besides those that settings describe.
        at_least: Whether there will be budgets even if there is none yet.
        used_before: Units per meter that the organisation is known to have used this month.
        quietly: Makes a context in which alerts are sent, so that whoever traces requests can leave these out.
        on_exchange: Told about each exchange with the ledger.
        strict: Raise on what cannot be used. Otherwise it is logged; without a usable ledger this process then counts
            for itself, without a usable webhook alerts go to the log alone.

    Returns:
        ``None`` when there is nothing to decide and nobody to share with: no budget, no ledger named, no policy strict.
        Nothing is then written anywhere.

    Raises:
        GenOpsConfigurationError: ``strict``, and the budgets, the ledger's URL or the webhook cannot be used.
        LedgerCorrupt: ``strict``, and what lies where the ledger should be is damaged.
    """
    file = BudgetFile.from_settings(settings, strict=strict)
    budgets = BudgetSet.from_settings(settings, file, strict=strict)
    for budget in more:
        budgets.add(budget)
    has_budgets = at_least or any(True for _ in budgets)
    if not has_budgets and settings.ledger_url is None and settings.governance_policy != "strict":
        return None
    if not has_budgets and settings.ledger_url is None:
        settings = replace(
            settings, ledger_url=_ALONE
        )  # policy strict asks for an owner, and there is nothing to share
    governor = _governor(
        settings, budgets, book, usage, used_before, _alerts(settings, quietly, strict=strict), on_exchange
    )
    try:
        governor.open()
    except LedgerUnavailable as error:
        _logger.warning("The budget ledger does not answer yet: %s. It is asked again", error)
    except (GenOpsConfigurationError, LedgerCorrupt) as error:
        if strict:
            raise
        _logger.error("%s. Until that is corrected, this process counts for itself alone", error)
        settings = replace(settings, ledger_url=_ALONE)
        governor = _governor(settings, budgets, book, usage, used_before, governor.alerts, on_exchange)
    run_on_sigterm(governor.close)
    return Budgeting(
        governor,
        _sampling(settings, file, strict=strict),
        settings.critical_events,
        settings.on_budget_exceeded == "raise",
    )


def _governor(
    settings: Settings,
    budgets: BudgetSet,
    book: PriceBook,
    usage: InProcessUsage,
    used_before: Mapping[str, int] | None,
    alerts: AlertSink | None,
    on_exchange: OnExchange,
) -> Governor:
    return Governor(
        budgets,
        Prices(book, settings.pricing_mode),
        usage,
        lambda: open_ledger(settings.ledger_url),
        GovernorOptions(policy=BudgetPolicy(settings.governance_policy), wait=settings.ledger_wait_ms / 1000),
        spool=_spool(settings.ledger_url),
        usage_at_least={BillingMonth.at(time.time()).id: used_before} if used_before else None,
        alerts=alerts,
        on_exchange=on_exchange,
    )


def _spool(ledger_url: str | None) -> Spool | None:
    if ledger_url == _ALONE:
        return None
    try:
        return Spool(state_directory("set XDG_STATE_HOME") / "untold", ledger_url or "")
    except GenOpsConfigurationError:
        return None  # there is no home directory; a ledger that was named needs none


def _sampling(settings: Settings, file: BudgetFile, *, strict: bool) -> SamplingRules | None:
    if not settings.budget_sampling:
        return None
    try:
        return SamplingRules.from_table(file.sampling or {}, str(file.path))
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("%s. The rates of the guide stand", error)
        return SamplingRules()


def _alerts(
    settings: Settings, quietly: Callable[[], AbstractContextManager[object]], *, strict: bool
) -> AlertDelivery:
    try:
        return AlertDelivery(
            settings.alert_webhook,
            format=settings.alert_format,
            secret=settings.alert_secret,
            escalation=settings.alert_escalation,
            quietly=quietly,
        )
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("%s. Alerts go to the log alone", error)
        return AlertDelivery()
