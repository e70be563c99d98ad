"""What `isospike convert` is asked for beside its method and its options."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import get_args

from compare.cases import REPRESENTATIONS
from compare.models import ModelError
from compare.weights import Made
from conversion import CONVERSIONS
from network.neurons import Reset

ENCODINGS = ("constant", "poisson", "poisson-signed")  # of converted networks
RESETS = get_args(Reset)


@dataclass(frozen=True)
class Terms:
    """On what terms a network is converted.

    encoding: of its input; None takes that of the case that the weights are of, or constant. It
        decides what the images are: normalised, pixels in [0, 1], or normalised to [−1, 1].
    reset: of its neurons. seed: of the choice of calibration images, and of what is drawn.
    calibration_images: None takes the method's number.
    """

    encoding: str | None = None
    reset: str = "soft"
    seed: int = 0
    calibration_images: int | None = None

    def __post_init__(self) -> None:
        if self.encoding not in (None, *ENCODINGS):
            allowed = ", ".join(ENCODINGS)
            raise ValueError(f"--encoding must be one of {allowed}, got {self.encoding}")
        if self.reset not in RESETS:
            raise ValueError(f"--reset must be one of {', '.join(RESETS)}, got {self.reset}")


def encoding_of(terms: Terms, made: Made) -> str:
    """That which is asked for, or that of the weights' case."""
    encoding = terms.encoding or made.encoding or "constant"
    if encoding not in ENCODINGS:
        raise ModelError(
            f"the weights are of an ANN for the encoding {encoding}, which converted networks do "
            f"not take: {', '.join(ENCODINGS)}"
        )
    shown = REPRESENTATIONS[encoding]
    trained = REPRESENTATIONS.get(made.encoding or encoding, shown)
    if trained != shown:
        warnings.warn(
            f"the ANN was trained on images that are {trained}, for the encoding {made.encoding}; "
            f"for {encoding} it sees them as {shown}",
            stacklevel=2,
        )
    return encoding


def settled(terms: Terms, encoding: str, method: str, images: int) -> Terms:
    """With all that was left open, and no more calibration images than there are."""
    count = terms.calibration_images or CONVERSIONS.get(method).calibration_images
    return replace(terms, encoding=encoding, calibration_images=min(count, images))
