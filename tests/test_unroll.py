"""The loop over time, against a plain step-by-step run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from network.encodings import ENCODINGS, image_keys
from network.graph import Kind, kind_of, layers, swap_activations, trace
from network.neurons import Dynamics, Neuron, NeuronState
from network.nodes import static_nodes
from network.observation import Observation
from network.pooling import PooledCurrent
from network.registry import UnknownName
from network.unroll import SpikingNetwork, unroll
from tests.small_networks import NETWORKS, images, network


def spiking(name: str, *, encoding: str = "constant", double: bool = False, **neuron):
    """A network with neurons in place of its activations (max pooling of currents, exactly)."""
    settings = {"theta": 0.7, "start": 0.35, "height": "threshold", **neuron}
    body = trace(network(name, double=double))
    swap_activations(body, lambda layer, activation: Neuron(**settings))
    for node, pool in list(layers(body, Kind.MAX_POOL)):
        body.add_submodule(f"calls.{node.name}", PooledCurrent(pool))
        node.target = f"calls.{node.name}"
    body.recompile()
    return SpikingNetwork(body, encoding=encoding).eval()


class Steps(fx.Interpreter):
    """One step of a spiking network, potentials kept by node: the plain form of `unroll`."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.body = body
        self.potentials: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        if n.op != "call_module":
            return super().run_node(n)
        module = self.body.get_submodule(str(n.target))
        if isinstance(module, PooledCurrent):
            z = self.env[n.all_input_nodes[0]]
            before = self.totals.get(n.name, torch.zeros_like(z))
            self.totals[n.name] = before + z
            return module.pool(before + z) - module.pool(before)
        if not isinstance(module, Neuron):
            return super().run_node(n)
        z = self.env[n.all_input_nodes[0]]
        v = self.potentials.get(n.name, torch.full_like(z, float(module.start), dtype=torch.float))
        v = module.dynamics.decay * v + z
        s = (v >= module.theta).to(z.dtype)
        soft = module.dynamics.reset == "soft"
        self.potentials[n.name] = (v - s * module.theta if soft else v * (1 - s)).float()
        return s * module.theta if module.height == "threshold" else s


def step_by_step(network: SpikingNetwork, x: Tensor, steps: int, keys: Tensor | None) -> Tensor:
    plain = Steps(network.body)
    encoding = ENCODINGS.get(network.encoding)
    outputs = []
    with torch.no_grad():
        for t in range(steps):
            outputs.append(plain.run(encoding.encode(x, t, 1, keys)))
    return torch.stack(outputs)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("encoding", ["constant", "poisson"])
@pytest.mark.parametrize("name", NETWORKS)
def test_unroll_equals_one_step_after_the_other(name: str, encoding: str, reset: str) -> None:
    net = spiking(name, encoding=encoding, dynamics=Dynamics(0.9, reset))
    x = images(3)
    keys = image_keys(0, torch.arange(3))
    with torch.no_grad():
        outputs = unroll(net, x, 7, keys=keys)
    torch.testing.assert_close(outputs, step_by_step(net, x, 7, keys), rtol=1e-4, atol=1e-5)
    assert outputs.std(dim=0).max() > 0.01  # it does change over time


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    encoding=st.sampled_from(["constant", "poisson"]),
    steps=st.integers(1, 11),
    chunk=st.integers(1, 12),
    split=st.integers(1, 4),
)
def test_chunk_and_batch_never_change_a_result(
    name: str, encoding: str, steps: int, chunk: int, split: int
) -> None:
    """In float64, where the order of a sum cannot move a spike."""
    net = spiking(name, encoding=encoding, double=True)
    x = images(4, double=True)
    keys = image_keys(3, torch.arange(4))
    with torch.no_grad():
        whole = unroll(net, x, 11, keys=keys, chunk=11)
        parts = [
            unroll(net, x[i : i + split], steps, keys=keys[i : i + split], chunk=chunk)
            for i in range(0, 4, split)
        ]
    torch.testing.assert_close(torch.cat(parts, 1), whole[:steps], rtol=1e-9, atol=1e-9)


