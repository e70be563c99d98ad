"""The C kernel behind Python: what it reads and writes as tensors, and whether it is right here."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from network.compiled.building import NoCompiler, built
from network.compiled.parts import over_parts
from network.operators import Window
from network.sums.structures import CLayer, CReading, CResult, CShortcut

SOURCE = Path(__file__).with_name("kernel.c")
LARGEST = {n: 127 * sum(256**k for k in range(n)) for n in (1, 2, 3)}  # weights of n digits
LINEAR = Window((1, 1), (0, 0), (1, 1), 1)


class NoKernel(RuntimeError):
    """The kernel does not run here; the message says why, in one line."""


@dataclass(frozen=True)
class Rows:
    """Weights in the kernel's order: whole numbers, or their digits in base 256, lowest first.

    packed: int32 [blocks, kh, kw, I, block], or int8 [blocks, kh, kw, I, digits, block] in the
    order of `_in_lanes`. digits: 1, 2 or 3; 0 for int32. All rows of a layer have as many.
    """

    packed: Tensor
    window: Window
    digits: int


def block_of(outputs: int, digits: int) -> int:
    """Output channels that are summed side by side."""
    if digits == 1 and outputs > 64:
        return 128
    return 64 if outputs > 32 else 32 if outputs > 16 else 16


def in_blocks(weight: Tensor, block: int) -> Tensor:
    """Weights [O, I, kh, kw] or [O, F] as [blocks, kh, kw, I, block], the last block filled up."""
    if weight.ndim == 2:
        weight = weight[..., None, None]
    outputs, inputs, *kernel = weight.shape
    filled = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, -outputs % block))
    return filled.view(-1, block, inputs, *kernel).permute(0, 3, 4, 2, 1).contiguous()


def digits_of(whole: Tensor) -> int:
    """Digits for weights [O, ...]; 0 where three do not hold them, or channels are few."""
    largest = int(whole.abs().max())
    return next((n for n in (1, 2, 3) if largest <= LARGEST[n]), 0) if len(whole) > 32 else 0


def pack_rows(whole: Tensor, window: Window | None, digits: int | None = None) -> Rows:
    """Weights [O, I, kh, kw] or [O, F], whole numbers, for the kernel; groups must be 1.

    digits: as in Rows; None for what they need.
    """
    digits = digits_of(whole) if digits is None else digits
    packed = in_blocks(whole.to(torch.int32), block_of(len(whole), digits))
    if digits:  # a block at a time, since what lies in between is several times as large
        packed = torch.stack([_in_digits(block, digits) for block in packed])
    return Rows(packed, window or LINEAR, digits)


def _in_digits(whole: Tensor, count: int) -> Tensor:
    """int32 [..., block] to int8 [..., count, block]: digits in base 256, each from -128 to 127."""
    digits = []
    for _ in range(count):
        digit = (whole + 128) % 256 - 128
        digits.append(_in_lanes(digit))
        whole = (whole - digit) // 256
    return torch.stack(digits, dim=-2)


def _in_lanes(digit: Tensor) -> Tensor:
    """[..., block] to int8 in the order of the sums: four channels, 16 apart, in 32 bits.

    The first and the third are from 0 to 255, 128 more than they are.
    """
    lanes = digit.unflatten(-1, (-1, 4, 16)).transpose(-1, -2).flatten(-3).clone()
    lanes[..., ::2] += 128
    return lanes.to(torch.uint8).view(torch.int8)


@dataclass(frozen=True)
class Reading:
    """Weights that read spikes: whole numbers 0 … largest, uint8 [T·B, I, H, W] or [T·B, F]."""

    spikes: Tensor
    rows: Rows
    largest: int


@dataclass(frozen=True)
class Pooling:
    """Windows of max pooling in front of neurons, (height, width) each."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass
