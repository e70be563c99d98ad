"""Figures, one per file: `FIGURES[name].draw(rows, ax)` on rows of `FIGURES[name].prepare`."""

from __future__ import annotations

from reports.figures import (
    accuracy_depth,
    accuracy_latency_spikes,
    accuracy_option,
    accuracy_spikes,
    accuracy_timesteps,
    complexity,
    confusion,
    conversion_error,
    conversion_error_timesteps,
    energy,
    energy_depth,
    energy_front,
    firing_rates,
    gap_timesteps,
    gradients,
    layer_spikes,
    learning_curves,
    membranes,
    output_currents,
    raster,
    speedups,
    spikes_depth,
    spikes_timesteps,
    thresholds,
    timesteps_depth,
    training_timesteps,
)
from reports.figures.base import Figure
from reports.figures.captions import caption
from reports.figures.render import leading, render

__all__ = ["FIGURES", "Figure", "caption", "leading", "render"]

FIGURES: dict[str, Figure] = {
    module.FIGURE.name: module.FIGURE
    for module in (
        accuracy_timesteps,
        gap_timesteps,
        accuracy_spikes,
        spikes_timesteps,
        layer_spikes,
        speedups,
        accuracy_latency_spikes,
        energy_front,
        energy,
        complexity,
        accuracy_depth,
        timesteps_depth,
        spikes_depth,
        energy_depth,
        training_timesteps,
        accuracy_option,
        learning_curves,
        thresholds,
        conversion_error,
        conversion_error_timesteps,
        gradients,
        confusion,
        output_currents,
        membranes,
        firing_rates,
        raster,
    )
}
"""All figures in the order of the page."""
