"""Small networks and a toy task for the tests of direct training."""

import torch
from torch import Tensor, nn

from direct import Trainable, prepare
from direct.rules import RULES
from network.fit import fit
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.recipe import Recipe
from network.unroll import SpikingNetwork


class Toy:
    """Two classes: the bright half of a 1×6×6 image is left or right."""

    def __init__(self, count: int = 120) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) % 2
        self.images = 0.3 * torch.rand(count, 1, 6, 6, generator=generator)
        self.images[self.labels == 0, :, :, :3] += 0.7
        self.images[self.labels == 1, :, :, 3:] += 0.7

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[indices], self.labels[indices]


class Residual(nn.Module):
    """relu(norm(conv(x)) + x) between a first convolution and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.output = nn.Linear(3 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(self.norm(self.conv(x)) + x)
        out: Tensor = self.output(x.flatten(1))
        return out


def seeded(build: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


class Convolutional(nn.Sequential):
    def __init__(self, batch_norm: bool = True) -> None:
        norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1), norm, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 2),
        )  # fmt: skip


class WithoutNorm(Convolutional):
    def __init__(self) -> None:
        super().__init__(batch_norm=False)


class Flat(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 2))


def converted(model: nn.Module, theta: float = 0.25) -> SpikingNetwork:
    """What a conversion would hand over: IF neurons with spikes as high as θ."""
    body = trace(model.eval())
    swap_activations(body, lambda name, relu: Neuron(theta=theta, height="threshold"))
    return SpikingNetwork(body).eval()


def model_for(rule: str) -> nn.Module | None:
    if RULES.get(rule).needs_conversion:
        return None
    return seeded({"membrane-bp": Flat, "spike-bp": WithoutNorm}.get(rule, Convolutional))


def prepared(
    rule: str, timesteps: int = 4, options: dict | None = None, recipe: Recipe | None = None,
    model: nn.Module | None = None,
) -> Trainable:  # fmt: skip
    toy = Toy()
    needs_start = RULES.get(rule).needs_conversion
    return prepare(
        model or model_for(rule),
        rule=rule,
        timesteps=timesteps,
        options=options,
        images=toy.images[:32],
        labels=toy.labels[:32],
        recipe=recipe,
        start=converted(seeded(WithoutNorm)) if needs_start else None,
    )


def accuracy(network: SpikingNetwork, toy: Toy, timesteps: int) -> float:
    keys = torch.arange(len(toy)) * 7919
    with torch.no_grad():
        scores = network(toy.images, timesteps, keys)[-1]
    return (scores.argmax(1) == toy.labels).float().mean().item()


def trained(trainable: Trainable, toy: Toy, epochs: int = 6, rate: float | None = None) -> None:
    from dataclasses import replace

    recipe = replace(trainable.recipe, epochs=epochs, batch_size=20)
    if rate is not None:
        recipe = replace(recipe, learning_rate=rate)
    fit(trainable.network, trainable.objective, toy, recipe, seed=0)
