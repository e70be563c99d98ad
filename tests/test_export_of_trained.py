"""Networks trained directly, written in the plain form: they answer as before, or are refused."""

import copy
from pathlib import Path

import pytest
import torch

from conversion.export import load_plain, save_plain
from conversion.folding import fold
from direct.rules import RULES
from network.graph import UnsupportedNetwork
from tests.direct_networks import Toy, prepared

REFUSED = {
    "membrane-bp": "does not know EventNeuron",  # its neurons run in time, not in steps
}


@pytest.mark.parametrize("rule", RULES.names())
def test_a_trained_network_is_written_as_it_answers(rule: str, tmp_path: Path) -> None:
    trainable = prepared(rule, 4)
    for neuron in trainable.network.neurons().values():
        if neuron.leak is not None:
            neuron.leak.data.fill_(0.8)
    network = copy.deepcopy(trainable.finish())
    fold(network.body)
    if rule in REFUSED:
        with pytest.raises(UnsupportedNetwork, match=REFUSED[rule]):
            save_plain(network, tmp_path)
        return
    save_plain(network, tmp_path)
    images, keys = Toy(8).images, torch.arange(8)
    with torch.no_grad():
        assert torch.equal(load_plain(tmp_path)(images, 5, keys), network(images, 5, keys))
