"""`srp`: silence neurons by the potential that a trial run left behind (Hao 2023, AAAI)."""

from __future__ import annotations

from torch import Tensor

from conversion.method import method
from conversion.methods.half_shift import halves
from conversion.methods.qcfs import trained_scales
from conversion.source import Balance, Source
from network.neurons import Neuron, NeuronState, per_channel
from network.observation import Observation
from network.options import POSITIVE, Option

RESIDUAL = 1e-3  # in thresholds: a potential above it counts as a remainder


@method(
    "srp",
    summary="qcfs; neurons without a positive remainder after some trial steps are silenced",
    source="Hao 2023 (residual membrane potential), algorithm 1",
    calibration_images=1,
    ann="qcfs",
    plain="qcfs",
    steps=Option(4, "τ, steps of observation; they count as timesteps", POSITIVE),
)
def srp(source: Source, *, steps: int) -> Balance:
    """Run τ = `steps` steps, mask = v(τ) > 10⁻³·θ, back to v₀ = θ/2, then run with masked spikes.

    A neuron whose input is negative on the whole may still fire when its input comes unevenly; its
    potential then ends below 0. The τ steps count as timesteps.
    """
    theta = trained_scales(source)
    return Balance(theta, start=halves(theta), observation=Observation(steps, mask))


def mask(neuron: Neuron, current: Tensor) -> tuple[Tensor, NeuronState]:
    spikes, state = neuron.advance(current, None)
    remains = state.v > RESIDUAL * per_channel(neuron.theta, current)
    return spikes, NeuronState(neuron.initial_state(current).v, remains.to(spikes.dtype))
