"""What instrumentation costs, as ratios that are measured in one process: ``python -m benchmarks``.

Absolute times of a microbenchmark say more about the machine than about the code. Every promise of this package about
speed is therefore a ratio to the price of one span of the same OpenTelemetry SDK, taken in the same process and the
same second.
"""
