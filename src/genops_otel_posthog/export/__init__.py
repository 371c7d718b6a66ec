"""From a governed span to an event, and to whoever wants to know: rules, the durable outbox, destinations."""
