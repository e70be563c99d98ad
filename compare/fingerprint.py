"""What decides a case's result beside its specification: the data, and a network of the user's."""

from __future__ import annotations

import hashlib
import re
from functools import cache

from torch import nn

from compare.cases import Case
from compare.data import Dataset
from compare.halfway import key_of
from compare.models import FAULTS, call_function, load_function
from network.architectures import Geometry
from network.graph import UnsupportedNetwork, trace
from network.seeds import derived_seed

NETWORK_SEED = 10  # of a case's seed: what its network is drawn with


def fingerprint(case: Case, dataset: Dataset) -> str:
    """The data set's; for a network of the user's own, of that as well.

    Layers, forward pass and first weights count (pretrained ones too), not the file they are in.
    """
    if ":" not in case.architecture:
        return dataset.fingerprint
    pretrained = (case.ann or case).arm == "ann"
    seed = derived_seed(case.seed, NETWORK_SEED)
    network = _of_network(case.architecture, dataset.geometry, seed, pretrained=pretrained)
    return hashlib.sha256(f"{dataset.fingerprint} {network}".encode()).hexdigest()


@cache
def _of_network(architecture: str, geometry: Geometry, seed: int, *, pretrained: bool) -> str:
    """A hash of the network; '' where it cannot be built, which the case itself says."""
    try:
        function = load_function(architecture)
        first, second = (
            call_function(function, geometry, seed, pretrained=pretrained) for _ in range(2)
        )
        weights = key_of(first)
        if weights != key_of(second):  # drawn in a way of its own: nothing to know it by
            weights = ""
        return hashlib.sha256(f"{_spelled(first)} {weights}".encode()).hexdigest()
    except FAULTS:
        return ""


def _spelled(network: nn.Module) -> str:
    """Layers and forward pass as text, without addresses in memory."""
    try:
        code = trace(network).code
    except UnsupportedNetwork:
        code = ""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{network!r}\n{code}")
