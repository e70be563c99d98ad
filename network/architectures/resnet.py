"""Residual networks: Lee 2020 (resnet7, 9, 11) and Zheng 2021 (resnet17, 18, 19, 34, 50).

The last ReLU of a block comes after the addition, so that a spiking neuron sits at the junction.
"""

from network.architectures.blueprint import (
    Blueprint,
    Bottleneck,
    Convolution,
    Dense,
    GlobalPooling,
    Layer,
    Pooling,
    Residual,
)
from network.architectures.catalogue import ARCHITECTURES

# Lee 2020: blocks after a first convolution of 64 channels and a pooling, as (channels, stride
# of the last convolution and of the shortcut). In table 5 the third skip convolution of ResNet11
# reads 512×1×1, but its block receives 256 channels; a misprint. The fourth keeps 512 channels.
LEE = {
    "resnet7": ("table 4", ((128, 2), (256, 2))),
    "resnet9": ("table 5", ((128, 1), (256, 2), (512, 2))),
    "resnet11": ("table 5", ((128, 1), (256, 2), (512, 1), (512, 2))),
}

# Zheng 2021, table 4, at every image size: first channels, then (channels, stride, repeats).
# 'average pool/2' in front of the 256 units is a 2×2 pooling, with which the multiplications of
# its table 6 come out: 6·(3·9·128·32² + 8192·256) = 3.4e7. Identity shortcuts have no batch
# norm in the ANN; the rule tdbn puts its own there (fig. 5b).
ZHENG_SMALL = {
    "resnet17": (64, ((64, 2, 3), (128, 2, 4))),
    "resnet19": (128, ((128, 1, 3), (256, 2, 3), (512, 2, 2))),
}

# Zheng 2021, table 4 (34, 50), and He 2016, table 1 (18): block and repeats of the four stages.
IMAGENET: dict[str, tuple[type[Residual] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet18": (Residual, (2, 2, 2, 2)),
    "resnet34": (Residual, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


def repeated(
    block: type[Residual] | type[Bottleneck], channels: int, stride: int, repeats: int
) -> tuple[Layer, ...]:
    """Blocks of one stage; the first one carries the stride."""
    return (block(channels, stride), *(block(channels) for _ in range(repeats - 1)))


def four_stages(
    stem: Convolution,
    block: type[Residual] | type[Bottleneck],
    first_stride: int,
    repeats: tuple[int, ...],
) -> tuple[Layer, ...]:
    """Stages of 64, 128, 256 and 512 channels, halving the map from the second on."""
    stages = [
        repeated(block, 64 * 2**stage, first_stride if stage == 0 else 2, count)
        for stage, count in enumerate(repeats)
    ]
    return (stem, *(layer for stage in stages for layer in stage), GlobalPooling())


for _name, (_table, _blocks) in LEE.items():
    ARCHITECTURES.register(_name)(
        Blueprint(
            summary=f"{len(_blocks)} residual blocks (128 to {_blocks[-1][0]}), 1024 units",
            source=f"Lee 2020, {_table} and fig. 3b",
            layers=(
                Convolution(64),
                Pooling(),
                *(Residual(channels, last_stride=stride) for channels, stride in _blocks),
                Dense(1024),
            ),
            bias=False,
            kappa=1.0,
        )
    )

for _name, (_channels, _stages) in ZHENG_SMALL.items():
    ARCHITECTURES.register(_name)(
        Blueprint(
            summary=f"{sum(stage[2] for stage in _stages)} residual blocks "
            f"({_channels} to {_stages[-1][0]}), 256 units",
            source="Zheng 2021, table 4",
            layers=(
                Convolution(_channels),
                *(layer for stage in _stages for layer in repeated(Residual, *stage)),
                Pooling(),
                Dense(256),
            ),
        )
    )

# Above 64 pixels Zheng's stem: 7×7 with stride 2, and the first block strides in place of a
# max-pooling. Below, the usual stem for CIFAR: 3×3 with stride 1, the first stage at full size.
for _name, (_block, _repeats) in IMAGENET.items():
    ARCHITECTURES.register(_name)(
        Blueprint(
            summary=f"{sum(_repeats)} {_block.__name__.lower()} blocks, average over the map",
            source="He 2016, table 1, with the stem of Zheng 2021"
            if _name == "resnet18"
            else "Zheng 2021, table 4",
            layers=four_stages(Convolution(64), _block, 1, _repeats),
            large_image_layers=four_stages(
                Convolution(64, kernel=7, stride=2), _block, 2, _repeats
            ),
        )
    )
