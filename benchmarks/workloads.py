"""What is measured: sweeps, the ANN's own forward pass, and training steps, on one network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers import Forward, peers
from compare.machine import probe_precision
from conversion import convert
from conversion.convert import prepare_ann
from direct import prepare
from direct.surrogates import surrogate
from network.activity import count_activity
from network.architectures import Geometry, build
from network.fixed import Bits, fixed_point, unroll_fixed
from network.fused import on_cpu
from network.graph import swap_activations, trace
from network.neurons import Neuron, Slope
from network.sums.currents import Currents, FloatRows, float_currents, rows_of
from network.unroll import SpikingNetwork, unroll

Call = Callable[[], object]
SLOW = 3.0  # times slower than float32, from which on nothing is timed in bfloat16


@cache
def bfloat16_ratio(device: str) -> float:
    """Time of a training step in bfloat16 over float32's, of a narrow VGG9."""
    work = Workload("vgg9", 0.5, 32, 32, 1, device)
    seconds = probe_precision(work.model(batch_norm=True), work.images())
    return seconds["bfloat16"] / seconds["float32"]


def precisions(device: str) -> tuple[str, ...]:
    """What the ANN, floating-point sweeps and trainings are timed in."""
    return ("float32", "bfloat16") if bfloat16_ratio(device) < SLOW else ("float32",)


@dataclass(frozen=True)
class Workload:
    """The network, the images and the number of steps of all measurements."""

    architecture: str
    width: float
    size: int
    batch: int
    timesteps: int
    device: str = "cpu"

    def model(self, *, batch_norm: bool) -> nn.Module:
        geometry = Geometry(3, self.size, self.size, 10)
        model = build(self.architecture, geometry, width=self.width, batch_norm=batch_norm, seed=0)
        return model.to(self.device)

    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(self.batch, 3, self.size, self.size, generator=generator)
        return drawn.to(self.device)

    def labels(self) -> Tensor:
        return (torch.arange(self.batch) % 10).to(self.device)

    def autocast(self, enabled: bool) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=enabled)


def ann_calls(work: Workload) -> dict[str, Call]:
    """Forward pass of the folded ANN, channels last, in every precision."""
    images = work.images().contiguous(memory_format=torch.channels_last)
    body = prepare_ann(work.model(batch_norm=False))[0].to(memory_format=torch.channels_last)

    def forward(network: nn.Module, x: Tensor) -> Call:
        def call() -> object:
            with torch.no_grad():
                return network(x)

        return call

    calls: dict[str, Call] = {}
    for name in precisions(work.device):
        dtype = getattr(torch, name)
        calls[f"ANN, {name}"] = forward(copy.deepcopy(body).to(dtype), images.to(dtype))
    return calls


def every_sweep(work: Workload, batch: int) -> dict[str, Call]:
    """The ANN's forward pass and every sweep, ours in batches of `batch`."""
    return {**ann_calls(work), **sweep_calls(work, batch), **peer_sweep_calls(work)}


def converted(work: Workload) -> SpikingNetwork:
    """The network that is swept."""
    return convert(work.model(batch_norm=False), work.images(), method="data-norm").network


def sweep_calls(work: Workload, batch: int) -> dict[str, Call]:
    """One sweep in every arithmetic, `work.batch` images in batches of `batch`."""
    images, spiking = work.images(), converted(work)
    shape = tuple(images.shape[1:])
    parts = images.split(batch)

    def whole(bits: Bits) -> Call:
        network = fixed_point(spiking, shape, bits)
        return lambda: [unroll_fixed(network, part, work.timesteps) for part in parts]

    def floating(precision: str) -> Call:
        def call() -> object:
            with torch.no_grad(), work.autocast(precision == "bfloat16"):
                return [unroll(spiking, part, work.timesteps) for part in parts]

        return call

    return {
        **{f"isospike, {name}": floating(name) for name in precisions(work.device)},
        "isospike, int24": whole(24),
        "isospike, int16": whole(16),
        "isospike, int8": whole(8),
    }


def accumulates(work: Workload, bits: Bits) -> float:
    """ACs of a fixed-point sweep of all images."""
    images, spiking = work.images(), converted(work)
    shape = tuple(images.shape[1:])
    counter = count_activity(spiking, shape, work.timesteps).of_whole_numbers()
    unroll_fixed(fixed_point(spiking, shape, bits), images, work.timesteps, taps=[counter])
    return sum(float(counts.sum()) for counts in counter.accumulates.values())


