"""The structures of kernel.c, field by field."""

from __future__ import annotations

import ctypes

_WINDOW = ("kernel", "stride", "padding", "dilation")


def _pointers(*names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_void_p) for name in names]


def _numbers(*names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_int64) for name in names]


class CReading(ctypes.Structure):
    _fields_ = (
        _pointers("spikes", "rows")
        + _numbers("height", "width", "channels", "largest")
        + _numbers(*(f"{name}_{axis}" for name in _WINDOW for axis in "yx"))
    )


class CResult(ctypes.Structure):
    _fields_ = _pointers("exact", "whole") + _numbers("factor")


class CShortcut(ctypes.Structure):
    _fields_ = _pointers("spikes", "each")


class CLayer(ctypes.Structure):
    _fields_ = (
        _numbers(
            "steps", "batch", "height", "width", "channels", "block", "digits", "hard", "limit"
        )
        + _numbers("map_height", "map_width")
        + _numbers(*(f"pool{name}_{axis}" for name in ("", "_stride", "_padding") for axis in "yx"))
        + _numbers("readings", "results", "shortcuts")
        + _pointers("reading", "result", "shortcut", "bias", "theta", "constant")
        + _pointers("totals", "v", "spikes", "counts")
    )
