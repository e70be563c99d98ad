"""A ResNet-18 of torchvision: rates of every layer against the ANN's activations."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from compare.data import load
from compare.prepared import View, sample
from conversion import convert
from conversion.convert import prepare_ann
from conversion.rates import mean_outputs
from conversion.statistics import activations
from network.encodings import image_keys

CALIBRATION, WATCHED, STEPS = 2000, 4, 512


def pictures(count: int, split: str, seed: int) -> Tensor:
    """Digits as images of three channels and 32×32 pixels."""
    dataset = load("mnist-5k", None, download=False)
    view = View(getattr(dataset, split), "normalised", dataset.mean, dataset.std)
    images, _ = sample(view, count, seed)
    return F.pad(images, (2, 2, 2, 2), value=float(images.min())).expand(-1, 3, -1, -1)


@torch.no_grad()
def untrained(images: Tensor) -> nn.Module:
    """Random weights, but norms that have seen real images: the mean over all batches."""
    torch.manual_seed(0)
    network = resnet18(num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    for batch in images.split(100):
        network(batch)
    return network.eval()


@pytest.mark.slow
def test_rates_of_a_residual_network_correlate_with_the_activations_in_every_layer() -> None:
    images, watched = pictures(CALIBRATION, "train", 0), pictures(WATCHED, "test", 1)
    network = untrained(images[:300])
    options = {"thresholds": "channel-norm", "percentile": 99.999}
    converted = convert(network, images, method="half-shift", options=options)
    keys = image_keys(0, torch.arange(WATCHED))
    rates = mean_outputs(converted.network, watched, keys, STEPS)
    targets = activations(prepare_ann(network)[0], watched)
    assert len(targets) == 17
    correlation = {
        name: torch.corrcoef(torch.stack([rates[name].flatten(), a.flatten()]))[0, 1].item()
        for name, a in targets.items()
    }
    assert min(correlation.values()) >= 0.99, correlation
