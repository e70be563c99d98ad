"""currents.c behind Python: currents in float32 from spikes, summed event by event."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from network.compiled.loading import agreeing
from network.compiled.parts import over_parts
from network.operators import Window
from network.saved import holds_spikes
from network.sums.kernel import LINEAR, block_of, in_blocks
from network.sums.structures import CReading

SOURCE = Path(__file__).with_name("currents.c")
FEWEST_CHANNELS = 8  # of the input: events of fewer are no longer neighbours in memory
# Shares of the inputs: with more spikes, dense layers of that precision are as fast (AVX-512).
MOST_SPIKES = {torch.float32: 0.3, torch.bfloat16: 0.15}


class _CLayer(ctypes.Structure):
    """The structure of currents.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("reading", "bias", "currents")),
        *((name, ctypes.c_int64) for name in ("height", "width", "channels", "block")),
    )


@dataclass(frozen=True)
class FloatRows:
    """Weights in the kernel's order: float32 [blocks, kh, kw, I, block], and a bias [O]."""

    packed: Tensor
    bias: Tensor
    window: Window


def rows_of(layer: nn.Module) -> FloatRows | None:
    """The weights of a convolution or linear layer; None for one that the kernel does not do."""
    window = LINEAR
    if isinstance(layer, nn.Conv2d):
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            return None
        window = Window(layer.stride, layer.padding, layer.dilation, 1)
    elif not isinstance(layer, nn.Linear):
        return None
    weight = layer.weight.detach()
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach().contiguous()
    return FloatRows(in_blocks(weight, block_of(len(weight), 0)), bias, window)


@dataclass(frozen=True)
class Currents:
    """The compiled library, which agrees with PyTorch."""

    code: ctypes.CDLL

    def __call__(self, spikes: Tensor, rows: FloatRows) -> Tensor:
        """spikes of 0 and 1, [N, I, H, W] or [N, F], to currents float32 [N, O, ...].

        Raises MemoryError where there is no room for the lists of events.
        """
        maps = spikes.ndim == 4
        last = (spikes.movedim(1, -1) if maps else spikes[:, None, None]).to(torch.int8)
        last = last.contiguous().view(torch.uint8)
        images, height, width, channels = last.shape
        _, kernel_y, kernel_x, _, block = rows.packed.shape
        window = rows.window
        size = window.outputs((height, width), (kernel_y, kernel_x))
        outputs = len(rows.bias)
        result = torch.empty(images, *size, outputs)
        pairs = (window.stride, window.padding, window.dilation)
        reading = CReading(
            last.data_ptr(), rows.packed.data_ptr(), height, width, channels, 1, kernel_y,
            kernel_x, *(number for pair in pairs for number in pair),
        )  # fmt: skip
        layer = _CLayer(
            ctypes.cast(ctypes.pointer(reading), ctypes.c_void_p), rows.bias.data_ptr(),
            result.data_ptr(), *size, outputs, block,
        )  # fmt: skip
        run, threads = self.code.run_currents, torch.get_num_threads()
        over_parts(run, layer, count=images, threads=threads)  # no sum depends on how many
        return result.movedim(-1, 1) if maps else result.flatten(1)


class EventSums:
    """Currents of the layers of one run, by events where that is faster."""

    def __init__(self) -> None:
        self.rows: dict[nn.Module, FloatRows | None] = {}

    def add_up(self, layer: nn.Module, x: Tensor) -> Tensor | None:
        """The layer's currents; None where its own dense form is to run.

        Which of them runs follows from the spikes alone, so that it is the same every time. The
        sums are float32; under autocast they are handed on in its precision, as the layer's are.
        """
        fits = x.ndim == (2 if isinstance(layer, nn.Linear) else 4)  # channels second in both
        if not (holds_spikes(x) and x.device.type == "cpu" and fits):
            return None
        if x.shape[1] < FEWEST_CHANNELS:
            return None
        half = torch.is_autocast_enabled("cpu")
        precision = torch.get_autocast_dtype("cpu") if half else x.dtype
        most = MOST_SPIKES.get(precision, 0.0) * x.numel()
        if float(x.sum(dtype=torch.float32)) > most:
            return None
        if layer not in self.rows:
            self.rows[layer] = rows_of(layer)
        rows, kernel = self.rows[layer], float_currents()
        return None if rows is None or kernel is None else kernel(x, rows).to(precision)


@cache
def float_currents() -> Currents | None:
    """The kernel of this machine; None, said once, where it does not run or is not right."""
    without = "spikes are summed by dense layers, slower"
    return agreeing(SOURCE, Currents, _agrees, otherwise=without)


def _agrees(found: Currents) -> bool:
    """Whether sums that float32 holds exactly equal those of PyTorch."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(40, 70, 3, stride=(2, 1), padding=1)
    with torch.no_grad():
        for parameter in layer.parameters():
            whole = torch.randint(-512, 512, parameter.shape, generator=generator)
            parameter.copy_(whole / 64)
    spikes = (torch.rand(3, 40, 6, 5, generator=generator) < 0.4).float()
    rows = rows_of(layer)
    assert rows is not None
    with torch.autocast("cpu", enabled=False), torch.no_grad():
        return torch.equal(found(spikes, rows), layer(spikes))
