"""Calls to models, and the steps of agents around them: read from any dialect, told as PostHog's ``$ai_…`` events."""
