"""Options that several conversion methods have."""

from network.options import POSITIVE, Option, Range

PERCENTILE = Option(
    99.9, "of the activations, above 0 and at most 100", Range(above=0.0, most=100.0)
)
DEFINITION = Option(
    "all",
    "of the percentile: over 'all' activations, or the 'nonzero' ones alone",
    choices=("all", "nonzero"),
)
MADE_FOR = Option(16, "T that thresholds are made for", POSITIVE)
LOOKED_FOR = Option(100, "steps in which the largest currents are looked for", POSITIVE)
