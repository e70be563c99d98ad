"""Neurons and gradients against SpikingJelly, snnTorch, sinabs and Norse, where they are installed.

They are no dependencies: `make test` installs snnTorch and Norse, the extra `bench` all of them.
"""

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from direct.surrogates import Arctan, FastSigmoid, Surrogate
from network.graph import swap_activations, trace
from network.neurons import Dynamics, Neuron, advance_by_steps
from network.unroll import SpikingNetwork, unroll

NORSE = "norse.torch.functional"

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other libraries' imports

# Below θ: a potential above it after a soft reset would be reset twice by snnTorch, which also
# fires only above θ, not at it.
CURRENTS = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.3
CURRENTS.clamp_(max=0.99)


def peer(name: str) -> ModuleType:
    return pytest.importorskip(name, reason=f"{name} is not installed (extra: bench)")


def ours(decay: float, reset: str) -> tuple[Tensor, list[Tensor]]:
    """Spikes [T, B, N] and the potential after every step."""
    spikes, potentials, v = [], [], torch.zeros_like(CURRENTS[0])
    for current in CURRENTS:
        s, v = advance_by_steps(
            current[None],
            v,
            torch.tensor(1.0),
            decay=decay,
            reset=reset,  # type: ignore[arg-type]
        )
        spikes.append(s[0])
        potentials.append(v)
    return torch.stack(spikes), potentials


def check(step: "object", decay: float, reset: str) -> None:
    spikes, potentials = ours(decay, reset)
    assert 0.1 < spikes.mean() < 0.9
    for t, current in enumerate(CURRENTS):
        fired, v = step(current)  # type: ignore[operator]
        torch.testing.assert_close(fired, spikes[t])
        torch.testing.assert_close(v, potentials[t], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_if_against_spikingjelly(reset: str) -> None:
    neuron_module = peer("spikingjelly.activation_based.neuron")
    node = neuron_module.IFNode(v_reset=None if reset == "soft" else 0.0)
    check(lambda z: (node(z), node.v), 1.0, reset)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("tau", [2.0, 10.0])
def test_lif_against_spikingjelly(reset: str, tau: float) -> None:
    neuron_module = peer("spikingjelly.activation_based.neuron")
    node = neuron_module.LIFNode(
        tau=tau, decay_input=False, v_reset=None if reset == "soft" else 0.0
    )
    check(lambda z: (node(z), node.v), 1.0 - 1.0 / tau, reset)  # theirs decays by 1 − 1/τ


@pytest.mark.parametrize(("reset", "mechanism"), [("soft", "subtract"), ("hard", "zero")])
@pytest.mark.parametrize("decay", [0.25, 0.9, math.exp(-0.01), 1.0])  # 1.0: neuron `if`
def test_lif_against_snntorch(reset: str, mechanism: str, decay: float) -> None:
    snntorch = peer("snntorch")
    leaky = snntorch.Leaky(beta=decay, reset_mechanism=mechanism, reset_delay=False)
    state = torch.zeros_like(CURRENTS[0])

    def step(z: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal state
        fired, state = leaky(z, state)
        return fired, state

    check(step, decay, reset)


def test_if_against_sinabs() -> None:
    sinabs_layers, activation = peer("sinabs.layers"), peer("sinabs.activation")
    layer = sinabs_layers.IAF(spike_fn=activation.SingleSpike, spike_threshold=1.0)
    check(lambda z: (layer(z.unsqueeze(1)).squeeze(1), layer.v_mem), 1.0, "soft")


def two_layers() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)
        )


