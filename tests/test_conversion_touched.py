"""Networks whose layers were touched after they were made: hooks, methods replaced, wrappers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from direct import prepare
from network.activity import count_activity
from network.fixed import fixed_point, unroll_fixed
from network.graph import UnsupportedNetwork, trace
from network.unroll import unroll
from tests.fixed_point import Recorder


def images(count: int = 8) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 5),
    ).eval()  # fmt: skip


@torch.no_grad()
def distance(model: nn.Module, x: Tensor, timesteps: int = 256) -> float:
    """Of the spiking network's scores from the ANN's, as a share of the largest."""
    expected = model(x)
    scores = convert(model, x, method="data-norm").network(x, timesteps)[-1]
    return float((scores - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("layer", [1, 2, 5])
def test_a_hook_that_changes_values_is_refused(layer: int) -> None:
    model = network()
    model[layer].register_forward_hook(lambda module, given, out: out * 0.5)
    with pytest.raises(UnsupportedNetwork, match="without hooks that change values"):
        convert(model, images(), method="data-norm")


@pytest.mark.parametrize("layer", [1, 2])
def test_so_is_one_in_front_of_a_layer(layer: int) -> None:
    model = network()
    model[layer].register_forward_pre_hook(lambda module, given: (given[0] + 1.0,))
    with pytest.raises(UnsupportedNetwork, match="without hooks that change values"):
        convert(model, images(), method="data-norm")


@pytest.mark.parametrize("layer", [1, 2])
def test_a_hook_that_looks_on_does_no_harm_and_sees_no_spikes(layer: int) -> None:
    model, seen = network(), list[Tensor]()
    model[layer].register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    converted = convert(model, images(), method="data-norm").network
    looks = len(seen)
    converted(images(), 4)
    assert len(seen) == looks
    assert len(model[layer]._forward_hooks) == 1  # the user's network keeps it
    assert distance(model, images()) < 0.01


def test_a_hook_on_an_activation_is_not_lost_in_direct_training() -> None:
    model = network()
    model[1].register_forward_hook(lambda module, given, out: out * 0.5)
    with pytest.raises(UnsupportedNetwork, match=r"1 \(ReLU\) has a forward hook"):
        prepare(model, rule="bptt", timesteps=2, images=images(), labels=torch.arange(8) % 5)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda z: F.relu(z) * 2, r"mul \(mul\) cannot become spiking.*\(in 1, ReLU\)"),
        (F.gelu, r"gelu \(gelu\) cannot become spiking.*train the network with ReLU"),
    ],
)
def test_a_forward_pass_put_on_one_layer_is_looked_into(forward: object, words: str) -> None:
    model = network()
    model[1].forward = forward
    with pytest.raises(UnsupportedNetwork, match=words):
        convert(model, images(), method="data-norm")


def test_one_that_is_a_relu_is_converted() -> None:
    model = network()
    model[1].forward = lambda z: F.relu(z)
    assert distance(model, images()) < 0.01


def test_a_layer_of_torch_with_a_relu_inside_is_no_plain_layer() -> None:
    qat = pytest.importorskip("torch.ao.nn.intrinsic.qat")  # torch is giving it up
    settings = pytest.importorskip("torch.ao.quantization").get_default_qat_qconfig("fbgemm")
    model = network()
    model[2], model[3] = qat.ConvReLU2d(8, 8, 3, qconfig=settings), nn.Identity()
    model(images())
    with pytest.raises(UnsupportedNetwork, match=r"conv2d \(conv2d\) .*\(in 2, ConvReLU2d\)"):
        convert(model.eval(), images(), method="data-norm")


class Calls(nn.Module):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.calls = network(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        scores: Tensor = self.layers(x)
        return scores


def test_what_a_network_keeps_of_its_calls_stays_as_it_was() -> None:
    model = Calls().eval()
    convert(model, images(), method="data-norm")
    assert model.calls == 0


class Indexed(nn.Module):
    """Indexes the input, the first activations or the scores."""

    def __init__(self, place: str, index: object) -> None:
        super().__init__()
        self.layers, self.place, self.index = network(), place, index

    def forward(self, x: Tensor) -> Tensor:
        if self.place == "input":
            x = x[self.index]
        h = self.layers[1](self.layers[0](x))
        if self.place == "activations":
            h = h + h[self.index]
        for layer in list(self.layers)[2:]:
            h = layer(h)
        return h[self.index] if self.place == "scores" else h


@pytest.mark.parametrize("place", ["input", "activations", "scores"])
@pytest.mark.parametrize("index", [slice(0, 1), slice(-1, None), slice(None, None, 2), [0]])
def test_an_index_that_picks_images_is_refused(place: str, index: object) -> None:
    with pytest.raises(UnsupportedNetwork, match=r"getitem \(getitem\) .* picks images of a batch"):
        convert(Indexed(place, index).eval(), images(), method="data-norm")


@pytest.mark.parametrize(
    "index", [(slice(None), slice(0, None)), (..., slice(0, 6)), slice(None), (slice(0, None),)]
)
def test_an_index_that_keeps_them_is_not(index: object) -> None:
    assert distance(Indexed("activations", index).eval(), images()) < 0.02


class AnyInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = network()

    def forward(self, *given: Tensor) -> Tensor:
        scores: Tensor = self.layers(given[0])
        return scores


class Named(AnyInputs):
    def forward(self, *, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize(("kind", "got"), [(AnyInputs, r"\*given"), (Named, "x")])
def test_the_input_is_the_first_argument(kind: type[nn.Module], got: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=f"its input as first argument, got {got}"):
        convert(kind().eval(), images(), method="data-norm")


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (nn.DataParallel, r"the network \(DataParallel\) wraps a network: .* its \.module"),
        (lambda m: nn.Sequential(torch.compile(m)), r"0 \(OptimizedModule\) .* its \._orig_mod"),
        (lambda m: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()), "0 .LazyConv2d. has no weights"),
        (lambda m: m.half(), r"float32 or float64, got torch.float16 in 0.weight: call \.float"),
        (lambda m: m[0], "the network has no ReLU"),
        (lambda m: nn.Sequential(m[0], nn.SyncBatchNorm(8), *m[1:]), "write it as nn.BatchNorm2d"),
    ],
)
def test_wrappers_and_layers_of_another_kind_are_named(wrap: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convert(wrap(network()), images(), method="data-norm")


class OutputLayer(nn.Module):
    """Its activation bears the name that counts give the scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.output, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.output(self.first(x)).flatten(1))
        return scores