class Layer:
    """One layer of neurons in one chunk; spatial tensors lie with channels last.

    v: int32 [B, C, ...], updated. limit: v is held within ± it after every step; 0 for not.
    theta, bias: int32 [C]. constant: int32 as v, or None.
    spikes: uint8 [T·B, C, ...], written. counts: int32 [T, B, places], written.
    results: float32 or int32 [T·B, C, ...] with a factor. shortcuts: uint8 spikes
    [T·B, C, ...] with int32 [1, C, ...] for each.
    totals: where max pooling lies between the currents and v, those of the steps before,
    int64 [B, C, H, W], updated as far as windows reach; constant, results and shortcuts are as
    large as that map.
    """

    v: Tensor
    theta: Tensor
    bias: Tensor
    constant: Tensor | None
    spikes: Tensor
    counts: Tensor
    hard: bool
    limit: int = 0
    pooling: Pooling = Pooling()
    totals: Tensor | None = None
    readings: list[Reading] = field(default_factory=list)
    results: list[tuple[Tensor, int]] = field(default_factory=list)
    shortcuts: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class Kernel:
    """The compiled library, which agrees with float64."""

    code: ctypes.CDLL

    def run(self, layer: Layer, threads: int = 1) -> None:
        """All steps of the chunk; images are divided among `threads`.

        Raises MemoryError where there is no room for the lists of events.
        """
        kept: list[object] = []
        c_layer = _c_layer(layer, kept)
        over_parts(self.code.run_layer, c_layer, count=len(layer.v), threads=threads)
        del kept


def _c_layer(layer: Layer, kept: list[object]) -> CLayer:
    """The layer as the kernel reads it; `kept` holds what must live until it has run."""
    steps, batch = layer.counts.shape[:2]
    height, width = layer.v.shape[2:] if layer.v.ndim == 4 else (1, 1)
    channels = layer.v.shape[1]
    readings = [_c_reading(r, kept) for r in layer.readings]
    results = [_c_result(value, factor, kept) for value, factor in layer.results]
    shortcuts = [
        CShortcut(_address(spikes, torch.uint8, kept), _address(each, torch.int32, kept))
        for spikes, each in layer.shortcuts
    ]
    constant, totals = layer.constant, layer.totals
    map_size = (height, width) if totals is None else totals.shape[2:]
    pooling = layer.pooling
    digits = max((r.rows.digits for r in layer.readings), default=0)
    return CLayer(
        steps, batch, height, width, channels, block_of(channels, digits), digits,
        layer.hard, layer.limit, *map_size,
        *pooling.kernel, *pooling.stride, *pooling.padding,
        len(readings), len(results), len(shortcuts),
        _array(CReading, readings, kept), _array(CResult, results, kept),
        _array(CShortcut, shortcuts, kept),
        _address(layer.bias, torch.int32, kept), _address(layer.theta, torch.int32, kept),
        None if constant is None else _address(constant, torch.int32, kept),
        None if totals is None else _address(totals, torch.int64, kept, written=True),
        _address(layer.v, torch.int32, kept, written=True),
        _address(layer.spikes, torch.uint8, kept, written=True),
        _address(layer.counts, torch.int32, kept, written=True),
    )  # fmt: skip


def _c_reading(reading: Reading, kept: list[object]) -> CReading:
    spikes, window = reading.spikes, reading.rows.window
    height, width = spikes.shape[2:] if spikes.ndim == 4 else (1, 1)
    kernel_y, kernel_x, channels = reading.rows.packed.shape[1:4]
    pairs = (window.stride, window.padding, window.dilation)
    rows = _address(reading.rows.packed, torch.int8 if reading.rows.digits else torch.int32, kept)
    return CReading(
        _address(spikes, torch.uint8, kept), rows,
        height, width, channels, reading.largest, kernel_y, kernel_x,
        *(number for pair in pairs for number in pair),
    )  # fmt: skip


def _c_result(value: Tensor, factor: int, kept: list[object]) -> CResult:
    if value.dtype == torch.float32:
        return CResult(_address(value, torch.float32, kept), None, factor)
    return CResult(None, _address(value.int(), torch.int32, kept), factor)


def _array(kind: type[ctypes.Structure], values: Sequence[ctypes.Structure], kept: list[object]):  # type: ignore[no-untyped-def]
    array = (kind * max(1, len(values)))(*values)
    kept.append(array)
    return ctypes.cast(array, ctypes.c_void_p)


