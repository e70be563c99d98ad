"""Trainings that several processes share: `torchrun --nproc-per-node 2 -m tests.team_training DIR`.

The first process writes DIR/NAME.pt: weights and history. `train(NAME, None)` is one process's.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from compare.ranks import end_at_once
from conversion import quantise_activations
from direct.rules import RULES
from network.fit import Outcome, fit
from network.recipe import Recipe
from network.team import Team
from tests.direct_networks import Residual, Toy, prepared, seeded

# 21 images of a batch are 11 and 10 for two processes; the last batch of 120 has 15: 8 and 7.
RECIPE = Recipe(epochs=1, batch_size=21, learning_rate=1e-3, optimiser="sgd", weight_decay=0.01)
RULE_NAMES = tuple(RULES.names())
ANNS = ("ann", "ann-bfloat16", "ann-quantised")
UNUSED = "ann-with-unused-parameters"


class Ann(nn.Module):
    """Both kinds of batch norm and of dropout; optionally a layer that is never called."""

    def __init__(self, unused: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.3)
        self.hidden, self.flat_norm = nn.Linear(64, 8), nn.BatchNorm1d(8, momentum=None)
        self.out = nn.Linear(8, 2)
        if unused:
            self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1)
        x = torch.relu(self.flat_norm(self.hidden(x)))
        out: Tensor = self.out(F.dropout(x, 0.2, self.training))
        return out


def noisy(images: Tensor, generator: torch.Generator, turns: Tensor) -> Tensor:
    """An augmentation that draws numbers for every image."""
    del turns
    return images + 0.1 * torch.rand(images.shape, generator=generator)


def train(name: str, team: Team | None, checkpoint: Path | None = None) -> dict[str, Any]:
    """Weights, buffers and history of one training."""
    if name in RULES.names():
        start = seeded(Residual) if name in ("tdbn", "rate-bp") else None
        steps = 6 if name == "rate-bp" else 3  # its norms see 4 and 2 of them
        trainable = prepared(name, timesteps=steps, recipe=RECIPE, model=start)
        network: nn.Module = trainable.network
        objective: Any = trainable.objective
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(team.rank if team else 0)  # the first process's weights count
            network = Ann(unused=name == UNUSED).to(memory_format=torch.channels_last)
        if name == "ann-quantised":  # its scales follow percentiles, then it rounds behind noise
            network = quantise_activations(network, 4, relu_share=0.5, noise=1.0)

        def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
            scores = network(images)
            return Outcome(F.cross_entropy(scores, labels), scores)

    precision = "bfloat16" if name == "ann-bfloat16" else "float32"
    recipe = Recipe(**{**vars(RECIPE), "precision": precision})
    history = fit(
        network, objective, Toy(), recipe,
        seed=3, augment=noisy, validate=lambda: 0.5, checkpoint=checkpoint, team=team,
    )  # fmt: skip
    rows = [(row.train_loss, row.train_accuracy) for row in history]
    return {"weights": network.state_dict(), "history": rows}


def main() -> None:
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    team = Team(dist.get_rank(), dist.get_world_size())
    for name in (*ANNS, UNUSED, *RULE_NAMES):
        result = train(name, team)
        same = team.gathered([t.tolist() for t in result["weights"].values()])
        result["together"] = all(weights == same[0] for weights in same)
        if team.rank == 0:
            torch.save(result, folder / f"{name}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
    end_at_once(0)  # gloo's threads may abort a process that takes its interpreter down
