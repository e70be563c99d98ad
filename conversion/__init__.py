"""From a trained ANN to a spiking network."""

from conversion.audit import Audit
from conversion.convert import Conversion, convert
from conversion.method import CONVERSIONS, Method
from conversion.methods.qcfs import QuantisedReLU, quantise_activations
from conversion.probe import permuted_scores
from conversion.source import SilentLayer
from network.options import OptionError

__all__ = [
    "CONVERSIONS",
    "Audit",
    "Conversion",
    "Method",
    "OptionError",
    "QuantisedReLU",
    "SilentLayer",
    "convert",
    "permuted_scores",
    "quantise_activations",
]
