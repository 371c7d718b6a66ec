# Thin names for what scripts/run.py does; it works without make too.

PYTHON ?= python3
RUN := $(PYTHON) scripts/run.py

.PHONY: install format lint typecheck test test-slow demo bench sdk-suite docs clean

install format lint typecheck test demo bench sdk-suite docs clean:
	$(RUN) $@ $(ARGS)

test-slow:
	$(RUN) test --slow $(ARGS)