def test_nothing_survives_from_one_run_to_the_next() -> None:
    net = spiking("residual")
    x = images(3)
    with torch.no_grad():
        first = unroll(net, x, 5)
        unroll(net, images(3, seed=8), 5)
        assert torch.equal(first, unroll(net, x, 5))


def test_what_lies_in_front_of_the_first_neurons_is_computed_once() -> None:
    """Of the residual network's six layers with weights only the stem is static."""
    net = spiking("residual")
    calls: dict[str, int] = {}
    handles = [
        module.register_forward_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
        for name, module in net.body.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        unroll(net, images(2), 12, chunk=4)
    for handle in handles:
        handle.remove()
    assert calls["stem"] == 1
    assert calls["conv1"] == calls["head"] == 3
    assert calls["conv2"] == 6  # called twice in a pass
    static = {n.target for n in static_nodes(net.body)}
    assert "stem" in static
    assert "conv1" not in static


def test_taps_see_every_step_once() -> None:
    class Tap:
        def __init__(self) -> None:
            self.seen: dict[str, list[tuple[int, int]]] = {}
            self.given: list[tuple[int, ...]] = []

        def inputs(self, first: int, inputs: Tensor) -> None:
            self.given.append((first, *inputs.shape[:2]))

        def neurons(
            self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
        ) -> None:
            assert current.shape == spikes.shape
            assert state.v.shape == spikes.shape[1:]
            self.seen.setdefault(name, []).append((first, len(spikes)))

    net = spiking("plain")
    tap = Tap()
    with torch.no_grad():
        unroll(net, images(3), 10, chunk=4, taps=[tap])
    assert tap.given == [(0, 1, 3)]  # the static input is shown once
    assert list(tap.seen) == list(net.neurons())
    assert all(chunks == [(0, 4), (4, 4), (8, 2)] for chunks in tap.seen.values())


def test_one_dropout_mask_holds_for_all_steps() -> None:
    """Constant current, no leak: a neuron behind the mask is out, or in, at every step."""
    body = trace(nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Dropout(0.5)))
    swap_activations(body, lambda name, activation: Neuron(theta=0.5))
    net = SpikingNetwork(body).train()
    torch.manual_seed(0)
    outputs = unroll(net, torch.ones(4, 3, 8, 8), 6, chunk=2)
    assert torch.equal(outputs, outputs[:1].expand_as(outputs))
    share = (outputs[0] > 0).float().mean()
    assert 0.4 < share < 0.6
    assert outputs.max() == 2.0  # 1/(1 − p)


def test_observation_steps_come_before_the_counted_ones() -> None:
    """θ = 1, current 0.3. Two observed steps leave 0.6; it is carried on, so the first counted
    step has 0.9 and the second, 1.2, spikes."""
    body = trace(nn.Sequential(nn.Flatten(), nn.ReLU()))
    swap_activations(body, lambda name, activation: Neuron(theta=1.0))
    observation = Observation(2, lambda neuron, current: neuron.advance(current, None))
    net = SpikingNetwork(body, observation=observation)
    x = torch.full((1, 1, 1, 1), 0.3)
    with torch.no_grad():
        assert unroll(net, x, 3).flatten().tolist() == [0.0, 1.0, 0.0]
        assert unroll(SpikingNetwork(body), x, 5).flatten().tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_random_input_goes_on_after_the_observation() -> None:
    """The counted steps draw what a longer run draws after as many steps."""
    body = trace(nn.Sequential(nn.Flatten(), nn.ReLU()))
    swap_activations(body, lambda name, activation: Neuron(theta=1.0))
    observation = Observation(3, lambda neuron, current: neuron.advance(current, None))
    watched = SpikingNetwork(body, encoding="poisson", observation=observation)
    plain = SpikingNetwork(body, encoding="poisson")
    x, keys = torch.rand(2, 1, 4, 4), image_keys(0, torch.arange(2))
    with torch.no_grad():
        assert torch.equal(unroll(watched, x, 5, keys=keys), unroll(plain, x, 8, keys=keys)[3:])


