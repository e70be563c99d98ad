"""Energy models: operation counts in, picojoules out. Models, never measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.lookup import lookup
from reports.metrics import described


class EnergyError(ValueError):
    """Counts from which a model cannot give an energy."""


@dataclass(frozen=True)
class Constant:
    """One constant of the models, with its unit and where it was published."""

    value: float
    unit: str
    source: str


_HOROWITZ = "Horowitz 2014, ISSCC, fig. 1.1.9 (45 nm, 0.9 V)"
_LEMAIRE = "Lemaire 2022, ICONIP (45 nm; SRAM fitted linearly to its size)"

CONSTANTS: dict[str, Constant] = {
    "fp32-add": Constant(0.9, "pJ", _HOROWITZ),
    "fp32-mac": Constant(4.6, "pJ", _HOROWITZ),
    "int32-add": Constant(0.1, "pJ", _HOROWITZ),
    "int32-multiply": Constant(3.1, "pJ", _HOROWITZ),
    "int32-mac": Constant(3.2, "pJ", _HOROWITZ),
    "int8-add": Constant(0.03, "pJ", _HOROWITZ),
    "int8-multiply": Constant(0.2, "pJ", _HOROWITZ),
    "int8-mac": Constant(0.23, "pJ", _HOROWITZ),
    "sram-8-kb": Constant(10.0, "pJ per 64-bit access", _HOROWITZ),
    "sram-32-kb": Constant(20.0, "pJ per 64-bit access", _HOROWITZ),
    "sram-1-mb": Constant(100.0, "pJ per 64-bit access", _HOROWITZ),
    "memory-slope": Constant(1.09e-5, "pJ per bit of memory and access", _LEMAIRE),
    "memory-base": Constant(13.2, "pJ per access", _LEMAIRE),
    "break-even-memory-low": Constant(0.15, "spikes per synapse", "Dampfhoffer 2023"),
    "break-even-memory-high": Constant(1.38, "spikes per synapse", "Dampfhoffer 2023"),
    "break-even-matched": Constant(0.29, "spikes per synapse", "Yan 2024"),
}
"""Every number the models use. Nothing in this file is a constant that is not in this table."""


@dataclass(frozen=True)
class EnergyModel:
    """A model: what it counts (`counts` or `layers`), what it means, where it comes from."""

    name: str
    needs: str
    definition: str
    source: str
    function: Callable[..., float]
    unit: str = "pJ"
    higher_is_better: bool = False

    @property
    def summary(self) -> str:
        """Definition, unit, direction and source, in one line."""
        return described(self.definition, self.unit, self.higher_is_better, self.source)


ENERGIES: dict[str, EnergyModel] = {}


def register(
    name: str, *, needs: str, source: str
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """File a function as an energy model; its docstring's first line is the definition."""

    def decorate(function: Callable[..., float]) -> Callable[..., float]:
        if name in ENERGIES:
            raise EnergyError(f"energy model {name!r} is registered twice")
        definition = (function.__doc__ or "").strip().split("\n")[0]
        ENERGIES[name] = EnergyModel(name, needs, definition, source, function)
        return function

    return decorate


def energy_pj_per_image(model: str, ac: float, mac: float) -> float:
    """Energy of one image by a model that needs only the counts of additions and multiply-adds."""
    entry = lookup(ENERGIES, "energy model", model)
    if entry.needs != "counts":
        raise EnergyError(f"energy model {model!r} needs {entry.needs}, not ac and mac alone")
    return entry.function(ac, mac)


@register("horowitz-fp32", needs="counts", source=_HOROWITZ)
def horowitz_fp32(ac_per_image: float, mac_per_image: float) -> float:
    """0.9 pJ for each addition and 4.6 pJ for each multiply-add, in 32-bit floating point."""
    return _counted("fp32", ac_per_image, mac_per_image)


@register("horowitz-int32", needs="counts", source=_HOROWITZ)
def horowitz_int32(ac_per_image: float, mac_per_image: float) -> float:
    """0.1 pJ for each addition and 3.2 pJ for each multiply-add, in 32-bit whole numbers."""
    return _counted("int32", ac_per_image, mac_per_image)


