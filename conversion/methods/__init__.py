"""The conversion methods, one file each; importing this package registers them all."""

from conversion.methods import (  # noqa: F401, I001  (they register, in this order)
    data_norm,
    model_norm,
    robust_norm,
    channel_norm,
    spike_norm,
    rmp,
    half_shift,
    mse_norm,
    calibration,
    qcfs,
    srp,
    offset,
    local_balance,
)
