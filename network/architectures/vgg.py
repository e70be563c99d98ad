"""VGG networks: 3×3 convolutions, average pooling, fully connected layers, no biases.

vgg7 and vgg9 are Lee 2020, tables 4 and 5 (the lone poolings between the rows of table 4 belong
to VGG7, as those of table 5 belong to VGG9). vgg6, vgg11 and vgg16 follow the line that Rathi 2020
trains and converts (no pooling after the last stage on small images, two layers of 4096 units;
their code calls our vgg6 VGG5, ours counts its six layers). vgg5 has the same convolutions as
vgg6 and Lee's single layer of 1024 units. On images above 64 pixels vgg11 and vgg16 pool once
more in front of the fully connected layers, as Simonyan 2015 and Sengupta 2019 on ImageNet.
"""

from network.architectures.blueprint import Blueprint, Convolution, Dense, Layer, Pooling
from network.architectures.catalogue import ARCHITECTURES

POOL = Pooling()


def stages(*channels: int | Layer) -> tuple[Layer, ...]:
    """3×3 convolutions of stride 1 for numbers; layers stand for themselves."""
    return tuple(Convolution(entry) if isinstance(entry, int) else entry for entry in channels)


VGG5_FEATURES = stages(64, POOL, 128, 128, POOL)
VGG11_FEATURES = stages(64, POOL, 128, 256, POOL, 512, 512, POOL, 512, POOL, 512, 512)
VGG16_FEATURES = stages(
    *(64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512)
)
RATHI_CLASSIFIER = (Dense(4096), Dense(4096))

ARCHITECTURES.register("vgg5")(
    Blueprint(
        summary="3 convolutions (64, 128), 1024 units",
        source="convolutions of Rathi 2020 (VGG5), fully connected layers of Lee 2020",
        layers=(*VGG5_FEATURES, Dense(1024)),
        bias=False,
    )
)

ARCHITECTURES.register("vgg6")(
    Blueprint(
        summary="3 convolutions (64, 128), twice 4096 units",
        source="Rathi 2020 (named VGG5 there)",
        layers=(*VGG5_FEATURES, *RATHI_CLASSIFIER),
        bias=False,
    )
)

ARCHITECTURES.register("vgg7")(
    Blueprint(
        summary="5 convolutions (64, 128), 3 of them with stride 2, 1024 units",
        source="Lee 2020, table 4",
        layers=stages(
            *(64, Convolution(64, stride=2), POOL),
            *(128, Convolution(128, stride=2), Convolution(128, stride=2), POOL),
            Dense(1024),
        ),
        bias=False,
    )
)

ARCHITECTURES.register("vgg9")(
    Blueprint(
        summary="7 convolutions (64, 128, 256), 1024 units",
        source="Lee 2020, table 5",
        layers=stages(64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, Dense(1024)),
        bias=False,
    )
)

ARCHITECTURES.register("vgg11")(
    Blueprint(
        summary="8 convolutions (64 to 512), twice 4096 units",
        source="Rathi 2020",
        layers=(*VGG11_FEATURES, *RATHI_CLASSIFIER),
        large_image_layers=(*VGG11_FEATURES, POOL, *RATHI_CLASSIFIER),
        bias=False,
    )
)

ARCHITECTURES.register("vgg16")(
    Blueprint(
        summary="13 convolutions (64 to 512), twice 4096 units",
        source="Rathi 2020; Simonyan 2015",
        layers=(*VGG16_FEATURES, *RATHI_CLASSIFIER),
        large_image_layers=(*VGG16_FEATURES, POOL, *RATHI_CLASSIFIER),
        bias=False,
    )
)
