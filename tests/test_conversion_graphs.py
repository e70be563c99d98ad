"""Networks that isospike has never seen: what converts, what is refused, and by which name."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

from conversion import convert
from conversion.convert import prepare_ann
from network.graph import UnsupportedNetwork, trace
from tests.small_networks import images, network


class MyReLU(nn.ReLU):
    pass


class Block(nn.Module):
    """conv, activation, conv, with the activation given."""

    def __init__(self, activation: object) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.act = activation if isinstance(activation, nn.Module) else nn.Identity()
        self.function = None if isinstance(activation, nn.Module) else activation
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        if self.function is not None:
            x = self.function(x)
        return self.head(x.flatten(1))


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), MyReLU(), nn.ReLU6(), nn.Hardtanh(0.0, 2.0), F.relu, torch.relu, F.relu6,
     lambda x: x.relu(), lambda x: x.clamp(min=0), lambda x: torch.clamp(x, 0, 1.5),
     lambda x: F.hardtanh(x, 0.0, 1.0)],
)  # fmt: skip
def test_every_form_of_relu_becomes_a_neuron(activation: object) -> None:
    torch.manual_seed(0)
    result = convert(Block(activation), images(4), method="data-norm")
    assert len(result.thresholds) == 1


@pytest.mark.parametrize(
    ("activation", "words"),
    [
        (nn.GELU(), r"act \(GELU\) cannot become spiking: .* train the network with ReLU"),
        (F.gelu, r"gelu \(gelu\) cannot become spiking: .* train the network with ReLU"),
        (nn.Sigmoid(), r"act \(Sigmoid\) cannot become spiking"),
        (torch.sigmoid, r"sigmoid \(sigmoid\) cannot become spiking"),
        (nn.LeakyReLU(), r"act \(LeakyReLU\)"),
        (nn.LayerNorm(6), r"act \(LayerNorm\).*batch norm in its place"),
        (nn.Softmax(1), r"act \(Softmax\).*scores in front of it"),
        (nn.Hardtanh(), r"act \(Hardtanh\)"),
        (lambda x: x * x, r"mul \(mul\) cannot become spiking"),
        (lambda x: x.clamp(0.1, 1.0), r"clamp \(clamp\) cannot become spiking"),
    ],
)
def test_what_cannot_spike_is_refused_by_name(activation: object, words: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), Block(activation))
    with pytest.raises(UnsupportedNetwork, match=words):
        convert(model, images(2), method="data-norm")


def test_a_network_without_relu_is_refused() -> None:
    with pytest.raises(UnsupportedNetwork, match="has no ReLU"):
        convert(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), images(2), method="data-norm")


def test_control_flow_on_data_is_refused() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu() if x.sum() > 0 else x

    with pytest.raises(UnsupportedNetwork, match="Branching cannot be traced"):
        convert(Branching(), images(2), method="data-norm")


def test_a_converted_network_is_not_converted_again() -> None:
    once = convert(network("plain"), images(4), method="data-norm")
    with pytest.raises(UnsupportedNetwork, match="is a spiking neuron: convert the ANN instead"):
        prepare_ann(once.network.body)


def test_clipped_activations_bound_the_threshold() -> None:
    """Layer 'clamp' of `branches` puts out at most 0.7, so its threshold may not exceed it."""
    for method in ("data-norm", "spike-norm", "model-norm"):
        result = convert(network("branches"), images(8) * 4, method=method)
        bounded = [v for k, v in result.thresholds.items() if k.startswith("clamp")]
        assert len(bounded) == 1
        assert bounded[0] <= 0.7


def test_max_pooling_over_averaged_spikes_is_refused_by_name() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4, 2),
    )  # fmt: skip
    words = r"3 \(MaxPool2d\) takes the maximum over spikes of 2 \(AvgPool2d\).*average pooling"
    with pytest.raises(UnsupportedNetwork, match=words):
        convert(model, images(2), method="data-norm")


def test_a_pooled_activation_that_others_read_gets_neurons_of_its_own() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.relu = nn.ReLU()
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Linear(4 * 64 + 4 * 16, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.conv(x))
            return self.head(torch.cat([y.flatten(1), self.pool(y).flatten(1)], 1))

    torch.manual_seed(0)
    model = Shared()
    x = images(4)
    result = convert(model, x, method="data-norm")
    assert len(result.thresholds) == 2
    with torch.no_grad():
        error = (result.network(x, 400)[-1] - model(x)).abs().max()
    assert error < 0.02


def test_max_pooling_of_currents_is_exact_over_time() -> None:
    """Pooling the summed currents: after T even steps the rates are the ANN's, rounded down."""
    model = network("max-pooled")
    x = images(6)
    result = convert(model, x, method="data-norm")
    with torch.no_grad():
        scores, answer = result.network(x, 800)[-1], model(x)
    assert (scores - answer).norm() / answer.norm() < 0.01


@pytest.mark.parametrize(("scale", "synapses"), [(0.5, 2), (-0.5, 3), (0.0, 3)])
def test_a_norm_behind_max_pooling_is_folded_where_it_keeps_the_order(
    scale: float, synapses: int
) -> None:
    """max(s·z + b) = s·max(z) + b for s > 0 only; any other norm stays a synapse of its own."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 3),
    )  # fmt: skip
    x = images(6)
    model(x)  # running statistics of its own
    model.eval()
    with torch.no_grad():
        model[2].weight[1] = scale
        body = prepare_ann(model)[0]
        assert torch.allclose(body(x), model(x), atol=1e-5)
    layers = [m for m in body.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == synapses


TORCHVISION = {  # networks: image side, norms, neurons, poolings moved
    "vgg16_bn": (32, 13, 15, 5),
    "resnet18": (32, 20, 17, 1),
    "resnet50": (32, 53, 49, 1),
    "mobilenet_v2": (32, 52, 35, 0),
    "densenet121": (32, 121, 121, 1),
    "googlenet": (64, 57, 90, 13),
    "squeezenet1_1": (64, 0, 26, 3),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision_convert(name: str) -> None:
    side, norms, neurons, moved = TORCHVISION[name]
    torch.manual_seed(0)
    arguments = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, num_classes=10, **arguments)
    for module in model.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        answer = model(x)
        body, _, _ = prepare_ann(model)
        torch.testing.assert_close(
            body(x), answer, rtol=1e-4, atol=1e-5 * float(answer.abs().max())
        )
        result = convert(model, x, method="data-norm")
        assert result.network(x[:1], 2).isfinite().all()
    own = sum("now one of its own" in note for note in result.audit.notes)
    assert len(result.audit.folded) + own == norms
    assert own == (62 if name == "densenet121" else 0)
    assert len(result.audit.replaced) == neurons
    assert sum("moved" in note for note in result.audit.notes) == moved


def test_attention_is_refused() -> None:
    model = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    with pytest.raises(UnsupportedNetwork):
        trace_and_convert(model)


def trace_and_convert(model: nn.Module) -> None:
    trace(model)
    convert(model, torch.randn(2, 4, 16), method="data-norm")
