"""Sweeps that are cut off go on to the same end; where memory does not suffice, half a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from compare.faults import OutOfMemory, halved_once, is_out_of_memory
from compare.halfway import Halfway
from compare.sweep import Sweep, evaluate_ann, sweep
from conversion import convert
from network.fixed import FixedPointNetwork, NotFixedPoint, unroll_fixed
from network.graph import trace
from network.unroll import SpikingNetwork
from tests import small_networks
from tests.test_fit import flip_a_bit

IMAGES, STEPS = 21, 9
CPU = torch.device("cpu")


class Pictures:
    """Random images [N, 3, 8, 8]; `before` sees the indices of every batch that is asked for."""

    def __init__(self, before: Callable[[Tensor], None] = lambda indices: None) -> None:
        self.images, self.before = small_networks.images(IMAGES), before

    def __len__(self) -> int:
        return IMAGES

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self.before(indices)
        return self.images[indices], indices % 5


@pytest.fixture(scope="module", params=["plain", "residual"])
def network(request: pytest.FixtureRequest) -> SpikingNetwork:
    ann = small_networks.network(request.param)
    return convert(ann, small_networks.images(32), method="robust-norm").network


def swept(
    network: SpikingNetwork,
    data: Pictures | None = None,
    precision: str = "int16",
    batch_size: int = 4,
    halfway: Halfway | None = None,
) -> Sweep:
    return sweep(
        network, data or Pictures(), small_networks.SHAPE, STEPS, seed=3, batch_size=batch_size,
        device=CPU, precision=precision, advance=lambda images: None, halfway=halfway,
    )  # fmt: skip


def same(one: Sweep, two: Sweep) -> None:
    np.testing.assert_array_equal(one.predicted, two.predicted)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert one.rows == two.rows
    assert one.layers == two.layers


@pytest.mark.parametrize("precision", ["int16", "float32"])
@pytest.mark.parametrize("last", [0, 8, 20])
def test_a_sweep_that_was_cut_off_ends_the_same(
    network: SpikingNetwork, precision: str, last: int, tmp_path: Path
) -> None:
    def cut(indices: Tensor) -> None:
        if int(indices[0]) == last:
            raise KeyboardInterrupt

    file = tmp_path / "sweep.pt"
    with pytest.raises(KeyboardInterrupt):
        swept(network, Pictures(cut), precision, halfway=Halfway(file, every_s=0.0))
    assert file.exists() == (last > 0)
    seen: list[int] = []
    said: list[str] = []
    data = Pictures(lambda indices: seen.extend(indices.tolist()))
    same(
        swept(network, data, precision, halfway=Halfway(file, 0.0, said.append)),
        swept(network, precision=precision),
    )
    assert seen == list(range(last, IMAGES))  # nothing twice
    assert said == ([f"sweep goes on after {last} images"] if last else [])


def test_whole_numbers_go_on_whichever_way_they_are_summed(
    network: SpikingNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From how many spikes on events pay is timed in every process anew."""
    file, said = tmp_path / "sweep.pt", []
    swept(network, halfway=Halfway(file, every_s=0.0))
    monkeypatch.setattr(FixedPointNetwork, "note", "otherwise")
    same(swept(network, batch_size=5, halfway=Halfway(file, 0.0, said.append)), swept(network))
    assert said == [f"sweep goes on after {IMAGES} images"]


