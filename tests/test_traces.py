"""traces.npz: hand-worked neurons, the same run as the sweep, small files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compare.traces import IMAGES, STEPS, WATCHED, WATCHED_PER_LAYER, trace_neurons
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.unroll import SpikingNetwork
from tests.small_networks import NETWORKS, SHAPE, network

CPU = torch.device("cpu")


class Images:
    """Images with labels; a `network.fit.Batches`."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[indices], self.labels[indices]


def spiking(model: nn.Module, theta: float, encoding: str = "constant") -> SpikingNetwork:
    body = trace(model.eval())
    swap_activations(body, lambda layer, activation: Neuron(theta=theta, height="threshold"))
    return SpikingNetwork(body, encoding=encoding).eval()


def traced(network: SpikingNetwork, data: Images, timesteps: int, watch_seed: int = 0) -> dict:
    return trace_neurons(network, data, timesteps, run_seed=1, watch_seed=watch_seed, device=CPU)


def test_two_neurons_by_hand() -> None:
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(2))
        last.weight.copy_(torch.tensor([[1.0, 10.0]]))
    net = spiking(nn.Sequential(first, nn.ReLU(), last), theta=2.0)
    data = Images(torch.tensor([[1.0, 1.5], [2.0, 0.0]]), torch.tensor([0, 0]))
    kept = traced(net, data, timesteps=4)
    (name,) = kept["layers"].tolist()
    # θ = 2. z = 1: v = 1, 2 → spike, 0; 1, 2 → spike, 0. z = 1.5: v = 1.5, 3 → 1, 2.5 → 0.5, 2 → 0
    assert kept["raster"].tolist() == [[0, 0], [1, 1], [0, 1], [1, 1]]
    shares = [[0.5, 0.75], [0, 0.5], [0.5, 0.25], [0, 0]]  # v after the reset, over θ
    assert kept[f"membrane_{name}"].tolist() == shares
    # second image: z = 2 spikes in all 4 steps, z = 0 never: (2 + 4)/8 and (3 + 0)/8
    assert kept[f"rates_{name}"].tolist() == [0.75, 0.375]
    # spikes of height 2 through weights 1 and 10
    assert kept["currents"].tolist() == [[0], [22], [20], [22]]
    assert int(kept["label"]) == 0
    assert kept["raster_layer"].tolist() == [0, 0]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_every_network_is_watched(name: str) -> None:
    net = spiking(network(name), theta=0.5, encoding="poisson")
    generator = torch.Generator().manual_seed(0)
    data = Images(torch.rand(5, *SHAPE, generator=generator), torch.arange(5))
    kept = traced(net, data, timesteps=6)
    assert kept["layers"].tolist() == list(net.neurons())
    assert kept["raster"].shape == (6, len(kept["raster_layer"]))
    for layer in net.neurons():
        count = len(kept[f"rates_{layer}"])
        assert 0 < count <= WATCHED_PER_LAYER
        assert kept[f"membrane_{layer}"].shape == (6, count)
    again, other = traced(net, data, timesteps=6), traced(net, data, timesteps=6, watch_seed=1)
    assert all(np.array_equal(kept[key], again[key]) for key in kept)
    assert any(not np.array_equal(kept[key], other[key]) for key in kept)


def test_long_runs_of_deep_networks_leave_a_small_file(tmp_path: Path) -> None:
    blocks = [nn.Linear(200, 200), nn.ReLU()] * 40  # one pair of modules, called 40 times
    net = spiking(nn.Sequential(*blocks, nn.Linear(200, 10)), theta=0.05)
    generator = torch.Generator().manual_seed(0)
    data = Images(torch.randn(IMAGES + 8, 200, generator=generator), torch.zeros(IMAGES + 8))
    kept = traced(net, data, timesteps=STEPS + 100)
    assert kept["raster"].shape[0] == STEPS
    assert kept["raster"].shape[1] <= WATCHED
    np.savez_compressed(tmp_path / "traces.npz", **kept)
    assert (tmp_path / "traces.npz").stat().st_size < 200_000


def test_the_raster_is_drawn_by_layer(tmp_path: Path) -> None:
    import reports
    from reports.analysis import Analysis
    from reports.figures import FIGURES, render
    from tests.synthetic_study import write_study

    home = write_study(tmp_path, methods=["bptt"], seeds=1, timesteps=(1, 2, 4))
    raster = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1]], bool)  # 3 steps; neurons: 1 and 2
    case = next(path for path in (home / "cases").iterdir() if path.name.startswith("bptt"))
    np.savez(
        case / "traces.npz",
        raster=raster,
        layers=np.array(["conv1", "dense1"]),
        raster_layer=np.array([0, 1, 1], np.int16),
    )
    rows = FIGURES["raster"].prepare(Analysis(reports.study(home)))
    assert rows[["timestep", "neuron"]].to_numpy().tolist() == [[1, 0], [2, 2], [3, 0], [3, 2]]
    (ax,) = render(FIGURES["raster"], rows).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["conv1", "dense1"]
    assert ax.get_yticks().tolist() == [0.0, 1.5]  # (0 + 1 − 1)/2 and (1 + 3 − 1)/2
    assert ax.lines[1].get_ydata() == [0.5, 0.5]  # between neurons 0 and 1