def peer_sweep_calls(work: Workload) -> dict[str, Call]:
    """The same sweep in every library that is installed."""
    images = work.images()

    def sweep(forward: Forward, precise: bool) -> Call:
        def call() -> object:
            with torch.no_grad(), work.autocast(not precise):
                return forward(images, work.timesteps)

        return call

    calls: dict[str, Call] = {}
    for name, (forward, network) in peers(work.model(batch_norm=False), threshold=1.0).items():
        network.to(work.device)
        calls[name] = sweep(forward, True)
        if "multi-step" in name and "bfloat16" in precisions(work.device):
            calls[f"{name}, bfloat16"] = sweep(forward, False)
    return calls


def training_calls(work: Workload) -> dict[str, Call]:
    """Loss and gradient of one batch: the ANN, bptt here, and bptt in the peers."""
    images = work.images().contiguous(memory_format=torch.channels_last)
    labels = work.labels()
    ann = work.model(batch_norm=True).to(memory_format=torch.channels_last)
    slope = surrogate("fast-sigmoid", 1.0)
    ours = {"": _spiking(work, slope)}
    if work.device == "cpu" and on_cpu.kernel() is not None:  # it does not know a bare function
        ours[", neurons in PyTorch"] = _spiking(work, slope.slope)

    def step(scores: Callable[[], Tensor], network: nn.Module, precise: bool) -> Call:
        def call() -> object:
            network.zero_grad(set_to_none=True)
            with work.autocast(not precise):
                loss = F.cross_entropy(scores().float(), labels)
            return loss.backward()

        return call

    calls: dict[str, Call] = {}
    for precision in precisions(work.device):
        precise = precision == "float32"
        calls[f"ANN, {precision}"] = step(lambda: ann(images), ann, precise)
        for way, spiking in ours.items():
            scores = _last(spiking, images, work.timesteps)
            calls[f"isospike bptt, {precision}{way}"] = step(scores, spiking, precise)
    for name, (forward, network) in peers(work.model(batch_norm=True), threshold=1.0).items():
        network.to(work.device)
        scores = _bind(forward, images, work.timesteps)
        calls[name] = step(scores, network, True)
        if "multi-step" in name and "bfloat16" in precisions(work.device):
            calls[f"{name}, bfloat16"] = step(scores, network, False)
    return calls


def _spiking(work: Workload, slope: Slope) -> SpikingNetwork:
    body = trace(work.model(batch_norm=True))
    swap_activations(body, lambda name, old: Neuron(slope=slope))
    return SpikingNetwork(body).to(work.device).to(memory_format=torch.channels_last)


def _last(network: SpikingNetwork, images: Tensor, timesteps: int) -> Callable[[], Tensor]:
    return lambda: network(images, timesteps)[-1]


def rule_calls(work: Workload) -> dict[str, Call]:
    """Loss and gradient of one batch by three rules of ours, on the network without batch norm."""
    images, labels = work.images(), work.labels()
    keys = torch.arange(work.batch, device=work.device)

    def step(rule: str) -> Call:
        trained = prepare(
            work.model(batch_norm=False),
            rule=rule,
            timesteps=work.timesteps,
            images=images,
            labels=labels,
        )

        def call() -> object:
            trained.network.zero_grad(set_to_none=True)
            return trained.objective(images, labels, keys).loss.backward()

        return call

    return {f"isospike, {rule}": step(rule) for rule in ("bptt", "spike-bp", "rate-bp")}


RATES = (0.05, 0.15, 0.3, 0.5)  # shares of the inputs that spike
LAYERS = ((64, 32), (128, 16), (256, 8))  # channels in and out, height and width


def current_calls(images: int) -> dict[str, Call]:
    """float32 currents of 3×3 convolutions, by the dense layer and by events at every rate."""
    kernel = float_currents()
    calls: dict[str, Call] = {}
    for channels, size in LAYERS if kernel is not None else ():
        layer = nn.Conv2d(channels, channels, 3, padding=1)
        rows = rows_of(layer)
        assert kernel is not None
        assert rows is not None
        for rate in RATES:
            drawn = torch.rand(images, channels, size, size) < rate
            spikes = drawn.float().contiguous(memory_format=torch.channels_last)
            name = f"{channels} channels, {size}×{size}"
            calls.setdefault(f"{name}, dense", _without_graph(layer, spikes))
            calls[f"{name}, {rate:.0%} spike"] = _summed(kernel, spikes, rows)
    return calls


def _without_graph(layer: nn.Module, x: Tensor) -> Call:
    return torch.no_grad()(lambda: layer(x))


def _summed(kernel: Currents, spikes: Tensor, rows: FloatRows) -> Call:
    return lambda: kernel(spikes, rows)


def _bind(forward: Forward, images: Tensor, timesteps: int) -> Callable[[], Tensor]:
    return lambda: forward(images, timesteps)
