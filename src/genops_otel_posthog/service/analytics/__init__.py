"""Analytics of an application's users: interactions, sessions, states of mind; told to PostHog and kept in a store."""
