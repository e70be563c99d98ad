"""The training loop: it goes on to the same end, and says in one line what it cannot go on from."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.fit import Outcome, TrainingDiverged, fit
from network.optimiser import make_optimiser, set_rate
from network.order import Order, batch_sizes
from network.recipe import AnnRecipe, Recipe, learning_rate_at
from tests.direct_networks import Toy

RECIPE = Recipe(epochs=2, batch_size=4, learning_rate=0.01)


class Points:
    """Twelve points of two classes; `scale` spoils them."""

    def __init__(self, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(12, 3, generator=generator) * scale

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.points[indices], indices % 2


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 2))


def train(
    model: nn.Module,
    file: Path | None = None,
    *,
    data: Points | None = None,
    recipe: Recipe = RECIPE,
    stop_after: int = 0,
) -> dict[str, Tensor]:
    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        scores = model(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    def report(done: int, total: int, row: object) -> None:
        if row is None and done == stop_after:
            raise KeyboardInterrupt

    fit(model, objective, data or Points(), recipe, seed=5, checkpoint=file, report=report)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6])
def test_a_training_that_was_cut_off_ends_bit_for_bit_the_same(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("network.fit.CHECKPOINT_EVERY_S", -1.0)  # after every batch
    whole = train(network())
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(network(), file, stop_after=stop_after)
    torch.manual_seed(99)  # what the global generator held does not matter
    again = train(network(), file)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def flip_a_bit(file: Path) -> None:
    """In the values of the largest tensor in a file of torch's."""
    with zipfile.ZipFile(file) as archive:
        tensors = [name for name in archive.namelist() if "/data/" in name]
        content = max(map(archive.read, tensors), key=len)
    raw = bytearray(file.read_bytes())
    raw[raw.index(content) + len(content) // 2] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize("damage", ["truncated", "edited", "empty", "foreign", "another recipe"])
def test_a_checkpoint_that_cannot_be_gone_on_from_is_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "checkpoint.pt"
    train(network(), file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:300])
    elif damage == "edited":
        flip_a_bit(file)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        torch.save({"network": 1}, file)
    recipe = Recipe(epochs=9) if damage == "another recipe" else RECIPE
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt (is damaged|belongs to another)"
    ) as raised:
        train(network(), file, recipe=recipe)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_that_memory_does_not_hold_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(self: Path) -> bytes:
        raise MemoryError

    train(network(), tmp_path / "checkpoint.pt")
    monkeypatch.setattr(Path, "read_bytes", short)
    with pytest.raises(MemoryError):
        train(network(), tmp_path / "checkpoint.pt")


def test_a_loss_that_is_not_finite_is_one_line() -> None:
    with pytest.raises(TrainingDiverged, match="loss is nan in epoch 1, batch 1: lower the"):
        train(network(), data=Points(float("nan")))


def test_weights_that_the_last_step_spoils_are_found(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    recipe = Recipe(epochs=1, batch_size=12, learning_rate=3e38, optimiser="sgd", momentum=0.0)
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingDiverged, match=r"weights 0\.weight are not finite after epoch 1"):
        train(model, file, data=Points(1e6), recipe=recipe)
    assert not file.exists()


@pytest.mark.parametrize(("nesterov", "expected"), [(False, -0.29), (True, -0.461)])
def test_two_steps_of_momentum_by_hand(nesterov: bool, expected: float) -> None:
    """Gradient 1, rate 0.1: −0.1, then −0.19 more (v = 0.9·1 + 1); Nesterov steps by 0.9·v + 1."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    recipe = Recipe(optimiser="sgd", learning_rate=0.1, weight_decay=0.0, nesterov=nesterov)
    optimiser = make_optimiser(layer, recipe)
    for _ in range(2):
        layer.weight.grad = torch.ones(1, 1)
        optimiser.step()
    assert layer.weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_a_module_learns_at_its_share_of_the_rate(optimiser: str) -> None:
    """The first step of Adam has the size of the rate, whatever the gradient's scale."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    network[1].learning_share = 0.1
    for layer in network:
        nn.init.zeros_(layer.weight)
        layer.weight.grad = torch.full((1, 1), -1.0)
    made = make_optimiser(network, Recipe(optimiser=optimiser, learning_rate=0.5))
    set_rate(made, 0.01)
    made.step()
    assert network[0].weight.item() == pytest.approx(0.01)
    assert network[1].weight.item() == pytest.approx(0.001)


