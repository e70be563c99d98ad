"""On a CUDA device: whole-number spikes as on a CPU, every conversion, rule and command."""

import copy
import json
from pathlib import Path

import pytest
import torch

from compare.machine import choose_device
from conversion import CONVERSIONS, convert
from direct import prepare
from direct.rules import RULES
from network.activity import count_activity
from network.encodings import image_keys
from network.fixed import fixed_point, unroll_fixed
from network.operators import MATRIX_PRODUCTS, find_units
from network.unroll import SpikingNetwork, unroll
from tests.direct_networks import Toy, converted, model_for, seeded
from tests.direct_networks import WithoutNorm as ToyWithoutNorm
from tests.fixed_point import STEPS, Recorder
from tests.fixed_point import converted as converted_network
from tests.small_networks import SHAPE, images, network
from tests.test_compare import isospike
from tests.test_fixed_point import committed_network, residual_network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

STUDY = """
name = "device"
datasets = ["mnist-5k"]
architectures = ["lenet"]
methods = {methods}
seeds = 1
timesteps = 6
width = 0.2
train_images = 200
test_images = 60
calibration_images = 50
train_timesteps = [2]
batch_norm = {norm}

[ann]
epochs = 1

[direct]
epochs = 1
"""


def test_the_fast_arithmetic_is_found() -> None:
    assert find_units(4, "cuda") is MATRIX_PRODUCTS


def run_on(snn: SpikingNetwork, device: str, bits: int) -> tuple[dict, dict, torch.Tensor]:
    """Spikes and counts by layer, and the outputs, all on the CPU."""
    twin = copy.deepcopy(snn).to(device)
    keys = image_keys(3, torch.arange(20)).to(device)
    counter, tap = count_activity(twin, SHAPE, STEPS), Recorder()
    counter.of_whole_numbers()
    outputs = unroll_fixed(
        fixed_point(twin, SHAPE, bits), images(20, seed=4).to(device), STEPS,
        keys=keys, taps=[counter, tap],
    )  # fmt: skip
    spikes = {name: value.cpu() for name, value in tap.spikes.items()}
    return spikes, {**counter.spikes, **counter.accumulates}, outputs.cpu()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("make", ["constant", "poisson", "residual", "committed"])
def test_whole_numbers_are_those_of_the_cpu(bits: int, make: str) -> None:
    snn = {
        "residual": residual_network,
        "committed": committed_network,
    }.get(make, lambda: converted_network("plain", encoding=make))()
    spikes, counts, outputs = run_on(snn, "cpu", bits)
    others, other_counts, other_outputs = run_on(snn, "cuda", bits)
    assert spikes.keys() == others.keys()
    assert 0.01 < torch.cat([s.flatten() for s in spikes.values()]).double().mean() < 0.99
    for name, value in spikes.items():
        assert torch.equal(value, others[name]), name
    for name, count in counts.items():
        assert torch.equal(count, other_counts[name]), name
    assert torch.equal(outputs, other_outputs)


ANY_ANN = [name for name in CONVERSIONS if CONVERSIONS.get(name).ann == "relu"]


@pytest.mark.parametrize("method", ANY_ANN)
@pytest.mark.parametrize("name", ["plain", "residual", "max-pooled"])
def test_conversions_find_the_thresholds_of_the_cpu(method: str, name: str) -> None:
    choose_device("cuda")
    here = convert(network(name), images(16), method=method)
    there = convert(network(name).to("cuda"), images(16), method=method)
    for layer, theta in here.thresholds.items():
        torch.testing.assert_close(there.thresholds[layer].cpu(), theta, rtol=2e-3, atol=1e-4)
    scores = unroll(there.network, images(4).to("cuda"), 8)
    assert scores.is_cuda
    assert bool(scores.isfinite().all())


@pytest.mark.parametrize("rule", list(RULES))
def test_rules_have_the_gradients_of_the_cpu(rule: str) -> None:
    """One batch of 20 images; a spike that falls to the other side may move some of them."""
    choose_device("cuda")
    toy = Toy()
    found = []
    for device in ("cpu", "cuda"):
        model = model_for(rule)
        trainable = prepare(
            None if model is None else model.to(device),
            rule=rule,
            timesteps=4,
            images=toy.images[:32].to(device),
            labels=toy.labels[:32].to(device),
            start=converted(seeded(ToyWithoutNorm)).to(device) if model is None else None,
        )
        trainable.network.train()
        loss, scores = trainable.objective(
            toy.images[:20].to(device), toy.labels[:20].to(device), torch.arange(20).to(device)
        )
        loss.backward()
        assert scores.shape == (20, 2)
        gradients = [p.grad.cpu().flatten() for p in trainable.network.parameters()
                     if p.grad is not None]  # fmt: skip
        found.append((loss.item(), torch.cat(gradients)))
        trainable.finish()
    (loss, here), (other, there) = found
    assert other == pytest.approx(loss, rel=1e-3)
    assert torch.nn.functional.cosine_similarity(here, there, dim=0) > 0.99


@pytest.mark.parametrize(
    ("norm", "methods"),
    [
        ("true", ["spike-norm", "calibration", "srp", "offset", "local-balance", "bptt", "tdbn",
                  "tune-width", "hybrid", "diet", "rate-bp", "tet"]),
        ("false", ["model-norm", "rmp", "mse-norm", "spike-bp", "bptt"]),
    ],
)  # fmt: skip
def test_a_study_of_every_kind(norm: str, methods: list[str], tmp_path: Path) -> None:
    (tmp_path / "device.toml").write_text(STUDY.format(norm=norm, methods=json.dumps(methods)))
    result = isospike("compare", "device.toml", "--device", "cuda", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    cases = list((tmp_path / "runs" / "device" / "cases").glob("*/case.json"))
    assert len(cases) >= len(methods) + 1
    for case in cases:
        assert json.loads(case.read_text())["machine"]["accelerator"]
