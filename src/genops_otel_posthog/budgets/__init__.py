"""May this be spent? Budgets, their periods, and the governor that decides locally against a shared ledger."""