def test_max_pooling_of_currents_adds_up_to_the_maximum_of_the_sums() -> None:
    """Currents (3, 0), (0, 2): step by step 3 + 2 = 5 would pass; the sums' maximum is 3."""
    pool = PooledCurrent(nn.MaxPool1d(2))
    current = torch.tensor([[[[3.0, 0.0]]], [[[0.0, 2.0]]]])
    out, state = pool.advance(current, None)
    assert out.flatten().tolist() == [3.0, 0.0]
    more, _ = pool.advance(torch.tensor([[[[0.0, 4.0]]]]), state)
    assert more.flatten().tolist() == [3.0]  # sums (3, 6): 6 − 3


def test_gradients_reach_the_weights_through_time() -> None:
    body = trace(network("plain"))
    swap_activations(
        body, lambda name, activation: Neuron(theta=0.7, slope=lambda x: 1 / (1 + x.abs()) ** 2)
    )
    net = SpikingNetwork(body).eval()
    unroll(net, images(2), 5)[-1].sum().backward()
    assert all(p.grad is not None for p in body.parameters())
    with pytest.raises(ValueError, match="gradients need all 5 steps at once, got chunk = 2"):
        unroll(net, images(2), 5, chunk=2)
    with torch.no_grad():
        assert unroll(net, images(2), 5, chunk=2).shape == (5, 2, 5)


def test_unknown_encodings_and_readouts_are_refused_at_construction() -> None:
    body = trace(network("plain"))
    with pytest.raises(UnknownName, match="unknown encoding 'rate'"):
        SpikingNetwork(body, encoding="rate")
    with pytest.raises(UnknownName, match="unknown readout 'mean'"):
        SpikingNetwork(body, readout="mean")


def test_a_size_taken_in_front_may_be_used_behind() -> None:
    """x.size(0) of the image, used behind a neuron, where the leading axis is T·B."""

    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            size = x.size(0)
            x = torch.relu(self.conv(x)).transpose(0, 1)  # the images are not the first axis
            return x.reshape(2, size, 36).transpose(0, 1)

    body = trace(Sized())
    swap_activations(body, lambda name, activation: Neuron(theta=0.2))
    assert static_nodes(body) == set()
    assert any(kind_of(body, n) is Kind.NEURON for n in body.graph.nodes)
    with torch.no_grad():
        outputs = unroll(SpikingNetwork(body), images(3), 5, chunk=2)
    assert outputs.shape == (5, 3, 2, 36)


@pytest.mark.parametrize("readout", ["membrane", "mean-current"])
def test_readouts_add_up_in_float32(readout: str) -> None:
    body = trace(nn.Sequential(nn.ReLU()))
    outputs = torch.full((200, 1, 2), 0.1).to(torch.bfloat16)
    scores = SpikingNetwork(body, readout=readout).read(outputs)
    assert scores.dtype == torch.float32
    expected = SpikingNetwork(body, readout=readout).read(outputs.double())
    assert expected.dtype == torch.float64
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=0.0)


def test_pooled_currents_add_up_in_float32() -> None:
    pool = PooledCurrent(nn.MaxPool1d(2))
    current = torch.full((300, 1, 1, 2), 0.01).to(torch.bfloat16)
    pooled, state = pool.advance(current, None)
    assert state.total[0, 0, 0].item() == pytest.approx(300 * current[0, 0, 0, 0].item(), rel=1e-5)
    assert pooled.sum().item() == pytest.approx(state.pooled.item(), rel=1e-3)
