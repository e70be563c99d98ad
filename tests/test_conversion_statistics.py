"""Exact statistics, whatever the batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.convert import prepare_ann
from conversion.statistics import Maximum, Percentile, activations, gather, percentiles
from tests.small_networks import images, network


def values(seed: int, count: int = 60) -> torch.Tensor:
    """Activations [count, 3, 2, 2] of which about half are 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 2, 2, generator=generator).clamp(min=0.0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    percentile=st.floats(0.1, 100.0),
    batch=st.integers(1, 60),
    nonzero=st.booleans(),
)
def test_percentiles_agree_with_torch_on_the_concatenation(
    seed: int, percentile: float, batch: int, nonzero: bool
) -> None:
    x = values(seed)
    whole = Percentile(percentile, x.numel(), nonzero=nonzero)
    channels = Percentile(percentile, x.numel() // 3, per_channel=True, nonzero=nonzero)
    for part in x.split(batch):
        whole.add(part)
        channels.add(part)
    wanted = x[x > 0] if nonzero else x.flatten()
    expected = torch.quantile(wanted.double(), percentile / 100)
    torch.testing.assert_close(whole.result().double(), expected, rtol=1e-6, atol=1e-9)
    for channel, result in enumerate(channels.result()):
        row = x[:, channel]
        row = row[row > 0] if nonzero else row.flatten()
        expected = torch.quantile(row.double(), percentile / 100)
        torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-9)


def test_a_percentile_by_hand() -> None:
    """0, 0, 1, 2, 4: rank 0.9·4 = 3.6, so 2 + 0.6·(4 − 2) = 3.2; of 1, 2, 4: rank 1.8, 3.6."""
    x = torch.tensor([[0.0], [4.0], [1.0], [0.0], [2.0]])
    for nonzero, expected in ((False, 3.2), (True, 3.6)):
        statistic = Percentile(90.0, 5, nonzero=nonzero)
        statistic.add(x[:2])
        statistic.add(x[2:])
        assert statistic.result().item() == pytest.approx(expected)


def test_only_the_largest_values_are_kept() -> None:
    """Of 100,000 values the 99.9th percentile needs 100; two more are kept."""
    statistic = Percentile(99.9, 100_000)
    for seed in range(100):
        statistic.add(torch.rand(1000, 1, generator=torch.Generator().manual_seed(seed)))
        assert statistic.kept is not None
        assert statistic.kept.shape[1] <= 102


def test_a_row_of_zeros_has_percentile_zero() -> None:
    statistic = Percentile(99.0, 8, nonzero=True)
    statistic.add(torch.zeros(8, 1))
    assert statistic.result().item() == 0.0


def test_maximum_over_all_batches() -> None:
    x = values(3)
    whole = Maximum()
    for part in x.split(7):
        whole.add(part)
    assert whole.result() == x.max()


def test_a_statistic_of_nothing_is_an_error() -> None:
    for statistic in (Maximum(), Percentile(99.0, 1)):
        with pytest.raises(ValueError, match="of no values is not defined"):
            statistic.result()


def test_activations_are_the_outputs_of_the_relus() -> None:
    model = network("plain")
    body, _, _ = prepare_ann(model)
    x = images(4)
    found = list(activations(body, x).values())
    with torch.no_grad():
        torch.testing.assert_close(found[0], model[:3](x))
        torch.testing.assert_close(found[1], model[:6](x))
        torch.testing.assert_close(found[2], model[:10](x))


def test_gathering_over_batches_equals_one_batch() -> None:
    body, _, _ = prepare_ann(network("residual", double=True))
    x = images(30, double=True)
    names = list(activations(body, x))
    whole = gather(body, [x], {name: Maximum() for name in names})
    parts = gather(body, x.split(7), {name: Maximum() for name in names})
    for name in names:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-12, atol=0)
    one = percentiles(body, [x], 97.0)
    many = percentiles(body, x.split(4), 97.0)
    for name in names:
        torch.testing.assert_close(one[name], many[name], rtol=1e-6, atol=0)


def test_a_percentile_of_what_is_active_leaves_the_zeros_out() -> None:
    body, _, _ = prepare_ann(network("plain"))
    batches, first = images(30).split(7), next(iter(activations(body, images(30)).items()))
    name, x = first
    assert (x == 0).any()
    found = percentiles(body, batches, 90.0, definition="nonzero")[name]
    torch.testing.assert_close(found, torch.quantile(x[x > 0], 0.9), rtol=1e-5, atol=0)
    rows = percentiles(body, batches, 90.0, definition="nonzero", per_channel=True)[name]
    for channel, value in enumerate(rows):
        row = x[:, channel]
        if (row > 0).any():
            expected = torch.quantile(row[row > 0], 0.9)
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
