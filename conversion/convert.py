"""`convert`: from a trained ANN to a spiking network in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

import conversion.methods  # noqa: F401  (registers the methods)
from conversion.audit import Audit, analogue_layers, refuse_unsupported
from conversion.folding import fold
from conversion.method import CONVERSIONS, Method
from conversion.pooling import pool_before_activation
from conversion.scaling import fold_scales
from conversion.source import Source
from network.copying import copied, without_hooks
from network.encodings import ENCODINGS
from network.graph import Kind, Quantised, UnsupportedNetwork, layers, trace
from network.neurons import Reset
from network.options import resolve
from network.reparametrised import plain_copy
from network.unroll import SpikingNetwork

CHECKED_IMAGES = 4  # on which the graph is compared with the network itself
# Largest difference between them, as a share of the largest output: folded norms round otherwise,
# and TensorFloat-32, torch's default for convolutions on CUDA, keeps ten bits.
SAME = 1e-2


@dataclass(frozen=True)
class Conversion:
    """A converted network in eval mode, and how it came about.

    thresholds: layer name -> θ, a scalar or one per channel [C].
    calibration_timesteps: steps that the network spends on every image before the counted ones.
    """

    network: SpikingNetwork
    thresholds: dict[str, Tensor]
    audit: Audit
    method: str
    calibration_timesteps: int


@torch.no_grad()
def convert(
    model: nn.Module,
    calibration: Tensor | Sequence[Tensor],
    *,
    method: str = "spike-norm",
    options: Mapping[str, object] | None = None,
    encoding: str | None = None,
    reset: Reset = "soft",
    seed: int = 0,
    batch_size: int = 100,
) -> Conversion:
    """The spiking network of a trained ANN. The ANN itself is not touched.

    model: any feed-forward network of ordinary layers, float32 or float64.
    calibration: images as the network sees them, [N, C, H, W] or a list of such batches.
    options: of the method, by name; `isospike list conversions` and CONVERSIONS hold the defaults.
    encoding: of the input; None takes the method's, which is constant for all of them (spike-norm
        too: images are normalised, and Poisson spikes want pixels in [0, 1]).
    reset: of the neurons, 'soft' or 'hard'. seed: of what a method draws.
    batch_size: images worked on at once; it changes the last bits of float32 sums at most.

    Raises UnknownName, OptionError, UnsupportedNetwork (naming the layer), SilentLayer, or
    ValueError.
    """
    chosen = CONVERSIONS.get(method)
    resolved = resolve(method, chosen.options, options or {})
    encoding = encoding or chosen.encoding
    _check_types(model)
    body, folded, prepared = prepare_ann(model)
    _check_activations(chosen, body)
    device = next((p.device for p in body.parameters()), torch.device("cpu"))
    batches = _batches(calibration, batch_size, device)
    _check_range(encoding, batches)
    _check_same(model, body, batches[0][:CHECKED_IMAGES])
    source = Source(body, batches, encoding, reset, seed)
    balance = chosen.function(source, **resolved)
    network = source.spiking(balance)
    audit = Audit(
        folded=folded,
        replaced=tuple(source.paths.values()),
        analogue=analogue_layers(body, spiking_input=ENCODINGS.get(encoding).spiking),
        notes=(*prepared, *balance.notes),
    )
    thresholds = {name: neuron.theta.clone() for name, neuron in network.neurons().items()}
    return Conversion(network, thresholds, audit, method, balance.calibration_timesteps)


def prepare_ann(
    model: nn.Module,
) -> tuple[fx.GraphModule, tuple[str, ...], tuple[str, ...]]:
    """A copy of an ANN ready for neurons: traced, norms folded, max pooling moved.

    Returns the network, the paths of the norms folded, and notes, as `fold` gives them, and of the
    poolings moved.
    Raises UnsupportedNetwork, naming the layer, for what cannot become spiking.
    """
    body = trace(without_hooks(plain_copy(model))).requires_grad_(False)
    for module in body.modules():  # neurons write nowhere, so that the graph must not need it
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010  (not every module has one)
    fold_scales(body)
    refuse_unsupported(body)
    folded, notes = fold(body)
    moved = pool_before_activation(body)
    of_pooling = (f"{path}: moved in front of the activation that feeds it" for path in moved)
    return body, folded, (*notes, *of_pooling)


def _check_types(model: nn.Module) -> None:
    for name, weight in model.named_parameters():
        if weight.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"a network must be of float32 or float64, got {weight.dtype} in {name}: call "
                ".float() first"
            )


def _check_same(model: nn.Module, body: fx.GraphModule, images: Tensor) -> None:
    """Raises UnsupportedNetwork where the folded graph puts out something else than the network."""
    try:
        expected = copied(model).eval()(images.clone())  # a network may keep what it has seen
    except Exception as error:  # the user's code may raise anything at all
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"calibration must be images as the network takes them, in batches [N, C, H, W]; with "
            f"{tuple(images.shape)} it raises {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(expected, Tensor):
        raise UnsupportedNetwork(f"a network must return one tensor, got {type(expected).__name__}")
    if not bool(expected.isfinite().all()):
        raise ValueError(
            "the network's outputs are not finite on the calibration images: its weights are not, "
            "or sums grow too large"
        )
    found = body(images.clone())
    scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    difference = float((found - expected).abs().max() / scale)
    if not difference <= SAME:  # NaN is not
        raise UnsupportedNetwork(
            f"{type(model).__name__} computes something else by itself than layer by layer "
            f"(outputs differ by {difference:.2g} of the largest): write its forward pass without "
            "hooks that change values, without operations that change a tensor others read, and "
            "without random numbers in eval mode"
        )


def _check_activations(method: Method, body: fx.GraphModule) -> None:
    if method.ann != "qcfs":
        return
    for node, activation in layers(body, Kind.ACTIVATION):
        if not isinstance(activation, Quantised):
            raise UnsupportedNetwork(
                f"{method.name} needs an ANN trained with quantised activations "
                f"(conversion.quantise_activations), got {type(activation).__name__} "
                f"at {node.meta.get('path', node.target)}"
            )


def _batches(
    calibration: Tensor | Sequence[Tensor], size: int, device: torch.device
) -> tuple[Tensor, ...]:
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    whole = [calibration] if isinstance(calibration, Tensor) else calibration
    if not isinstance(whole, Sequence) or not all(isinstance(part, Tensor) for part in whole):
        kinds = {type(part).__name__ for part in whole} if isinstance(whole, list | tuple) else ()
        got = type(calibration).__name__ + (f" of {', '.join(sorted(kinds))}" if kinds else "")
        raise ValueError(
            f"calibration must be a tensor of images [N, C, H, W] or a list of such, got {got}"
        )
    batches = tuple(part.to(device) for images in whole for part in images.split(size) if len(part))
    if not batches:
        raise ValueError("calibration needs at least one image, got none")
    forms = dict.fromkeys((images.dtype, tuple(images.shape[1:])) for images in batches)
    for dtype, _ in forms:
        if not dtype.is_floating_point:
            raise ValueError(f"calibration images must be floats, got {dtype}")
    if len(forms) > 1:
        (dtype, shape), (other, another) = list(forms)[:2]
        raise ValueError(
            "calibration images must be of one shape and one type, "
            f"got {dtype} of {shape} and {other} of {another}"
        )
    if not all(bool(images.isfinite().all()) for images in batches):
        raise ValueError("calibration images must be finite, got NaN or infinity")
    return batches


def _check_range(encoding: str, batches: Sequence[Tensor]) -> None:
    span = ENCODINGS.get(encoding).span
    if encoding == "events":
        raise ValueError("conversion runs on images, so encoding must not be 'events'")
    if encoding == "poisson-total":
        raise ValueError(
            "encoding poisson-total scales every image to one number of events, which the ANN has "
            "not seen: converted networks take constant, poisson or poisson-signed"
        )
    if span is None:
        return
    low = min(float(images.min()) for images in batches)
    high = max(float(images.max()) for images in batches)
    if low < span[0] or high > span[1]:
        raise ValueError(
            f"encoding {encoding} needs pixels in [{span[0]:g}, {span[1]:g}], "
            f"got [{low:.4g}, {high:.4g}]: train and convert on pixels of that range"
        )