def test_an_activation_may_be_called_output() -> None:
    converted = convert(OutputLayer().eval(), images(), method="data-norm")
    counter = count_activity(converted.network, (3, 8, 8), 8)
    unroll(converted.network, images(), 8, taps=[counter])
    assert converted.audit.replaced == ("output",)
    assert counter.spikes["output_layer"].sum() > 0
    assert [layer.kind for layer in counter.wires.layers] == ["input", "hidden", "output"]


def test_networks_of_float64_run_in_whole_numbers() -> None:
    model = network().double()
    converted = convert(model, images().double(), method="data-norm").network
    fixed = fixed_point(converted, (3, 8, 8), 24)
    scores = fixed.read(unroll_fixed(fixed, images().double(), 256))[-1]
    expected = converted(images().double(), 256)[-1]
    torch.testing.assert_close(scores.double(), expected, rtol=0.02, atol=0.002)


class FilledUp(nn.Module):
    """A residual block whose shortcut thins the map and fills up channels with zeros."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.c = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        shortcut = F.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4), "constant", 0)
        scores: Tensor = self.last(F.relu(self.c(F.relu(self.b(h))) + shortcut).mean((2, 3)))
        return scores


def test_a_shortcut_that_fills_up_channels_is_converted_and_counted() -> None:
    model = FilledUp().eval()
    assert distance(model, images()) < 0.02
    converted = convert(model, images(), method="data-norm").network
    counter, recorder = count_activity(converted, (3, 8, 8), 16).of_whole_numbers(), Recorder()
    fixed = fixed_point(converted, (3, 8, 8), 24)
    unroll_fixed(fixed, images(), 16, taps=[counter, recorder])
    thinned = recorder.spikes["relu"][..., ::2, ::2]  # what the shortcut reads, one AC a spike
    assert counter.accumulates["relu_2"].sum() == (thinned > 0).sum() > 0
    expected = converted(images(), 64)[-1]
    scores = fixed.read(unroll_fixed(fixed, images(), 64))[-1]
    torch.testing.assert_close(scores.float(), expected, rtol=0.05, atol=0.01)


@pytest.mark.parametrize(
    "relu",
    [
        lambda z: z.clamp_min(0), lambda z: torch.clamp_min(z, 0), lambda z: F.threshold(z, 0, 0),
        nn.Threshold(0, 0),
    ],
)  # fmt: skip
def test_a_relu_by_another_name(relu: object) -> None:
    model = network()
    if isinstance(relu, nn.Module):
        model[1] = relu
    else:
        model[1].forward = relu
    assert distance(model, images()) < 0.01


def test_zeros_around_a_map() -> None:
    model = network()
    model[0] = nn.Sequential(nn.ConstantPad2d(1, 0.0), nn.Conv2d(3, 8, 3))
    model[5] = nn.Linear(288, 5)
    assert distance(model.eval(), images()) < 0.02
    model[0][0] = nn.ConstantPad2d(1, 1.0)
    with pytest.raises(UnsupportedNetwork, match=r"0.0 \(ConstantPad2d\) cannot become spiking"):
        convert(model.eval(), images(), method="data-norm")


def test_a_single_layer_is_traced_as_a_network_of_one() -> None:
    body = trace(nn.Linear(3, 2))
    assert [node.op for node in body.graph.nodes] == ["placeholder", "call_module", "output"]
