"""From a trained ANN to a spiking network."""

from conversion.audit import Audit
from conversion.convert import Conversion, convert
from conversion.method import CONVERSIONS, Method
from conversion.source import SilentLayer

__all__ = ["CONVERSIONS", "Audit", "Conversion", "Method", "SilentLayer", "convert"]
