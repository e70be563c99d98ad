"""Plain networks for studies of depth: convolutions without shortcuts or hidden dense layers."""

from network.architectures.blueprint import Blueprint, Convolution, GlobalPooling, Layer
from network.architectures.catalogue import ARCHITECTURES

# name: (stages, convolutions in each stage)
LEDINAUSKAS = {
    "plain3": (2, 1),
    "plain4": (3, 1),
    "plain5": (4, 1),
    "plain9": (4, 2),
    "plain13": (4, 3),
}


def halving_stages(stages: int, convolutions: int) -> tuple[Layer, ...]:
    """Stages of 32, 64, 128, … channels; the first convolution of each has stride 2."""
    return tuple(
        Convolution(32 * 2**stage, stride=2 if position == 0 else 1)
        for stage in range(stages)
        for position in range(convolutions)
    )


for _name, (_stages, _convolutions) in LEDINAUSKAS.items():
    ARCHITECTURES.register(_name)(
        Blueprint(
            summary=f"{_stages * _convolutions} convolutions, {_stages} of them with stride 2",
            source="Ledinauskas 2020, section 3.3",
            layers=halving_stages(_stages, _convolutions),
        )
    )

# Zheng names only the depth. These are the layers of the 20-layer plain network that He 2016
# defines on CIFAR-10: a first convolution, three stages of six, average over the map.
ARCHITECTURES.register("plain20")(
    Blueprint(
        summary="19 convolutions of 16, 32 and 64 channels, average over the map",
        source="Zheng 2021, fig. 2 (depth); He 2016, section 4.2 (layers)",
        layers=(
            *(Convolution(16) for _ in range(7)),
            Convolution(32, stride=2),
            *(Convolution(32) for _ in range(5)),
            Convolution(64, stride=2),
            *(Convolution(64) for _ in range(5)),
            GlobalPooling(),
        ),
    )
)
