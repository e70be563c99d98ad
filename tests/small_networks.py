"""Small networks of every kind that a conversion must handle, for images [3, 8, 8]."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHAPE = (3, 8, 8)


class Residual(nn.Module):
    """Batch norm on both branches, one ReLU module called twice, a 1×1 shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(6)
        self.conv1 = nn.Conv2d(6, 8, 3, padding=1, stride=2, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.shortcut = nn.Conv2d(6, 8, 1, stride=2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem_norm(self.stem(x)))
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y += self.shortcut_norm(self.shortcut(x))
        y = self.relu(y)
        z = self.relu(self.conv2(y) + y)  # conv2 again, without its norm; identity shortcut
        return self.head(torch.flatten(self.pool(z), 1))


class Branches(nn.Module):
    """Functional ReLU, max pooling over a concatenation, dropout, global mean, clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.left = nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")
        self.right = nn.Conv2d(3, 4, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(2)
        self.conv = nn.Conv2d(8, 6, 3)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        joined = torch.cat([F.relu(self.left(x)), self.right(x).clamp(0, 0.7)], dim=1)
        y = F.dropout(self.pool(joined), 0.3, training=self.training)
        return self.head(F.relu6(self.conv(y)).mean((2, 3)))


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 5),
    )


def max_pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "residual": Residual,
    "branches": Branches,
    "max-pooled": max_pooled,
}


def network(name: str, seed: int = 0, *, double: bool = False) -> nn.Module:
    """The network in eval mode, with weights that keep activity up and real norm statistics."""
    generator = torch.Generator().manual_seed(seed)
    model = NETWORKS[name]()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.2, generator=generator)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.7, 1.4, generator=generator)
                module.bias.uniform_(-0.1, 0.3, generator=generator)
    return model.double().eval() if double else model.eval()


def images(count: int, seed: int = 1, *, double: bool = False) -> Tensor:
    """Images with values in [0, 1]."""
    x = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return x.double() if double else x
