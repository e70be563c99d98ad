"""Networks that are legal and rare: what a rule does with them, or says about them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from direct import prepare
from network.graph import UnsupportedNetwork
from network.unroll import unroll
from tests.direct_networks import Toy, WithoutNorm, converted, prepared, seeded


class Functional(nn.Module):
    """Dropout as a function, in a mode that follows the module's."""

    def __init__(self, drop: object = F.dropout2d) -> None:
        super().__init__()
        self.conv, self.output, self.drop = nn.Conv2d(1, 8, 3), nn.Linear(128, 2), drop

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.conv(x)), 0.5, self.training)  # type: ignore[operator]
        out: Tensor = self.output(x.flatten(1))
        return out


@pytest.mark.parametrize("drop", [F.dropout, F.dropout2d])
@pytest.mark.parametrize("mode", [True, False])
def test_functional_dropout_follows_the_mode(drop: object, mode: bool) -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 1, 6, 6) + 0.5
    network = prepared("bptt", 3, model=Functional(drop).train(mode)).network
    network.train()
    assert not torch.equal(network(images, 3), network(images, 3))
    network.eval()
    assert torch.equal(network(images, 3), network(images, 3))


@pytest.mark.parametrize("dropout", [nn.AlphaDropout, nn.FeatureAlphaDropout])
@pytest.mark.parametrize("rule", ["bptt", "rate-bp", "tdbn", "hybrid"])
def test_dropout_that_wakes_silent_neurons_is_refused(rule: str, dropout: type[nn.Module]) -> None:
    model, toy = seeded(WithoutNorm), Toy(4)
    assert isinstance(model, nn.Sequential)
    model.insert(3, dropout(0.5))
    sample = {"timesteps": 2, "images": toy.images, "labels": toy.labels}
    start = converted(model) if rule == "hybrid" else None
    with pytest.raises(UnsupportedNetwork, match=r"3 \(.*AlphaDropout\) adds to what it drops"):
        prepare(None if start else model, rule=rule, start=start, **sample)


def linear(weights: float, *, inputs: int = 4, outputs: int = 4) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.constant_(layer.weight, weights)
    return layer


@pytest.mark.parametrize("rule", ["rate-bp", "spike-bp"])
def test_a_dropout_called_twice_has_two_masks_in_the_gradient(rule: str) -> None:
    def gradients(drops: list[nn.Module]) -> list[Tensor]:
        torch.manual_seed(0)
        parts = [nn.Linear(36, 16), nn.Linear(16, 16), nn.Linear(16, 2)]
        model = nn.Sequential(
            nn.Flatten(), parts[0], nn.ReLU(), drops[0], parts[1], nn.ReLU(), drops[1], parts[2]
        )
        toy = Toy(32)
        trainable = prepare(
            model, rule=rule, timesteps=6, images=toy.images, labels=toy.labels,
            encoding="constant",
        )  # fmt: skip
        trainable.network.train()
        torch.manual_seed(1)
        trainable.objective(toy.images, toy.labels, torch.arange(32))[0].backward()
        return [part.weight.grad for part in parts if part.weight.grad is not None]

    shared = nn.Dropout(0.5)
    for one, two in zip(
        gradients([shared, shared]), gradients([nn.Dropout(0.5), nn.Dropout(0.5)]), strict=True
    ):
        assert two.abs().max() > 0
        torch.testing.assert_close(one, two)


def test_dropout_of_a_constant_input_drops_it_once() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), linear(0.5, inputs=4), nn.ReLU(), linear(1.0)
    )
    images, labels = torch.full((1, 1, 2, 2), 0.7), torch.zeros(1, dtype=torch.long)
    trainable = prepare(
        model, rule="rate-bp", timesteps=4, images=images, labels=labels, options={"balance": False}
    )
    trainable.network.train()
    torch.manual_seed(0)
    trainable.objective(images, labels, torch.arange(1))[0].backward()
    found = model[2].weight.grad
    assert found is not None
    torch.manual_seed(0)
    fixed = nn.Sequential(nn.Flatten(), linear(0.5, inputs=4), nn.ReLU(), linear(1.0))
    inputs = nn.Dropout(0.5)(torch.ones(1, 4)) * 0.7
    other = prepare(
        fixed, rule="rate-bp", timesteps=4, images=inputs, labels=labels,
        options={"balance": False},
    )  # fmt: skip
    other.objective(inputs, labels, torch.arange(1))[0].backward()
    assert fixed[1].weight.grad is not None
    torch.testing.assert_close(found, fixed[1].weight.grad)


class MaxPooled(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 3, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(27, 2),
        )  # fmt: skip


def test_behind_max_pooling_the_gradient_is_of_the_spikes_that_arrived() -> None:
    toy, timesteps = Toy(8), 20
    model = seeded(MaxPooled)
    trainable = prepare(
        model, rule="rate-bp", timesteps=timesteps, images=toy.images, labels=toy.labels,
        options={"loss": "mse", "balance": False},
    )  # fmt: skip
    loss, scores = trainable.objective(toy.images, toy.labels, torch.arange(8))
    loss.backward()
    seen: list[Tensor] = []
    layer = trainable.network.body.get_submodule("4")
    handle = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        unroll(trainable.network, toy.images, timesteps)
    handle.remove()
    arrived = torch.cat([part.unflatten(0, (-1, 8)) for part in seen]).mean(0)
    error = (scores - F.one_hot(toy.labels, 2)) / 8  # mse: ½Σ(s − y)², the mean over the batch
    found = model[4].weight.grad
    assert found is not None
    assert arrived.unique().numel() > 4
    torch.testing.assert_close(found, (error.t() @ arrived).detach())


