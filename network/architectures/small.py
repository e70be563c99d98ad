"""Small networks for MNIST-like images, a fast one for CIFAR-10, and fully connected ones."""

from network.architectures.blueprint import (
    Blueprint,
    Convolution,
    Dense,
    GlobalPooling,
    Pooling,
)
from network.architectures.catalogue import ARCHITECTURES, perceptron

# Table 4 is silent on padding and bias; the authors' released code pads by 2 and has no biases.
ARCHITECTURES.register("lenet")(
    Blueprint(
        summary="two 5×5 convolutions (20, 50) with average pooling, 200 units",
        source="Lee 2020, table 4, '4 layer network'",
        layers=(
            Convolution(20, kernel=5),
            Pooling(),
            Convolution(50, kernel=5),
            Pooling(),
            Dense(200),
        ),
        bias=False,
    )
)

# The paper is silent on padding; padding that keeps the size is our choice.
ARCHITECTURES.register("mnist-cnn")(
    Blueprint(
        summary="two 5×5 convolutions (32, 64) with average pooling, 1024 units",
        source="Ledinauskas 2020, section 3.2 (there without batch norm, dropout 0.5)",
        layers=(
            Convolution(32, kernel=5),
            Pooling(),
            Convolution(64, kernel=5),
            Pooling(),
            Dense(1024),
        ),
    )
)

# There GELU and max pooling behind 3×3 convolutions. A 4×4 window at stride 2 is what a 3×3 one and
# the mean of 2×2 of its outputs see, for 16 multiplications instead of 36.
ARCHITECTURES.register("airbench")(
    Blueprint(
        summary="7 convolutions (24, 64, 256), three of 4×4 at stride 2, for short trainings",
        source="Jordan 2024 (airbench94), with ReLU, and strides instead of max pooling",
        layers=(
            Convolution(24),
            Convolution(64, kernel=4, stride=2),
            Convolution(64),
            Convolution(256, kernel=4, stride=2),
            Convolution(256),
            Convolution(256, kernel=4, stride=2),
            Convolution(256),
            GlobalPooling(),
        ),
        bias=False,
    )
)


def jordan(name: str, first: int, others: int) -> Blueprint:
    """Jordan's network with these channels: one 2×2 convolution, three blocks of two.

    Max pooling in front of batch norm, and no norm behind the first layer, which is to be whitened,
    as there: a network converted from this one pools currents, which is exact. There GELU is
    everywhere; here nothing follows the first layer: few spikes do not have to hold pixels.
    """
    return Blueprint(
        summary=f"7 convolutions (24, {first}, {others}) with max pooling, the first linear (2×2)",
        source=f"Jordan 2024 ({name}), with ReLU, and none behind the first layer",
        layers=(
            Convolution(24, kernel=2, norm=False, activation=False),
            Convolution(first, max_pool=2),
            Convolution(first),
            Convolution(others, max_pool=2),
            Convolution(others),
            Convolution(others, max_pool=2),
            Convolution(others),
            GlobalPooling(maximum=True),
        ),
        bias=False,
    )


ARCHITECTURES.register("airbench94")(jordan("airbench94", 64, 256))
ARCHITECTURES.register("airbench95")(jordan("airbench95", 128, 384))

# The three networks of Lee 2016 on permutation-invariant MNIST; other widths need no entry.
ARCHITECTURES.register("mlp-300-300")(perceptron(300, 300))
ARCHITECTURES.register("mlp-500-500")(perceptron(500, 500))
ARCHITECTURES.register("mlp-800")(perceptron(800))