def check_gradients(theirs: nn.Sequential, reset: str, slope: Surrogate) -> None:
    """Outputs and gradients of our two layers and theirs, whose neurons leak by half."""
    model = two_layers()
    body = trace(model)
    dynamics = Dynamics(0.5, reset)  # type: ignore[arg-type]
    swap_activations(body, lambda name, relu: Neuron(dynamics, slope=slope))
    x = 3 * torch.rand(4, 5, generator=torch.Generator().manual_seed(1))
    outputs = unroll(SpikingNetwork(body), x, 7)
    outputs.square().sum().backward()
    expected = torch.stack([theirs(x) for _ in range(7)])
    expected.square().sum().backward()
    torch.testing.assert_close(outputs, expected)
    for name, parameter in theirs.named_parameters():
        found = model.get_parameter(name).grad
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
        torch.testing.assert_close(found, parameter.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_bptt_gradients_against_spikingjelly(reset: str) -> None:
    neuron_module = peer("spikingjelly.activation_based.neuron")
    surrogate = peer("spikingjelly.activation_based.surrogate")
    theirs = two_layers()
    for index in (1, 3):
        theirs[index] = neuron_module.LIFNode(
            tau=2.0, decay_input=False, v_reset=None if reset == "soft" else 0.0,
            detach_reset=True, surrogate_function=surrogate.ATan(alpha=2.0),
        )  # fmt: skip
    check_gradients(theirs, reset, Arctan(alpha=2.0))


class NorseNeurons(nn.Module):
    """Norse's leaky neurons, v ← v + (z − v)/2 with z twice the current: v ← v/2 + current.

    Resets are constants in the backward pass, as ours are.
    """

    def __init__(self, reset: str) -> None:
        super().__init__()
        self.box, resets = peer(f"{NORSE}.lif_box"), peer(f"{NORSE}.reset")
        its_own = resets.reset_value if reset == "hard" else resets.reset_subtract
        self.parameters_of_norse = self.box.LIFBoxParameters(
            tau_mem_inv=torch.tensor(500.0),  # in steps of 1 ms
            alpha=torch.tensor(2.0),  # its slope is 1/(1 + |x|)^alpha
            reset_method=lambda z, *potentials: its_own(z.detach(), *potentials),
        )
        self.state: Any = None

    def forward(self, current: Tensor) -> Tensor:
        state = self.state or self.box.LIFBoxFeedForwardState(v=torch.zeros_like(current))
        spikes: Tensor
        spikes, self.state = self.box.lif_box_feed_forward_step(
            2 * current, state, self.parameters_of_norse
        )
        return spikes


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_lif_against_norse(reset: str) -> None:
    neurons = NorseNeurons(reset)
    check(lambda z: (neurons(z), neurons.state.v), 0.5, reset)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_bptt_gradients_against_norse(reset: str) -> None:
    theirs = two_layers()
    theirs[1], theirs[3] = NorseNeurons(reset), NorseNeurons(reset)
    check_gradients(theirs, reset, FastSigmoid(gamma=1.0))


def test_bptt_gradients_against_the_written_out_derivative() -> None:
    """One hidden neuron, two steps, soft reset: every path of the chain rule by hand."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1.2)
        model[2].weight.fill_(0.5)
    body, decay, slope = trace(model), 0.8, Arctan(alpha=2.0)
    dynamics = Dynamics(decay, "soft")
    swap_activations(body, lambda name, relu: Neuron(dynamics, slope=slope))
    outputs = unroll(SpikingNetwork(body), torch.ones(1, 1), 2)
    (outputs[0] * 2 + outputs[1] * 3).sum().backward()
    # v⁻(1) = 1.2: spike, v = 0.2; v⁻(2) = 0.8·0.2 + 1.2 = 1.36: spike
    early, late = (slope(torch.tensor([x])).item() for x in (0.2, 0.36))
    # L = 0.5·(2s₁ + 3s₂); ∂v⁻(1)/∂w = 1, ∂v⁻(2)/∂w = 1 + 0.8·1, the reset being a constant
    hidden = 0.5 * (2 * early * 1 + 3 * late * 1.8)
    assert model[0].weight.grad is not None
    assert model[0].weight.grad.item() == pytest.approx(hidden)
    assert model[2].weight.grad is not None
    assert model[2].weight.grad.item() == pytest.approx(5.0)  # 2s₁ + 3s₂
