"""Networks of users of any make: each is converted and trained, or refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from compare.convert_command import Request, convert_model
from compare.models import call_function, check_network
from conversion import CONVERSIONS, convert
from direct import RULES, prepare
from network.architectures import Geometry
from network.unroll import unroll
from tests.stress.conftest import Tally, check_line, fuzz, mostly
from tests.stress.test_faults import write_arrays

CHANNELS, SIDE, CLASSES = 2, 6, 3
GEOMETRY = Geometry(CHANNELS, SIDE, SIDE, CLASSES)


class Odd(nn.Module):
    """A network with something wrong in its forward."""

    def __init__(self, body: nn.Module, what: str) -> None:
        super().__init__()
        self.body, self.what = body, what

    def forward(self, x: Tensor) -> Any:
        if self.what == "raises":
            raise KeyError("of mine")
        y = self.body(x)
        wrong: dict[str, Callable[[], Any]] = {
            "tuple": lambda: (y, y),
            "none": lambda: None,
            "dict": lambda: {"scores": y},
            "flat": lambda: y.flatten(),
            "number": lambda: 1.0,
            "branch": lambda: y if x.sum() > 0 else -y,
            "numpy": lambda: y.detach().numpy(),
            "loop": lambda: sum(y for _ in range(int(y.shape[0]))),
            "complex": lambda: torch.complex(y, y),
            "whole": lambda: y.long(),
        }
        return wrong[self.what]() if self.what in wrong else y


LAYERS = mostly(
    ["conv", "conv-stride", "conv-group", "norm", "relu", "average-pool", "dropout", "identity"],
    ["relu6", "gelu", "sigmoid", "max-pool", "up", "conv-wide", "leaky", "softmax", "layer-norm"],
)
WEIGHTS = mostly(["usual"], ["zero", "negative", "nan", "infinite", "huge", "tiny"])
ODDITIES = mostly(
    [""],
    ["raises", "tuple", "none", "dict", "flat", "number", "branch", "numpy", "loop", "complex",
     "whole"],
)  # fmt: skip


def layer(kind: str, channels: int) -> tuple[nn.Module, int]:
    """One layer and its output channels."""
    made: dict[str, Callable[[], tuple[nn.Module, int]]] = {
        "conv": lambda: (nn.Conv2d(channels, 4, 3, padding=1), 4),
        "conv-stride": lambda: (nn.Conv2d(channels, 4, 3, stride=2, padding=1, bias=False), 4),
        "conv-group": lambda: (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            channels,
        ),
        "conv-wide": lambda: (nn.Conv2d(channels, 2, 9), 2),
        "norm": lambda: (nn.BatchNorm2d(channels), channels),
        "relu": lambda: (nn.ReLU(), channels),
        "relu6": lambda: (nn.ReLU6(), channels),
        "leaky": lambda: (nn.LeakyReLU(), channels),
        "gelu": lambda: (nn.GELU(), channels),
        "sigmoid": lambda: (nn.Sigmoid(), channels),
        "softmax": lambda: (nn.Softmax(1), channels),
        "layer-norm": lambda: (nn.GroupNorm(1, channels), channels),
        "max-pool": lambda: (nn.MaxPool2d(2), channels),
        "average-pool": lambda: (nn.AvgPool2d(2), channels),
        "dropout": lambda: (nn.Dropout(0.5), channels),
        "identity": lambda: (nn.Identity(), channels),
        "up": lambda: (nn.Upsample(scale_factor=2), channels),
    }
    return made[kind]()


def spoil(network: nn.Module, weights: str) -> None:
    """Fill every weight; 'negative' and 'zero' leave all activations at zero."""
    fills = {"zero": 0.0, "negative": -1.0, "nan": float("nan"), "infinite": float("inf"),
             "huge": 1e30, "tiny": 1e-38}  # fmt: skip
    if weights in fills:
        for parameter in network.parameters():
            nn.init.constant_(parameter, fills[weights])


def built(
    kinds: list[str], outputs: int, weights: str, odd: str, channels: int = CHANNELS
) -> nn.Module:
    """The network; raises as torch does where its layers do not fit each other."""
    body: list[nn.Module] = []
    for kind in kinds:
        made, channels = layer(kind, channels)
        body.append(made)
    body += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5), nn.ReLU()]
    torch.manual_seed(0)
    network = Odd(nn.Sequential(*body, nn.Linear(5, outputs)), odd)
    spoil(network, weights)
    return network


OUTPUTS = mostly([CLASSES], [1, 2, 4, 5])
NETWORKS = st.tuples(st.lists(LAYERS, max_size=4), OUTPUTS, WEIGHTS, ODDITIES)


def test_any_network(tally: Tally) -> None:
    """Through the gate of every command, then a conversion or a rule, then one run over time."""
    images = torch.rand(12, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % CLASSES
    conversions = [name for name in CONVERSIONS if CONVERSIONS.get(name).ann != "qcfs"]
    rules = [name for name in RULES if not RULES.get(name).needs_conversion]

    @fuzz(60, 2500)
    @given(NETWORKS, st.sampled_from([*conversions, *rules]), mostly([1, 2, 3], [0]))
    def check(made: tuple[list[str], int, str, str], method: str, steps: int) -> None:
        tally("networks fuzzed")
        try:
            network = call_function(lambda: built(*made), GEOMETRY, 0)
            check_network(network, GEOMETRY)
            network.eval()
            if method in conversions:
                spiking = convert(network, images, method=method).network
            else:
                spiking = prepare(
                    network, rule=method, timesteps=2, images=images, labels=labels
                ).network.eval()
            with torch.no_grad():
                scores = unroll(spiking, images[:2], steps, keys=torch.arange(2))
        except ValueError as error:
            check_line(error)
            return
        tally("networks fuzzed, used")
        assert scores.shape[:2] == (steps, 2)
        assert scores.shape[2] >= CLASSES

    check()


@pytest.mark.slow
def test_the_whole_conversion(tmp_path: Path, tally: Tally) -> None:
    """`isospike convert` ends with all of its files, or in one line and with none."""
    dataset = write_arrays(tmp_path / "own.npz")
    out = tmp_path / "out"

    @fuzz(10, 300)
    @given(NETWORKS, st.sampled_from(["data-norm", "robust-norm", "spike-norm", "calibration"]))
    def check(made: tuple[list[str], int, str, str], method: str) -> None:
        tally("networks fuzzed")
        text = (
            "from tests.stress import test_fuzz_models as kit\n"
            "def net(channels):\n"
            f"    return kit.built(*{made!r}, channels)\n"
        )
        file = tmp_path / f"net{len(list(tmp_path.glob('net*.py')))}.py"
        file.write_text(text)
        try:
            convert_model(Request(f"{file}:net", dataset, method, out, timesteps=2, device="cpu"))
        except ValueError as error:
            check_line(error)
        else:
            tally("networks fuzzed, used")
            assert {"conversion.json", "sweep.csv"} <= {path.name for path in out.iterdir()}
        assert not list(tmp_path.glob(".*.partial"))

    check()
