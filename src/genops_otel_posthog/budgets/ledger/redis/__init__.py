"""A ledger on Redis or Valkey: for any number of machines."""

from genops_otel_posthog.budgets.ledger.redis.ledger import RedisLedger

__all__ = ["RedisLedger"]