def _address(
    x: Tensor, kind: torch.dtype, kept: list[object], *, written: bool = False
) -> ctypes.c_void_p:
    """Where x lies with channels last; a copy that does where it lies otherwise."""
    if x.dtype != kind:
        raise TypeError(f"the kernel takes {kind} here, got {x.dtype}")
    last = x.movedim(1, -1) if x.ndim == 4 else x
    lying = last.contiguous()
    if written and lying.data_ptr() != x.data_ptr():
        raise ValueError("what the kernel writes must lie with channels last")
    kept.append(lying)
    return ctypes.c_void_p(lying.data_ptr())


@cache
def load_kernel() -> Kernel:
    """The kernel of this machine. Raises NoKernel, saying why in one line."""
    try:
        kernel = Kernel(ctypes.CDLL(str(built(SOURCE))))
        kernel.code.run_layer.restype = ctypes.c_int
    except NoCompiler as error:
        raise NoKernel(str(error)) from error
    except (OSError, AttributeError) as error:
        raise NoKernel(f"the compiled kernel does not load ({type(error).__name__})") from error
    kinds = ((1, 127, 70), (4, 32512, 70), (2, 2**19, 70), (1, 2**19, 20))
    if not all(_agrees(kernel, *kind, pools) for kind in kinds for pools in (False, True)):
        raise NoKernel("the compiled kernel does not agree with float64 here")
    return kernel


def _agrees(kernel: Kernel, largest: int, limit: int, outputs: int, pools: bool) -> bool:
    """Whether spikes and potentials of three steps equal those of float64."""
    generator = torch.Generator().manual_seed(limit)
    steps, batch, window = 3, 2, Window((2, 1), (1, 1), (1, 1), 1)
    x = torch.randint(0, largest + 1, (steps * batch, 40, 6, 5), generator=generator)
    weight = torch.randint(-limit, limit + 1, (outputs, 40, 3, 3), generator=generator)
    weight[:2], weight[2:4] = limit, -limit
    theta = torch.randint(limit, 40 * limit, (outputs,), generator=generator).int()
    bias = torch.arange(outputs, dtype=torch.int32) - 35
    currents = F.conv2d(x.double(), weight.double(), None, window.stride, window.padding)
    currents = (currents + bias.view(-1, 1, 1)).unflatten(0, (steps, batch))
    totals = _channels_last(torch.zeros(currents.shape[1:], dtype=torch.int64))
    pooling = Pooling((2, 3), (1, 2), (1, 0)) if pools else Pooling()
    if pools:
        sums = torch.cat([currents.new_zeros(currents[:1].shape), currents]).cumsum(0)
        windows = (pooling.kernel, pooling.stride, pooling.padding)
        largest_sums = F.max_pool2d(sums.flatten(0, 1), *windows)
        currents = largest_sums.unflatten(0, (steps + 1, batch)).diff(dim=0)
    layer = Layer(
        v=_channels_last(torch.zeros(currents.shape[1:], dtype=torch.int32)),
        theta=theta,
        bias=bias,
        constant=None,
        spikes=_channels_last(torch.zeros(currents.flatten(0, 1).shape, dtype=torch.uint8)),
        counts=torch.zeros(steps, batch, currents[0, 0, 0].numel(), dtype=torch.int32),
        hard=False,
        pooling=pooling,
        totals=totals if pools else None,
    )
    layer.readings = [Reading(x.to(torch.uint8), pack_rows(weight, window), largest)]
    kernel.run(layer)
    v, whole = torch.zeros_like(currents[0]), theta.double().view(-1, 1, 1)
    for t, current in enumerate(currents):
        v = v + current
        fired = (v >= whole).double()
        v = v - fired * whole
        if not torch.equal(fired, layer.spikes[t * batch : (t + 1) * batch].double()):
            return False
        if not torch.equal(fired.sum(1).flatten(1), layer.counts[t].double()):
            return False
    return torch.equal(v, layer.v.double())


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