@register("matched-qnn", needs="mac and timesteps", source="Yan 2024; multiplier scaling of ours")
def matched_qnn(mac_per_image: float, timesteps: int, weight_bits: int = 32) -> float:
    """The ANN with activations of ⌈log₂(T + 1)⌉ bits, as many values as T steps can tell apart.

    One multiply-add = int32-multiply · (weight_bits · activation_bits)/32² + int32-add ·
    weight_bits/32: a multiplier grows with the product of its operands' widths (8 × 8 bits: 0.19,
    Horowitz 0.2), an adder with its own. To be held against `horowitz-int32` at weight_bits = 32.
    """
    _not_negative(mac=mac_per_image)
    if timesteps < 1 or not 1 <= weight_bits <= 32:
        got = f"{timesteps} and {weight_bits}"
        raise EnergyError(f"timesteps must be at least 1 and weight_bits 1 to 32, got {got}")
    product = weight_bits * activation_bits(timesteps) / 32**2
    multiply = CONSTANTS["int32-multiply"].value * product
    return mac_per_image * (multiply + CONSTANTS["int32-add"].value * weight_bits / 32)


def activation_bits(timesteps: int) -> int:
    """⌈log₂(T + 1)⌉: the bits that hold the T + 1 spike counts of T steps (Yan 2024)."""
    return math.ceil(math.log2(timesteps + 1))


@register("lemaire", needs="layers", source=_LEMAIRE)
def lemaire(layers: Iterable[Mapping[str, Any]], timesteps: int, leak: bool = False) -> float:
    """Additions, multiply-adds, addressing and memory accesses of every layer, in 32-bit integers.

    layers: rows of layers.csv of one case and T; timesteps: 0 for an ANN; leak: LIF neurons.
    Rows without a synaptic operation are left out. Spiking average pooling is a grouped convolution
    in front of neurons that do not leak (Lee 2020, section 2.2.1). A shortcut with weights adds
    into the potentials of its block, which are priced once; identity shortcuts are not priced, here
    nor in the ANN.
    Raises EnergyError for records in which a layer stands for more convolutions than it describes.
    """
    rows = [row for row in layers if _synaptic(row)]
    if not rows:
        raise EnergyError("no layer with a synaptic operation among the rows")
    if any(_more_than_described(row, timesteps) for row in rows):
        raise EnergyError("a layer of these records stands for several convolutions")
    if timesteps == 0:
        return sum(_ann_layer(row) for row in rows)
    total = 0.0
    for row in rows:
        price = _analogue_layer if row["mac_per_image"] > 0 else _spiking_layer
        total += price(row, timesteps, leak and row["kind"] != "pooling")
    return total


def break_even(model: str) -> float:
    """Spikes per synapse and inference at which additions cost as much as the ANN's MACs."""
    return energy_pj_per_image(model, 0.0, 1.0) / energy_pj_per_image(model, 1.0, 0.0)


def standing(spikes_per_synapse: float) -> dict[str, bool]:
    """Whether a network stays below each break-even: True where the model favours spikes."""
    limits = {
        "horowitz-fp32": break_even("horowitz-fp32"),
        "with memory, favourable": CONSTANTS["break-even-memory-high"].value,
        "with memory, unfavourable": CONSTANTS["break-even-memory-low"].value,
        "matched-bit ANN": CONSTANTS["break-even-matched"].value,
    }
    return {name: spikes_per_synapse < limit for name, limit in limits.items()}


@dataclass(frozen=True)
class _Layer:
    """Sizes of one convolution (a linear layer is one with a 1 × 1 map).

    channels_in: inputs of one output; channels_driven: outputs of one input. Both are those of one
    group. reach: places of the output map that one spike reaches.
    """

    channels_in: int
    channels_out: int
    channels_driven: int
    kernel: int
    reach: int
    outputs: int
    neurons_in: float
    weights: int
    linear: bool