def test_a_batch_that_whole_numbers_do_not_hold_sends_all_images_to_float32(
    network: SpikingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refusing(*arguments: Any, **options: Any) -> Tensor:
        calls.append(len(arguments[1]))
        if len(calls) == 3:
            raise NotFixedPoint("a current passes 28 bits")
        return unroll_fixed(*arguments, **options)

    monkeypatch.setattr("compare.sweep.unroll_fixed", refusing)
    done: list[int] = []
    found = sweep(
        network, Pictures(), small_networks.SHAPE, STEPS, seed=3, batch_size=4,
        device=CPU, precision="int24", advance=done.append,
    )  # fmt: skip
    assert found.arithmetic == "float32, since a current passes 28 bits"
    same(found, swept(network, precision="float32"))
    assert calls == [4, 4, 4]
    assert sum(done) == IMAGES


def test_potentials_that_end_at_the_limit_are_said(tmp_path: Path) -> None:
    ann = small_networks.network("plain")
    network = convert(ann, small_networks.images(32), method="robust-norm").network
    name, second = list(network.neurons().items())[1]
    second.shift = -20.0 * second.theta  # 9 steps of it pass 32 θ, where 24 bits end
    whole = swept(network, precision="int24")
    held = f"; potentials that ended at ±2³⁰, where they are held: {name} {IMAGES * 8 * 4 * 4}"
    assert whole.arithmetic.endswith(held)

    def cut(indices: Tensor) -> None:
        if int(indices[0]) == 8:
            raise KeyboardInterrupt

    halfway = Halfway(tmp_path / "sweep.pt", every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        swept(network, Pictures(cut), "int24", halfway=halfway)
    assert swept(network, precision="int24", halfway=halfway).arithmetic == whole.arithmetic


@pytest.mark.parametrize("damage", ["truncated", "edited", "other network", "foreign", "a pickle"])
def test_what_does_not_belong_to_the_sweep_is_not_used(
    network: SpikingNetwork, damage: str, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.pt"
    swept(network, halfway=Halfway(file, every_s=0.0))
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "edited":
        flip_a_bit(file)
    elif damage == "other network":
        other = convert(
            small_networks.network("plain", 5), small_networks.images(9), method="robust-norm"
        )
        swept(other.network, halfway=Halfway(file, every_s=0.0))
    elif damage == "foreign":
        torch.save([1, 2], file)
    else:
        torch.save({"key": print}, file)
    said: list[str] = []
    same(swept(network, halfway=Halfway(file, 0.0, said.append)), swept(network))
    assert len(said) == 1
    assert "begins anew" in said[0]


def short_of_memory(most: int) -> Callable[[Tensor], None]:
    """Raises as torch's allocator does where more than `most` images are asked for."""

    def before(indices: Tensor) -> None:
        if len(indices) > most:
            torch.empty(2**60, dtype=torch.uint8)

    return before


def test_the_allocator_itself_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(SystemError("error return without exception set"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(SystemError("unknown opcode"))


def test_half_a_batch_gives_the_same_sweep_and_is_said(network: SpikingNetwork) -> None:
    outcome = swept(network, Pictures(short_of_memory(4)), batch_size=8)
    assert outcome.halved == 4
    same(outcome, swept(network))


def test_a_counter_forgets_the_batch_that_did_not_fit(network: SpikingNetwork) -> None:
    """Memory may give out in the middle of the steps, when some of them are counted already."""
    fails = [True]
    read = network.read

    def once(outputs: Tensor) -> Tensor:
        if fails and fails.pop():
            raise torch.OutOfMemoryError("out of memory")
        return read(outputs)

    network.read = once  # type: ignore[method-assign]
    try:
        outcome = swept(network, batch_size=8)
    finally:
        del network.read
    assert outcome.halved == 4
    same(outcome, swept(network))


def test_memory_for_no_half_is_one_line(network: SpikingNetwork) -> None:
    with pytest.raises(OutOfMemory, match=r"with 4 images at once .*batch_size"):
        swept(network, Pictures(short_of_memory(2)), batch_size=8)
    with pytest.raises(OutOfMemory, match="with one image"):
        swept(network, Pictures(short_of_memory(0)), batch_size=1)


def test_the_ann_too_is_evaluated_with_half_a_batch() -> None:
    ann = small_networks.network("plain")

    def evaluated(data: Pictures, batch_size: int) -> Sweep:
        return evaluate_ann(
            ann, trace(ann), data, small_networks.SHAPE,
            batch_size=batch_size, device=CPU, advance=lambda images: None,
        )  # fmt: skip

    outcome = evaluated(Pictures(short_of_memory(4)), 8)
    assert outcome.halved == 4
    assert outcome.rows == evaluated(Pictures(), 4).rows


def test_other_errors_are_not_hidden(network: SpikingNetwork) -> None:
    def broken(indices: Tensor) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        swept(network, Pictures(broken))


def test_halved_once_tries_twice_and_no_more() -> None:
    tried: list[int] = []

    def attempt(size: int) -> int:
        tried.append(size)
        raise MemoryError

    with pytest.raises(MemoryError):
        halved_once(attempt, 10, lambda size: None)
    assert tried == [10, 5]
    assert halved_once(lambda size: size, 10, lambda size: None) == 10
