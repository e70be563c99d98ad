"""Rows of layers.csv: one for every layer of neurons, and one for every further convolution."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compare.sweep_tables import LAYER_COLUMNS, ann_layers, spiking_layers, spiking_rows
from conversion import convert
from network.activity import count_activity
from network.architectures import Geometry, build
from network.graph import trace
from network.observation import Observation, carry_on
from network.unroll import unroll
from network.wiring import wiring
from reports.energy import lemaire

SHAPE, STEPS = (3, 16, 16), 6


def test_shortcuts_with_weights_have_rows_of_their_own() -> None:
    model = build("resnet9", Geometry(*SHAPE, 10), width=0.06, seed=0).eval()
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    network = convert(model, images, method="robust-norm").network
    counter = count_activity(network, SHAPE, STEPS)
    with torch.no_grad():
        unroll(network, images, STEPS, taps=[counter])
    steps = np.arange(1, STEPS + 1, dtype=np.int32)
    totals = spiking_rows(counter, steps, np.zeros(STEPS), 3)
    rows = spiking_layers(counter, steps)
    for t, total in zip(steps.tolist(), totals, strict=True):
        own = [row for row in rows if row["timestep"] == t]
        assert sum(row["ac_per_image"] for row in own) == pytest.approx(total["ac_per_image"])
        assert sum(row["mac_per_image"] for row in own) == total["mac_per_image"]
        shortcuts = [row for row in own if row["kind"] == "shortcut"]
        assert [row["stride"] for row in shortcuts] == [1, 2, 2]
        for row in shortcuts:
            own_neurons = ("neurons", "spikes_per_image", "neuron_updates_per_image")
            assert all(row[name] is None for name in own_neurons)
            assert row["kernel_height"] == 1
            block = next(r for r in own if r["index"] == row["index"])
            assert (block["kind"], block["kernel_height"]) == ("hidden", 3)
            assert t < STEPS or row["ac_per_image"] > 0
    last = [row for row in rows if row["timestep"] == STEPS]
    without = [row for row in last if row["kind"] != "shortcut"]
    assert lemaire(last, STEPS) > lemaire(without, STEPS)


def test_the_rows_of_an_ann_hold_every_convolution_once() -> None:
    wires = wiring(trace(build("resnet9", Geometry(*SHAPE, 10), width=0.06, seed=0)), SHAPE)
    rows = ann_layers(wires)
    assert sum(row["mac_per_image"] for row in rows) == sum(s.operations for s in wires.synapses)
    for row in rows:
        if row["mac_per_image"]:
            sizes = ("in_channels", "kernel_height", "kernel_width", "out_channels", "out_height")
            most = row["out_width"]
            for name in sizes:
                most *= row[name]
            assert row["mac_per_image"] <= most  # equal but for the padding
    assert lemaire(rows, 0) > 0


def test_the_rows_of_any_layer_describe_all_that_it_multiplies() -> None:
    """Grouped, along a line, and a linear layer at every place; the columns end with groups."""

    class Lines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3, groups=3), nn.Conv1d(6, 4, 3, stride=2)
            self.third, self.head = nn.Linear(7, 5), nn.Linear(20, 10)
            self.neurons = nn.ModuleList(nn.ReLU() for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.neurons[0](self.first(x)).flatten(2)[:, :, :16]
            x = self.neurons[1](self.second(x))
            return self.head(self.neurons[2](self.third(x)).flatten(1))

    rows = [row for row in ann_layers(wiring(trace(Lines()), SHAPE)) if row["mac_per_image"]]
    # 14² places · 9 · 1 · 6; 7 places · 3 · 6 · 4; 4 places · 7 · 5; 20 · 10
    assert [row["mac_per_image"] for row in rows] == [10584, 504, 140, 200]
    assert [row["groups"] for row in rows] == [3, 1, 1, 1]
    assert LAYER_COLUMNS[-1] == "groups"
    assert {name for row in rows for name in row} <= set(LAYER_COLUMNS)
    assert lemaire(rows, 0) > 0


@pytest.mark.parametrize("encoding", ["constant", "poisson"])
def test_steps_of_observation_count_with_the_first_step(encoding: str) -> None:
    """A network that observes by running on costs at T what it costs at T + τ without."""
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    model = build("vgg5", Geometry(*SHAPE, 10), width=0.06, seed=0).eval()
    network = convert(model, images, method="half-shift", encoding=encoding).network
    tables = []
    for observed in (0, 2):
        if observed:
            network.observation = Observation(observed, carry_on)
        counted = STEPS - observed
        counter = count_activity(network, SHAPE, counted)
        with torch.no_grad():
            unroll(network, images, counted, taps=[counter], keys=torch.arange(3))
        assert counter.images == 3
        steps = np.arange(1, counted + 1, dtype=np.int32)
        rows = spiking_rows(counter, steps, np.zeros(counted), 3), spiking_layers(counter, steps)
        tables.append([[row for row in r if row["timestep"] == counted] for r in rows])
    for without, observing in zip(*tables, strict=True):
        for row in (*without, *observing):
            del row["timestep"]
        assert without == observing
    assert tables[0][0][0]["spikes_per_image"] > 0