@pytest.mark.parametrize("rule", ["tdbn", "rate-bp", "bptt"])
def test_a_norm_without_scale_and_shift_is_trained_through(rule: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 2),
    )  # fmt: skip
    trainable = prepared(rule, 3, model=model)
    toy = Toy(10)
    trainable.objective(toy.images, toy.labels, torch.arange(10))[0].backward()
    assert model[0].weight.grad is not None
    assert model[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("activation", "name"), [(nn.GELU(), r"1 \(GELU\)"), (torch.sigmoid, r"sigmoid \(sigmoid\)")]
)
def test_an_activation_that_would_stay_analogue_is_named(activation: object, name: str) -> None:
    class Mixed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            x = self[0](x)
            x = self[1](x) if isinstance(activation, nn.Module) else activation(x)  # type: ignore[operator]
            out: Tensor = self[3](torch.relu(self[2](x.flatten(1))))
            return out

    own = activation if isinstance(activation, nn.Module) else nn.Identity()
    model = Mixed(nn.Conv2d(1, 2, 3), own, nn.Linear(32, 4), nn.Linear(4, 2))
    with pytest.raises(UnsupportedNetwork, match=f"{name} has no spiking neuron in its place"):
        prepared("bptt", 3, model=model)


def test_thresholds_are_balanced_on_as_many_steps_as_there_are_frames() -> None:
    frames = torch.zeros(2, 4, 1, 2, 2)
    frames[0, 3, 0, 0, 0] = 5.0  # the largest input comes in the last frame
    model = nn.Sequential(nn.Flatten(), linear(0.5), nn.ReLU(), linear(1.0))
    trainable = prepare(
        model, rule="bptt", timesteps=4, images=frames, labels=torch.zeros(2, dtype=torch.long),
        encoding="events",
    )  # fmt: skip
    (neuron,) = trainable.network.neurons().values()
    assert neuron.theta.item() == 2.5


@pytest.mark.parametrize("rule", ["bptt", "spike-bp", "rate-bp", "hybrid"])
def test_spikes_are_counted_only_where_the_last_layer_spikes(rule: str) -> None:
    toy = Toy(4)
    start = converted(seeded(WithoutNorm)) if rule == "hybrid" else None
    words = (
        r"readout spike-count needs a network that ends in neurons, got 7 \(Linear\) as its last"
    )
    with pytest.raises(UnsupportedNetwork, match=words):
        prepare(
            None if start else seeded(WithoutNorm), rule=rule, timesteps=2, images=toy.images,
            labels=toy.labels, readout="spike-count", start=start,
        )  # fmt: skip


def test_spikes_of_a_last_layer_of_neurons_are_counted() -> None:
    toy, model = Toy(4), nn.Sequential(nn.Linear(36, 2), nn.ReLU(), nn.Dropout(0.1), nn.Flatten())
    network = prepare(
        model, rule="bptt", timesteps=5, images=toy.images.flatten(1), labels=toy.labels,
        readout="spike-count",
    ).finish()  # fmt: skip
    scores = network(toy.images.flatten(1), 5)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_diet_trains_as_many_thresholds_as_the_conversion_has() -> None:
    toy, start = Toy(8), converted(seeded(WithoutNorm))
    first, second = start.neurons().values()
    first.theta = torch.tensor([0.2, 0.3, 0.4, 0.5])  # one per channel
    trainable = prepare(
        None, rule="diet", timesteps=3, images=toy.images, labels=toy.labels, start=start
    )
    trainable.objective(toy.images, toy.labels, torch.arange(8)).loss.backward()
    for neuron, shape in ((first, (4,)), (second, ())):
        assert isinstance(neuron.theta, nn.Parameter)
        assert neuron.leak is not None
        assert (neuron.theta.shape, neuron.leak.shape) == (shape, ())
        assert neuron.theta.grad is not None


@pytest.mark.parametrize(
    ("name", "has", "asked"),
    [("encoding", "constant", "poisson"), ("readout", "mean-current", "membrane")],
)
def test_a_converted_network_keeps_its_encoding_and_readout(
    name: str, has: str, asked: str
) -> None:
    toy, start = Toy(4), converted(seeded(WithoutNorm))
    sample = {"timesteps": 2, "images": toy.images, "labels": toy.labels, "start": start}
    with pytest.raises(
        ValueError, match=f"{name} of the converted network, {has}: .+, got {asked}"
    ):
        prepare(None, rule="hybrid", **sample, **{name: asked})
    assert getattr(prepare(None, rule="hybrid", **sample, **{name: has}).network, name) == has


@pytest.mark.parametrize("labels", [0, 3])
def test_a_sample_needs_a_label_for_every_image(labels: int) -> None:
    toy = Toy(4)
    images = toy.images[: 4 if labels else 0]
    with pytest.raises(ValueError, match=f"got {len(images)} images and {labels} labels"):
        prepare(
            seeded(WithoutNorm), rule="bptt", timesteps=2, images=images,
            labels=toy.labels[:labels],
        )  # fmt: skip


def test_trained_thresholds_stay_positive_and_leaks_shares_of_1() -> None:
    toy, trainable = Toy(8), prepared("diet")
    first, second = trainable.network.neurons().values()
    assert first.leak is not None
    assert second.leak is not None
    with torch.no_grad():  # as an update too large may leave them
        first.theta.fill_(-0.5)
        first.leak.fill_(1.5)
        second.leak.fill_(-0.5)
    loss = trainable.objective(toy.images, toy.labels, torch.arange(8)).loss
    assert torch.isfinite(loss)
    assert first.theta.item() > 0
    assert (first.leak.item(), second.leak.item()) == (1.0, 0.0)
    with torch.no_grad():
        first.theta.fill_(-0.5)
    assert next(iter(trainable.finish().neurons().values())).theta.item() > 0
