"""The first thing a newcomer sees: a web shop under ``opentelemetry-instrument``, and what its PostHog calls cost whom.

``shop.py`` is the application, written as anyone would write it, and ``assistant.py`` the agent in it. ``traffic.py``
visits it, ``run.py`` starts and stops everything, ``evidence.py`` and ``one_trace.py`` read what arrived, ``report.py``
shows it.
"""
