"""The GenOps API of the guide, as a thin face over attribution, pricing and instrumentation."""
