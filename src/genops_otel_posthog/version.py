"""The version of the distribution, in one place for the build and for the telemetry scope."""

__version__ = "0.1.0"
