"""An int64 reference of fixed-point networks, and what runs beside it in the tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from network.encodings import ENCODINGS, image_keys
from network.fixed import FixedPointNetwork, fixed_point, unroll_fixed
from network.fixed.integers import STATIC_STEPS
from network.fixed.static import exact_bits, round_to_bits
from network.neurons import Neuron
from network.operators import Units, float64_units
from network.pooling import PooledCurrent
from network.unroll import SpikingNetwork
from tests.compiled import needs_compiler
from tests.small_networks import SHAPE, images, network

STEPS = 12
REFERENCE = float64_units("wanted by a test")


class Recorder:
    """Keeps every spike: name -> [T, B, ...]."""

    def __init__(self) -> None:
        self.found: dict[str, list[Tensor]] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        del first, places
        self.found.setdefault(name, []).append(spikes.clone())

    @property
    def spikes(self) -> dict[str, Tensor]:
        return {name: torch.cat(chunks) for name, chunks in self.found.items()}


def run(
    fixed: FixedPointNetwork, x: Tensor, *, batch: int = 32, chunk: int | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Spikes of every layer [T, B, ...] and outputs [T, B, K], worked through in batches."""
    found, outputs = [], []
    for indices in torch.arange(len(x)).split(batch):
        tap, keys = Recorder(), image_keys(3, indices)
        outputs.append(unroll_fixed(fixed, x[indices], STEPS, keys=keys, chunk=chunk, taps=[tap]))
        found.append(tap.spikes)
    spikes = {name: torch.cat([part[name] for part in found], 1) for name in found[0]}
    return spikes, torch.cat(outputs, 1)


def fixed(
    snn: SpikingNetwork, bits: int, *, units: Units | None = None, events: bool | None = None
) -> FixedPointNetwork:
    """In whole numbers; a test of events is skipped where there is no compiler."""
    if events:
        needs_compiler()
    return fixed_point(snn, SHAPE, bits, units=units, events=events)


def converted(name: str, *, encoding: str = "constant", reset: str = "soft") -> SpikingNetwork:
    return convert(
        network(name), images(16), method="channel-norm", encoding=encoding, reset=reset
    ).network


def constant_current(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What a first convolution makes of analogue images, exact in float64 in any order."""
    bits_held = exact_bits(layer.weight[0].numel())
    exact = round_to_bits(layer.weight.double(), layer.weight.ndim, bits_held)
    z = F.conv2d(round_to_bits(x.double(), 3, bits_held), exact, padding=layer.padding)
    return z if layer.bias is None else z + layer.bias.double().view(1, -1, 1, 1)


def scale_of_24_bits(weight: Tensor, bias: Tensor | None, theta: Tensor, largest: int) -> Tensor:
    """With which θ is 2²⁵ and all that arrives at once 2²⁹, at most: σ [O]."""
    together = weight.abs().flatten(1).sum(1) * largest
    if bias is not None:
        together = together + bias.double().abs()
    above = together.log2().floor() + 1
    together = (together * 2.0 ** (12 - above)).ceil() * 2.0 ** (above - 12)
    return torch.maximum(together / 2**29, theta / 2**25)


def spiking_current(
    module: nn.Conv2d | nn.Linear,
    value: Tensor,
    height: Tensor,
    theta: Tensor,
    bits: int,
    pooled: bool,
) -> tuple[Tensor, Tensor]:
    """What whole numbers of spikes make of a layer, int64 [B, ...], and its scale σ [O]."""
    largest = {8: 127, 16: 32512, 24: 127 * 65536}[bits]
    weight = module.weight.double() * height.view(1, -1, *([1] * (module.weight.ndim - 2)))
    sigma = weight.abs().flatten(1).amax(1) / largest
    if bits == 24:
        coarsest = scale_of_24_bits(weight, module.bias, theta, 4 if pooled else 1)
        sigma = torch.maximum(sigma, coarsest)
    q = (weight / sigma.view(-1, *([1] * (module.weight.ndim - 1)))).round()
    bias = torch.zeros(len(q)) if module.bias is None else module.bias
    b = (bias.double() / sigma).round()
    if isinstance(module, nn.Conv2d):
        return F.conv2d(value.double(), q, b, padding=module.padding).long(), sigma
    return F.linear(value.double(), q, b).long(), sigma


def int64_reference(snn: SpikingNetwork, x: Tensor, bits: int, keys: Tensor) -> dict[str, Tensor]:
    """A chain of layers, step by step, in whole numbers of 64 bits."""
    modules = [(n, snn.body.get_submodule(str(n.target))) for n in snn.body.graph.nodes
               if n.op == "call_module"]  # fmt: skip
    state: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    for t in range(STEPS):
        value, height, current, sigma, pooled = None, None, None, None, False
        if snn.encoding == "poisson":
            value = ENCODINGS.get("poisson").encode(x, t, 1, keys).long()
            height = torch.ones(x.shape[1], dtype=torch.float64)
        for position, (node, module) in enumerate(modules):
            if isinstance(module, nn.Conv2d | nn.Linear):
                theta = torch.ones(())
                for _, later in modules[position:]:
                    if isinstance(later, Neuron):
                        theta = later.theta.double()
                        break
                else:
                    break  # the output layer: no more spikes
                if value is None:
                    z = constant_current(module, x)
                    sigma = (theta / STATIC_STEPS[bits]).expand(len(module.weight))
                    current = (z / sigma.view(1, -1, 1, 1)).round().long()
                    continue
                current, sigma = spiking_current(module, value, height, theta, bits, pooled)
            elif isinstance(module, PooledCurrent):
                total, before = state.get(node.name, torch.zeros_like(current)) + current, 0
                if node.name in state:
                    before = module.pool(state[node.name].double()).long()
                state[node.name], current = total, module.pool(total.double()).long() - before
            elif isinstance(module, Neuron):
                view = (1, -1, *([1] * (current.ndim - 2)))
                theta = (module.theta.double() / sigma).round().long().view(view)
                v = state.get(node.name)
                if v is None:
                    v = (module.start.double() / sigma).round().long().view(view).expand_as(current)
                v = v + current
                value, pooled = (v >= theta).long(), False
                soft = module.dynamics.reset == "soft"
                state[node.name] = v - theta * value if soft else v * (1 - value)
                spikes.setdefault(node.name, []).append(value)
                height = module.theta.double().expand(value.shape[1])
            elif isinstance(module, nn.AvgPool2d):
                value = (F.avg_pool2d(value.double(), module.kernel_size) * 4).round().long()
                height, pooled = height / 4, True
            elif isinstance(module, nn.Flatten):
                height = height.repeat_interleave(value[0, 0].numel())
                value = value.flatten(1)
    return {name: torch.stack(values) for name, values in spikes.items()}
