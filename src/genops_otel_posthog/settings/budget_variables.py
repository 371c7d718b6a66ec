"""The environment variables about budgets: limits, what refusal does, where money is counted, who is told."""

from __future__ import annotations

from genops_otel_posthog.settings.budget_values import (
    any_names,
    ledger_url,
    milliseconds,
    names_in_order,
    personal_key,
    share,
    thresholds,
    usd,
    webhook,
)
from genops_otel_posthog.settings.time_zones import time_zone
from genops_otel_posthog.settings.values import choice, switch, text
from genops_otel_posthog.settings.variable import Variable

DEFAULT_LEDGER_WAIT_MS = 50
MAX_LEDGER_WAIT_MS = 10_000

BUDGET_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GENOPS_DAILY_BUDGET_LIMIT",
        "daily_budget_limit",
        "What the owner that `GENOPS_TEAM`, `GENOPS_PROJECT`, `GENOPS_ENVIRONMENT` and `GENOPS_CUSTOMER_ID` name may "
        "spend per day, in USD; the whole organisation, where they name nobody.",
        "–",
        "20",
        usd,
    ),
    Variable(
        "GENOPS_WEEKLY_BUDGET_LIMIT", "weekly_budget_limit", "The same per ISO week, from Monday on.", "–", "120", usd
    ),
    Variable("GENOPS_MONTHLY_BUDGET_LIMIT", "monthly_budget_limit", "The same per calendar month.", "–", "412.50", usd),
    Variable(
        "GENOPS_BUDGET_SHARE",
        "budget_share",
        "The part of these three limits that this process may use, for replicas that share no ledger.",
        "`1`",
        "1/3",
        share,
    ),
    Variable(
        "GENOPS_BUDGET_TIME_ZONE",
        "budget_time_zone",
        "IANA time zone whose days, weeks and months count, for every budget that names none itself.",
        "`UTC`",
        "Europe/Berlin",
        time_zone,
    ),
    Variable(
        "GENOPS_BUDGETS_FILE",
        "budgets_file",
        "TOML file with any number of budgets, beside those of the variables.",
        "–",
        "/etc/genops/budgets.toml",
        text,
    ),
    Variable(
        "GENOPS_ON_BUDGET_EXCEEDED",
        "on_budget_exceeded",
        "What happens to a call that a budget refuses: `drop` (it is not made; the application goes on) or `raise` "
        "(`GenOpsBudgetExceededError`).",
        "`drop`",
        "raise",
        choice("drop", "raise"),
    ),
    Variable(
        "GENOPS_CRITICAL_EVENTS",
        "critical_events",
        "Names of events, with their `$`, that are admitted past the limit of `advisory` and `enforced` budgets and "
        "counted as overdraft; `none` for none.",
        "`none`",
        "order_completed,$exception",
        any_names,
    ),
    Variable(
        "GENOPS_LEDGER_URL",
        "ledger_url",
        "Where money is counted: `sqlite:///path` for the processes of one machine, `redis://`, `rediss://`, "
        "`valkey://` or `valkeys://` for many machines, `unix://` for Redis or Valkey on a socket, `memory://` for one "
        "process alone. Not given: a SQLite file in the user's state directory when there is any budget; without a "
        "budget the process counts by itself.",
        "–",
        "redis://ledger.internal:6379/0",
        ledger_url,
        secret=True,
    ),
    Variable(
        "GENOPS_LEDGER_WAIT",
        "ledger_wait_ms",
        "The longest time a call waits for the ledger when the process holds nothing to spend, in milliseconds from 0 "
        f"to {MAX_LEDGER_WAIT_MS:,}.",
        f"`{DEFAULT_LEDGER_WAIT_MS}`",
        "20",
        milliseconds(MAX_LEDGER_WAIT_MS),
    ),
    Variable(
        "GENOPS_ALERT_WEBHOOK",
        "alert_webhook",
        "URL that is told when a budget reaches a threshold or runs out.",
        "–",
        "https://alerts.example.com/budgets",
        webhook,
        secret=True,
    ),
    Variable(
        "GENOPS_ALERT_FORMAT",
        "alert_format",
        "What it is told in: `generic`, `slack`, `alertmanager` (its own interface), `alertmanager-webhook` (what it "
        "sends), or `auto`, which goes by the URL.",
        "`auto`",
        "slack",
        choice("auto", "generic", "slack", "alertmanager", "alertmanager-webhook"),
    ),
    Variable(
        "GENOPS_ALERT_SECRET",
        "alert_secret",
        "Secret that signs what it is told, so that the receiver knows who sent it: `whsec_` and 24 to 64 bytes in "
        "base64; while it is replaced, two of them with a blank between them.",
        "–",
        "whsec_…",
        text,
        secret=True,
    ),
    Variable(
        "GENOPS_ALERT_THRESHOLDS",
        "alert_thresholds",
        "From which percentage of a budget on, `period:pct[:severity][:forecast],…`, for every budget that has no "
        "thresholds of its own. Periods are `daily`, `weekly`, `monthly`, `quarterly` and `custom`; severities `info`, "
        "`warning` and `critical`; `forecast` compares what the period will have cost at its end. A budget that runs "
        "out is told in any case.",
        "–",
        "daily:80,weekly:90,monthly:95,monthly:100:critical:forecast",
        thresholds,
    ),
    Variable(
        "GENOPS_ALERT_ESCALATION",
        "alert_escalation",
        "Whom to tell, in order; passed on with every alert. `none` for nobody.",
        "`none`",
        "on-call,head-of-finance",
        names_in_order,
        secret=True,
    ),
    Variable(
        "GENOPS_BUDGET_SAMPLING",
        "budget_sampling",
        "Whether low-value events are sampled while a budget fills up, before it refuses.",
        "`off`",
        "on",
        switch,
    ),
    Variable(
        "POSTHOG_PERSONAL_API_KEY",
        "personal_api_key",
        "Personal API key, for `genops-posthog usage reconcile`, which reads PostHog's bill.",
        "–",
        "phx_…",
        personal_key,
        secret=True,
    ),
)
