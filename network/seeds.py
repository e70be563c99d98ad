"""Seeds: every stream of random numbers has one of its own."""

from __future__ import annotations


def derived_seed(*parts: int) -> int:
    """One seed from several integers, by a hash: no two streams overlap by arithmetic."""
    value = 0
    for part in parts:
        value = (value ^ (part & 0xFFFFFFFF)) * 0x9E3779B97F4A7C15 % 2**64
        value ^= value >> 29
        value = value * 0xBF58476D1CE4E5B9 % 2**64
        value ^= value >> 32
    return value % 2**63