def _layer(row: Mapping[str, Any]) -> _Layer:
    channels_in, channels_out = int(row["in_channels"]), int(row["out_channels"])
    height, width = int(row["kernel_height"]), int(row["kernel_width"])
    stride = max(1, int(row["stride"]))
    positions = int(row["out_height"]) * int(row["out_width"])
    groups = max(1, int(_or_zero(row.get("groups"))))  # records without the column have none
    axes = 1 if row.get("operation") == "Conv1d" else 2
    return _Layer(
        channels_in=channels_in,
        channels_out=channels_out,
        channels_driven=channels_out // groups,
        kernel=height * width,
        reach=math.ceil(height / stride) * math.ceil(width / stride),
        outputs=channels_out * positions,
        neurons_in=channels_in * groups * positions * stride**axes,
        weights=channels_in * channels_out * height * width,
        linear=height * width * positions == 1,
    )


def _ann_layer(row: Mapping[str, Any]) -> float:
    layer = _layer(row)
    products = layer.outputs * layer.channels_in * layer.kernel
    reads = layer.neurons_in if layer.linear else products
    return (
        _arithmetic(layer.outputs, products)
        + _memory(reads, layer.neurons_in)
        + _memory(products, layer.weights)
        + _memory(layer.outputs, layer.channels_out)
        + _memory(layer.outputs, layer.outputs)
    )


def _more_than_described(row: Mapping[str, Any], timesteps: int) -> bool:
    """Whether a row counts more multiply-adds than its one geometry has (before there were rows of
    shortcuts, the last convolution stood for all of a block)."""
    layer = _layer(row)
    most = layer.outputs * layer.channels_in * layer.kernel
    return bool(row["mac_per_image"] > most * max(1, timesteps))


def _analogue_layer(row: Mapping[str, Any], timesteps: int, leak: bool) -> float:
    """Multiply-adds once, then T increments of every potential, and the spikes written."""
    layer = _layer(row)
    updates = timesteps * layer.outputs
    spikes = _or_zero(row["spikes_per_image"])
    leaks = updates if leak and row["kind"] != "shortcut" else 0
    return (
        _ann_layer(row)
        + _arithmetic(updates + spikes, leaks)
        + 2 * _memory(updates, layer.outputs)
        + _memory(spikes, layer.outputs, bits=1)
    )


def _spiking_layer(row: Mapping[str, Any], timesteps: int, leak: bool) -> float:
    """Every spike adds its weights to potentials; addressing takes 2 multiply-adds a spike."""
    layer = _layer(row)
    spikes_in, spikes_out = float(row["input_spikes_per_image"]), _or_zero(row["spikes_per_image"])
    updates = 0 if row["kind"] == "shortcut" else timesteps * layer.outputs
    driven = spikes_in * layer.kernel * layer.channels_driven
    additions = spikes_in * layer.reach * layer.channels_driven + updates + spikes_out
    energy = _arithmetic(additions + driven, (updates if leak else 0) + 2 * spikes_in)
    energy += _memory(driven, layer.weights) + 2 * _memory(driven + updates, layer.outputs)
    if not layer.linear:
        energy += _memory(spikes_in, layer.neurons_in, bits=1)
        energy += _memory(updates, layer.channels_out)
        energy += _memory(spikes_out, layer.outputs, bits=1)
    return energy


def _arithmetic(additions: float, multiply_adds: float) -> float:
    add, multiply = CONSTANTS["int32-add"].value, CONSTANTS["int32-multiply"].value
    return additions * add + multiply_adds * (add + multiply)


def _memory(accesses: float, elements: float, bits: int = 32) -> float:
    slope, base = CONSTANTS["memory-slope"].value, CONSTANTS["memory-base"].value
    return accesses * (slope * elements * bits + base)


def _synaptic(row: Mapping[str, Any]) -> bool:
    kinds = ("hidden", "pooling", "output", "shortcut")
    return row["kind"] in kinds and _or_zero(row["in_channels"]) > 0


def _or_zero(value: Any) -> float:
    """A count that the record leaves out because there is nothing to count."""
    return 0.0 if value is None or math.isnan(float(value)) else float(value)


def _counted(width: str, ac_per_image: float, mac_per_image: float) -> float:
    _not_negative(ac=ac_per_image, mac=mac_per_image)
    add, mac = CONSTANTS[f"{width}-add"].value, CONSTANTS[f"{width}-mac"].value
    return ac_per_image * add + mac_per_image * mac


def _not_negative(**counts: float) -> None:
    for name, count in counts.items():
        if not count >= 0:
            raise EnergyError(f"{name} must be a count of at least 0, got {count}")
