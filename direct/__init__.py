"""Training a spiking network directly: rules, surrogates, losses, normalisation."""

from direct import (  # noqa: F401  (importing a rule registers it)
    bptt,
    hybrid,
    membrane_bp,
    rate_bp,
    spike_bp,
    tdbn,
    tune_width,
)
from direct.losses import LOSSES
from direct.presets import PRESETS, Preset
from direct.range_test import RangeTest, learning_rate_range
from direct.rules import RULES, Rule, Trainable, prepare
from direct.surrogates import SURROGATES
from network.options import OptionError

__all__ = [
    "LOSSES",
    "PRESETS",
    "RULES",
    "SURROGATES",
    "OptionError",
    "Preset",
    "RangeTest",
    "Rule",
    "Trainable",
    "learning_rate_range",
    "prepare",
]
