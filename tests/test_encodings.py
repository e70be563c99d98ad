"""Encodings: rates, independence of batch and chunk, and what they refuse."""

import pytest
import torch
from torch import Tensor

from network.encodings import _GOLDEN, ENCODINGS, _mix, drawn_below, image_keys, uniform

STOCHASTIC = ["poisson", "poisson-signed", "poisson-total"]


def keys(count: int, seed: int = 0) -> Tensor:
    return image_keys(seed, torch.arange(count))


def encode(name: str, images: Tensor, first: int, steps: int, seed: int = 0) -> Tensor:
    encoded = ENCODINGS.get(name).encode(images, first, steps, keys(len(images), seed))
    return encoded.unflatten(0, (steps, len(images)))


def test_constant_is_the_image_itself() -> None:
    images = torch.rand(2, 1, 3, 3)
    assert ENCODINGS.get("constant").encode(images, 0, 5, None) is images


def test_poisson_rate_is_the_pixel() -> None:
    levels = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    images = levels.view(1, 1, 1, 5).expand(20, 1, 40, 5)
    rates = encode("poisson", images, 0, 10).mean(dim=(0, 1, 2, 3))
    # 8,000 draws each: five standard errors are at most 5·√(0.25/8000) = 0.028
    assert rates.tolist() == pytest.approx(levels.tolist(), abs=0.028)
    assert rates[0] == 0
    assert rates[4] == 1


def test_signed_poisson_has_the_sign_of_the_pixel() -> None:
    images = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).view(1, 1, 1, 5).expand(20, 1, 40, 5)
    spikes = encode("poisson-signed", images, 0, 10)
    assert set(spikes.unique().tolist()) == {-1.0, 0.0, 1.0}
    rates = spikes.mean(dim=(0, 1, 2, 3)).tolist()
    assert rates == pytest.approx([-1.0, -0.5, 0.0, 0.5, 1.0], abs=0.028)


def test_total_poisson_sends_five_events_per_step() -> None:
    dim = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.2
    images = torch.cat([dim, 5 * dim])
    events = encode("poisson-total", images, 0, 400).sum(dim=(2, 3, 4)).mean(dim=0)
    # mean of 400 Poisson counts of mean 5: five standard errors are 5·√(5/400) = 0.56
    assert events.tolist() == pytest.approx([5.0, 5.0], abs=0.56)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_chunks_and_batches_do_not_change_the_spikes(name: str) -> None:
    images = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    whole = encode(name, images, 0, 6)
    pieces = torch.cat([encode(name, images, 0, 2), encode(name, images, 2, 4)])
    assert torch.equal(whole, pieces)
    alone = ENCODINGS.get(name).encode(images[2:3], 0, 6, keys(4)[2:3])
    assert torch.equal(alone.unflatten(0, (6, 1))[:, 0], whole[:, 2])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_seeds_and_images_have_their_own_spikes(name: str) -> None:
    images = torch.full((2, 1, 16, 16), 0.5)
    one, other = encode(name, images, 0, 20), encode(name, images, 0, 20, seed=1)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:, 0], one[:, 1])


def test_drawing_for_pixels_with_a_chance_only_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    chances = torch.rand(5, 2, 7, 3, generator=generator) * 1.5 - 0.5
    every = uniform(keys(5), 4, 6, chances.shape[1:]) < chances
    some = drawn_below(chances, keys(5), 4, 6)
    assert torch.equal(some.unflatten(0, (6, 5)), every.to(torch.float32))
    assert not drawn_below(torch.zeros(2, 3), keys(2), 0, 2).any()


def test_a_number_that_is_the_chance_is_not_below_it() -> None:
    chances = uniform(keys(3), 2, 1, torch.Size([2, 4, 4]))[0]
    assert not drawn_below(chances, keys(3), 2, 1).any()


# the first five numbers of splitmix64 that begins at 1234567
SPLITMIX = [
    6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
    16408922859458223821,
]  # fmt: skip
WORD = 2**64


def mix(value: int) -> int:
    """The finaliser of splitmix64 in whole numbers of any size."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB % WORD
    return value ^ value >> 31


def test_random_numbers_are_those_of_splitmix64() -> None:
    golden = 0x9E3779B97F4A7C15
    assert [mix((1234567 + k * golden) % WORD) for k in range(1, 6)] == SPLITMIX
    found = _mix(1234567 + torch.arange(1, 6) * _GOLDEN)
    assert [value % WORD for value in found.tolist()] == SPLITMIX


def test_the_spikes_of_an_image_are_the_same_on_every_machine() -> None:
    """The numbers of image 5 and 7 of seed 3, steps 2 to 4, pixels 0 to 5, hashed one by one."""
    golden, drawn = (
        0x9E3779B97F4A7C15,
        uniform(image_keys(3, torch.tensor([5, 7])), 2, 3, torch.Size([1, 2, 3])),
    )
    for place, index in enumerate((5, 7)):
        key = mix((mix(3 + golden) + index * golden) % WORD)
        for step in (2, 3, 4):
            stream = mix((mix((key + golden) % WORD) + step * golden) % WORD)
            bits = [mix((stream + (pixel + 1) * golden) % WORD) >> 40 for pixel in range(6)]
            assert (drawn[step - 2, place].flatten() * 2**24).tolist() == bits


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    drawn = uniform(keys(8), 0, 16, torch.Size([1, 32, 32])).flatten()
    assert 0 <= drawn.min() < drawn.max() < 1
    counts = torch.histc(drawn, 16, 0, 1)
    expected = len(drawn) / 16
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert chi_square < 45  # 15 degrees of freedom: exceeded once in 10,000


def test_uniform_numbers_of_neighbours_are_uncorrelated() -> None:
    drawn = uniform(keys(2), 0, 64, torch.Size([1000]))
    pairs = [(drawn[:-1], drawn[1:]), (drawn[:, 0], drawn[:, 1]), (drawn[..., :-1], drawn[..., 1:])]
    for one, other in pairs:
        both = torch.stack([one.flatten(), other.flatten()])
        assert abs(torch.corrcoef(both)[0, 1].item()) < 0.02  # 64,000 pairs: 5 errors are 0.02


def test_events_hands_out_its_frames() -> None:
    frames = torch.arange(2 * 3 * 2).view(2, 3, 2, 1, 1).float()
    encoded = ENCODINGS.get("events").encode(frames, 1, 2, None)
    # steps 1 and 2 of recording 0 are 2,3 and 4,5; of recording 1 they are 8,9 and 10,11
    assert encoded.flatten(1).tolist() == [[2, 3], [8, 9], [4, 5], [10, 11]]


def test_events_refuses_more_steps_than_frames() -> None:
    with pytest.raises(ValueError, match="binned into 3 frames, got timesteps up to 4"):
        ENCODINGS.get("events").encode(torch.zeros(1, 3, 2, 1, 1), 2, 2, None)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_random_encodings_ask_for_keys(name: str) -> None:
    with pytest.raises(ValueError, match="give keys, one per image"):
        ENCODINGS.get(name).encode(torch.rand(1, 1, 2, 2), 0, 1, None)
