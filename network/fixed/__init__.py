"""Converted networks in exact whole numbers: the same spikes on every machine, and faster."""

from network.fixed.network import Bits, FixedPointNetwork, fixed_point
from network.fixed.plan import NotFixedPoint
from network.fixed.run import unroll_fixed

__all__ = ["Bits", "FixedPointNetwork", "NotFixedPoint", "fixed_point", "unroll_fixed"]
