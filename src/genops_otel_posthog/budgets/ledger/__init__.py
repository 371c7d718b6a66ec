"""Where money is counted: one protocol, several ledgers, chosen by a URL."""
