"""The conversion methods, one file each; importing this package registers them all."""

from conversion.methods import (  # noqa: F401  (they register)
    channel_norm,
    data_norm,
    model_norm,
    robust_norm,
    spike_norm,
)