def test_biases_of_norms_learn_at_a_rate_of_their_own() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
            parameter.grad = torch.full_like(parameter, -1.0)
    recipe = Recipe(optimiser="sgd", momentum=0.0, weight_decay=0.0, bias_rate=16)
    made = make_optimiser(network, recipe)
    set_rate(made, 0.01)
    made.step()
    moved = {name: parameter.item() for name, parameter in network.named_parameters()}
    expected = {"0.weight": 0.01, "0.bias": 0.01, "1.weight": 0.01, "1.bias": 0.16}
    assert moved == pytest.approx(expected)
    with pytest.raises(ValueError, match="bias_rate must be positive, got 0"):
        Recipe(bias_rate=0)


def test_history_holds_the_rate_that_weights_had_in_the_last_batch() -> None:
    model = network()

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        scores = model(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    recipe = Recipe(
        epochs=3, batch_size=4, optimiser="sgd", schedule="cosine", learning_rate=0.02, bias_rate=16
    )
    rows = fit(model, objective, Points(), recipe, seed=5)
    expected = [learning_rate_at(recipe, batch, 3) for batch in (2, 5, 8)]  # of three in an epoch
    assert [row.learning_rate for row in rows] == expected


def test_a_triangle_rises_from_a_fifth_and_falls_to_seven_hundredths() -> None:
    recipe = Recipe(epochs=10, learning_rate=2.0, schedule="triangle", warm_up=0.2)
    rates = [learning_rate_at(recipe, batch, 10) for batch in (0, 10, 20, 60, 100)]
    assert rates == pytest.approx([0.4, 1.2, 2.0, 1.07, 0.14])


def test_scores_are_scaled_by_something_positive() -> None:
    with pytest.raises(ValueError, match="score_scale must be positive, got 0"):
        AnnRecipe(score_scale=0.0)


def test_nesterov_wants_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov wants a momentum above 0, got 0"):
        Recipe(nesterov=True, momentum=0.0)


@pytest.mark.parametrize(
    ("images", "batch", "sizes"),
    [
        (21, 10, [10, 11]),
        (20, 10, [10, 10]),
        (22, 10, [10, 10, 2]),
        (1, 10, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_last_batch_of_one_image_joins_the_one_before(
    images: int, batch: int, sizes: list[int]
) -> None:
    assert batch_sizes(images, batch) == sizes


def test_batch_norm_trains_on_one_image_more_than_whole_batches() -> None:
    toy = Toy(21)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    seen: list[int] = []

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        seen.append(len(images))
        scores = network(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    fit(network, objective, toy, Recipe(epochs=2, batch_size=10), seed=0)
    assert seen == [10, 11, 10, 11]


def test_every_image_comes_once_an_epoch_and_its_turn_with_it() -> None:
    order = Order(7, images=23, batch_size=5)
    seen = [[order.batch(epoch, i) for i in range(len(order.sizes))] for epoch in range(2)]
    first, second = (torch.cat(batches) for batches in seen)
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(23))
    assert not torch.equal(first, second)
    turns = order.turns(0, torch.arange(23))
    assert torch.equal(order.turns(3, first), turns[first] + 3)
    assert 4 < (turns % 2).sum() < 19  # binomial(23, ½): mean 11.5, three standard deviations 7.2
    again = Order(7, images=23, batch_size=5)
    assert torch.equal(again.batch(1, 2), seen[1][2])  # a training that goes on in the middle


@pytest.mark.parametrize(("images", "batch_size"), [(1, 4), (12, 1)])
def test_a_batch_of_one_image_and_batch_norm_is_said_plainly(images: int, batch_size: int) -> None:
    data = Points()
    data.points = data.points[:images]
    with pytest.raises(ValueError, match=r"one image is too few for batch norm.* at least 2"):
        train(network(), data=data, recipe=replace(RECIPE, batch_size=batch_size))
    without = nn.Sequential(nn.Linear(3, 2))
    train(without, data=data, recipe=replace(RECIPE, batch_size=batch_size))


@pytest.mark.parametrize(("name", "value"), [("optimiser", "rmsprop"), ("schedule", "steps")])
def test_a_recipe_refuses_what_it_does_not_know(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of .+, got '{value}'"):
        Recipe(**{name: value})
