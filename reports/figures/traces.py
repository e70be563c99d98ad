"""Traces of single images, as far as cases have kept them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from reports.analysis import Analysis
from reports.figures.base import identity


def traces(analysis: Analysis, prefix: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Identity and arrays of the first case of each curve that kept an array of this prefix."""
    for curve in analysis.curves:
        for name in curve.cases:
            case = analysis.study.cases.get(name)
            arrays = case.arrays("traces.npz") if case is not None else None
            if arrays is not None and any(key.startswith(prefix) for key in arrays):
                yield identity(curve) | {"panel": f"{curve.network}, {curve.label}"}, arrays
                break


def layer_values(analysis: Analysis, prefix: str) -> list[dict[str, Any]]:
    """One row per curve and layer with all values of that layer's array."""
    return [
        facts | {"layer": key.removeprefix(prefix), "values": np.ravel(values)}
        for facts, arrays in traces(analysis, prefix)
        for key, values in arrays.items()
        if key.startswith(prefix)
    ]
