"""Counts of additions beside those of sinabs and NeuroBench (docs/counts.md has the numbers).

The two libraries' rules are written out here, so that the comparison runs without them; where a
library is installed, its own count is held against the rule too. Spikes are drawn, not computed,
so that the numbers are the same on every machine.
"""

import copy
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.activity import ActivityCounter
from network.graph import swap_activations, trace
from network.neurons import Neuron, NeuronState
from network.wiring import wiring
from tests.test_activity import swap_names

STEPS, IMAGES, SHAPE = 6, 3, (4, 9, 9)
PAGE = Path(__file__).resolve().parent.parent / "docs" / "counts.md"
CONVOLUTION, BEHIND_POOLING, NEUROBENCH_POOLED, PRUNED = 14_608, 7_040, 4_360, 4_400


def network() -> nn.Sequential:
    """Stride, padding and groups, then average pooling that drops a border, then 10 classes."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
    return nn.Sequential(
        nn.ReLU(), convolution, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)
    )


def drawn(shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(STEPS, IMAGES, *shape, generator=generator) < 0.3).float()


def ours(model: nn.Sequential) -> tuple[int, int]:
    """ACs of all images in the convolution and behind the pooling."""
    body = trace(copy.deepcopy(model))
    swap_activations(body, lambda name, activation: Neuron())
    first, second = swap_names(body)
    one = torch.ones(())
    counter = ActivityCounter(wiring(body, SHAPE), STEPS, {first: one, second: one})
    state = NeuronState(torch.zeros(1))
    for name, spikes in ((first, drawn(SHAPE)), (second, drawn((8, 5, 5)))):
        counter.neurons(name, 0, spikes, spikes, state)
    (convolution,), (linear,) = (counter.wires.fan_out[name] for name in (first, second))
    counts = counter.accumulates
    return int(counts[convolution].sum()), int(counts[linear].sum())


def pooled() -> Tensor:
    """What the linear layer receives, [T·B, 32]: means of four spikes."""
    return F.avg_pool2d(drawn((8, 5, 5)).flatten(0, 1), 2).flatten(1)


def by_fan_out(layer: nn.Module, inputs: Tensor) -> float:
    """sinabs: every input value times the number of its connections, weights of 0 included."""
    if isinstance(layer, nn.Linear):
        return float(inputs.sum() * layer.out_features)
    assert isinstance(layer, nn.Conv2d)
    outputs = torch.ones_like(layer(inputs))
    settings = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    fan_out = F.conv_transpose2d(outputs, torch.ones_like(layer.weight), **settings)
    return float((inputs * fan_out).sum())


def by_binary_copy(layer: nn.Module, inputs: Tensor) -> float:
    """NeuroBench: inputs and weights that are not 0 set to 1, no bias, outputs summed."""
    twin = copy.deepcopy(layer).requires_grad_(False)
    twin.weight.copy_((twin.weight != 0).float())
    twin.bias = None
    return float(twin((inputs != 0).float()).sum())


def test_all_three_agree_on_a_layer_that_reads_spikes() -> None:
    model = network()
    inputs = drawn(SHAPE).flatten(0, 1)
    assert ours(model)[0] == CONVOLUTION
    assert by_fan_out(model[1], inputs) == CONVOLUTION
    assert by_binary_copy(model[1], inputs) == CONVOLUTION


def test_behind_average_pooling_neurobench_counts_windows_not_spikes() -> None:
    """Ours and sinabs' model hook (which undoes the mean): each spike. NeuroBench: each window."""
    model = network()
    assert ours(model)[1] == BEHIND_POOLING
    assert 4 * by_fan_out(model[5], pooled()) == BEHIND_POOLING
    assert by_binary_copy(model[5], pooled()) == NEUROBENCH_POOLED


def test_synapses_of_weight_zero_are_counted_by_all_but_neurobench() -> None:
    model = network()
    inputs = drawn(SHAPE).flatten(0, 1)
    with torch.no_grad():
        model[1].weight[:, :, :, 1:] = 0.0
        model[1].weight[:, :, :2, 0] = 1.0
    assert ours(model)[0] == by_fan_out(model[1], inputs) == CONVOLUTION
    assert by_binary_copy(model[1], inputs) == PRUNED


def test_the_page_has_these_numbers() -> None:
    text = re.sub(r"(?<=\d),(?=\d)", "", PAGE.read_text("utf-8"))
    for number in (CONVOLUTION, BEHIND_POOLING, NEUROBENCH_POOLED, PRUNED):
        assert f"| {number} |" in text


def test_sinabs_itself() -> None:
    hooks = pytest.importorskip("sinabs.hooks", reason="sinabs is not installed (extra bench)")
    model = network()
    inputs = drawn(SHAPE).flatten(0, 1)
    hooks.conv_layer_synops_hook(model[1], [inputs], model[1](inputs))
    per_step = model[1].hook_data["layer_synops_per_timestep"]
    assert float(per_step) * len(inputs) == pytest.approx(CONVOLUTION)
    tail = nn.Sequential(*model[3:])
    hooks.register_synops_hooks(tail)
    with torch.no_grad():
        tail(drawn((8, 5, 5)).flatten(0, 1))
    total = float(tail.hook_data["total_synops_per_timestep"]) * len(inputs)
    assert total == pytest.approx(BEHIND_POOLING)


def test_neurobench_itself() -> None:
    layers = pytest.importorskip(
        "neurobench.metrics.utils.layers", reason="neurobench is not installed"
    )
    model = network()
    assert layers.single_layer_MACs(drawn(SHAPE).flatten(0, 1), model[1]) == (CONVOLUTION, True)
    # means of spikes are no spikes to it: multiply-adds, one for each window that is not empty
    assert layers.single_layer_MACs(pooled(), model[5]) == (NEUROBENCH_POOLED, False)
    with torch.no_grad():
        model[1].weight[:, :, :, 1:] = 0.0
        model[1].weight[:, :, :2, 0] = 1.0
    pruned, _ = layers.single_layer_MACs(drawn(SHAPE).flatten(0, 1), model[1])
    assert pruned == PRUNED
