"""The first thing a newcomer sees: a web shop under ``opentelemetry-instrument``, and what its PostHog calls cost whom.

``shop.py`` is the application, written as anyone would write it. ``traffic.py`` visits it, ``run.py`` starts and stops
everything, ``figures.py`` reads what arrived, ``report.py`` shows it.
"""
