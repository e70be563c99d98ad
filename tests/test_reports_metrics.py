"""Measures on hand-made curves, and the contract of their registry."""

import numpy as np
import pytest

from compare.catalogue import entries
from reports.lookup import UnknownNameError, lookup
from reports.metrics import (
    METRICS,
    NOT_REACHED,
    MetricError,
    best_timesteps,
    latency,
    speedup,
    spike_efficiency,
    spikes_per_synapse,
    sustained_timesteps,
    trained_timesteps,
)

T = np.array([1, 2, 4, 8])


def test_sustained_is_not_first_touch():
    # 0.9 is touched at T = 2, lost at 4, and kept from 8 on
    accuracy = np.array([0.5, 0.9, 0.8, 0.92])
    assert sustained_timesteps(T, accuracy, 0.9) == 8


def test_sustained_from_the_start_and_never():
    assert sustained_timesteps(T, np.array([0.9, 0.9, 0.95, 0.9]), 0.9) == 1
    assert sustained_timesteps(T, np.array([0.9, 0.95, 0.95, 0.89]), 0.9) is NOT_REACHED
    assert sustained_timesteps(T, np.array([0.1, 0.2, 0.3, 0.4]), 0.9) is NOT_REACHED


def test_up_to_the_training_steps_nothing_later_counts():
    # at 0.9 from T = 2 to 4, lost at 8: no T*, but 2 for a network trained for 4
    accuracy = np.array([0.5, 0.9, 0.95, 0.2])
    assert sustained_timesteps(T, accuracy, 0.9) is NOT_REACHED
    assert trained_timesteps(T, accuracy, 0.9, 4) == 2
    assert trained_timesteps(T, accuracy, 0.9, 8) is NOT_REACHED
    assert trained_timesteps(T, accuracy, 0.9, 1) is NOT_REACHED
    with pytest.raises(MetricError, match="T = 3, trained for, must be in the sweep"):
        trained_timesteps(T, accuracy, 0.9, 3)


def test_rounding_takes_no_step_from_an_accuracy_at_its_target():
    assert 0.10 - 0.01 > 0.09  # in floating point
    assert sustained_timesteps(T, np.array([0.05, 0.09, 0.09, 0.09]), 0.10 - 0.01) == 2


def test_best_is_the_first_of_equals():
    assert best_timesteps(T, np.array([0.5, 0.9, 0.9, 0.8])) == 2


def test_not_reached_is_a_word_and_spreads():
    assert str(NOT_REACHED) == "not reached"
    assert latency(NOT_REACHED, 4) is NOT_REACHED
    assert speedup(NOT_REACHED, 8) is NOT_REACHED
    assert spike_efficiency(100.0, NOT_REACHED) is NOT_REACHED


def test_latency_counts_calibration():
    assert latency(8, 4) == 12
    with pytest.raises(MetricError):
        latency(8, -1)


def test_ratios_of_lee_2020():
    # table 9: VGG9 800 and 3600 steps against 100; table 8: 2226732 / 1240492 spikes = 1.80
    assert speedup(800, 100) == 8
    assert speedup(3600, 100) == 36
    assert spike_efficiency(2226732, 1240492) == pytest.approx(1.80, abs=0.005)


def test_spikes_per_synapse():
    assert spikes_per_synapse(30.0, 120.0) == 0.25
    assert spikes_per_synapse(0.0, 120.0) == 0.0  # of a network that never fires


@pytest.mark.parametrize(
    "call",
    [
        lambda: sustained_timesteps(T, np.array([0.5, np.nan, 0.5, 0.5]), 0.5),
        lambda: sustained_timesteps(np.array([1, 1]), np.array([0.5, 0.5]), 0.5),
        lambda: sustained_timesteps(T, np.array([0.5]), 0.5),
        lambda: best_timesteps(np.array([]), np.array([])),
        lambda: speedup(8, 0),
        lambda: spikes_per_synapse(1.0, 0.0),
        lambda: spikes_per_synapse(-1.0, 120.0),
    ],
)
def test_undefined_measures_raise(call):
    with pytest.raises(MetricError):
        call()


def test_every_measure_says_what_it_is():
    assert {"accuracy", "iso-timesteps", "speedup", "spike-efficiency", "latency"} <= set(METRICS)
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.unit
        assert metric.definition.endswith(".")
        assert metric.source
        better = "higher" if metric.higher_is_better else "lower"
        for part in (metric.definition, f"[{metric.unit}; {better} is better", metric.source):
            assert part in metric.summary
        assert entries("metrics")[name] == metric.summary
        assert (metric.function is None) == (metric.column is not None)


def test_unknown_names_list_the_known():
    with pytest.raises(UnknownNameError) as error:
        lookup(METRICS, "metric", "speedpu")
    assert "did you mean 'speedup'?" in str(error.value)
    assert "accuracy" in str(error.value)
    assert "\n" not in str(error.value)
