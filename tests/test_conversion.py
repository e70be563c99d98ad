"""Contract of every conversion method, and the oracles of all."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from conversion import CONVERSIONS, SilentLayer, convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.export import load_plain, save_plain
from network.graph import UnsupportedNetwork
from network.registry import UnknownName
from network.unroll import unroll
from tests.small_networks import NETWORKS, images, network

QUICK = {
    "spike-norm": {"timesteps": 10},
    "rmp": {"timesteps": 10},
    "local-balance": {"iterations": 20},
}
METHODS = list(CONVERSIONS)


def ann_for(method: str, name: str = "plain", *, double: bool = False) -> nn.Module:
    model = network(name, double=double)
    if CONVERSIONS.get(method).ann != "qcfs":
        return model
    quantised = quantise_activations(model, 4)
    for parameter_name, parameter in quantised.named_parameters():
        if parameter_name.endswith("threshold"):
            parameter.data.fill_(1.5)
    return quantised.double().eval() if double else quantised.eval()


def converted(method: str, name: str = "plain", **settings):
    settings = {"options": QUICK.get(method), **settings}
    return convert(ann_for(method, name), images(24), method=method, **settings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_thresholds_are_finite_and_positive_and_repeat(method: str, name: str) -> None:
    first, again = converted(method, name), converted(method, name)
    assert list(first.thresholds) == list(first.network.neurons())
    assert len(first.audit.replaced) == len(first.thresholds) > 1
    for layer, theta in first.thresholds.items():
        assert torch.isfinite(theta).all()
        assert (theta > 0).all()
        torch.testing.assert_close(theta, again.thresholds[layer], rtol=0, atol=0)
    with torch.no_grad():
        x = images(3, seed=5)
        scores = first.network(x, 6)
        torch.testing.assert_close(scores, again.network(x, 6), rtol=0, atol=0)
    assert scores.shape == (6, 3, 5)


@pytest.mark.parametrize("method", METHODS)
def test_the_ann_is_not_touched(method: str) -> None:
    model = ann_for(method)
    before = copy.deepcopy(model)
    convert(model, images(16), method=method, options=QUICK.get(method))
    assert str(model) == str(before)
    for (name, a), b in zip(model.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_to_t_is_the_start_of_a_longer_run_whatever_the_chunk(method: str) -> None:
    network = converted(method).network
    x = images(4, seed=6)
    with torch.no_grad():
        whole = unroll(network, x, 12, chunk=12)
        assert torch.equal(whole[:5], unroll(network, x, 5))
        for chunk in (1, 5):
            torch.testing.assert_close(whole, unroll(network, x, 12, chunk=chunk))


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_batch_size(method: str) -> None:
    """In float64, where sums taken in another order cannot move a threshold visibly."""
    x = images(50, double=True)
    model = ann_for(method, double=True)
    settings = {"method": method, "options": QUICK.get(method)}
    whole = convert(model, x, batch_size=50, **settings)
    parts = convert(model, [x[:20], x[20:]], batch_size=7, **settings)
    for layer, theta in whole.thresholds.items():
        torch.testing.assert_close(theta, parts.thresholds[layer], rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_steps_before_the_answer_are_counted(method: str) -> None:
    expected = {"srp": 4, "offset": 4}.get(method, 0)
    assert converted(method).calibration_timesteps == expected


def test_delayed_readout_of_local_balance_counts_its_steps() -> None:
    delayed = converted("local-balance", options={"iterations": 20, "delay": True})
    assert delayed.calibration_timesteps == delayed.network.observation.steps > 0


@pytest.mark.parametrize("name", ["plain", "max-pooled"])
def test_delayed_readout_is_the_end_of_a_longer_run(name: str, tmp_path: Path) -> None:
    x = images(6)
    options = {"iterations": 20, "delay": True}
    delayed = convert(network(name), x, method="local-balance", options=options).network
    save_plain(delayed, tmp_path)
    whole = copy.deepcopy(delayed)
    whole.observation = None
    steps = delayed.observation.steps
    with torch.no_grad():
        expected = unroll(whole, x, steps + 5)[steps:]
        for run in (delayed, load_plain(tmp_path)):
            torch.testing.assert_close(unroll(run, x, 5), expected)


def test_the_delay_does_not_depend_on_the_last_images_alone() -> None:
    """One black image behind a hundred: a batch of its own, in which a layer may be silent."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8, bias=False), nn.ReLU(), nn.Linear(8, 2))
    x = torch.cat([images(100), torch.zeros(1, 3, 8, 8)])
    options = {"delay": True}
    steps = [
        convert(model, chosen, method="local-balance", options=options).calibration_timesteps
        for chosen in (x, x[:100])
    ]
    assert abs(steps[0] - steps[1]) <= 1
    with pytest.raises(SilentLayer, match="layer 2"):
        convert(model, torch.zeros(3, 3, 8, 8), method="local-balance", options=options)


def test_an_encoding_that_the_ann_has_not_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="poisson-total scales every image"):
        convert(network("plain"), images(2), method="data-norm", encoding="poisson-total")


@pytest.mark.parametrize("method", [m for m in METHODS if CONVERSIONS.get(m).ann == "relu"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rates_approach_the_ann(method: str, name: str) -> None:
    """With thresholds that clip nothing the error falls as 1/T; methods that clip stop earlier."""
    if method in ("model-norm", "rmp"):
        pytest.skip("thresholds so high, or so low, that no number of steps in a test helps")
    model = network(name)
    options = dict(QUICK.get(method, {}))
    if method in ("robust-norm", "channel-norm"):
        options["percentile"] = 100.0
    if method in ("mse-norm", "calibration"):
        options["timesteps"] = 64
    if method == "local-balance":
        options["iterations"] = 200
    result = convert(model, images(24), method=method, options=options)
    x = images(24)
    with torch.no_grad():
        answer = model(x)
        scores = result.network.read(unroll(result.network, x, 300, chunk=100))
    error = (scores - answer).flatten(1).norm(dim=1) / answer.norm()
    assert error[299] < 0.12
    assert error[299] < 0.6 * error[3]


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_and_moving_leave_the_output_unchanged(name: str) -> None:
    model = network(name, double=True)
    body, folded, notes = prepare_ann(model)
    x = images(5, double=True)
    with torch.no_grad():
        torch.testing.assert_close(body(x), model(x), rtol=1e-12, atol=1e-12)
    norms = sum(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.modules())
    assert len(folded) + sum("now one of its own" in note for note in notes) == norms
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in body.modules())
    assert sum("moved" in note for note in notes) == {"max-pooled": 2, "branches": 1}.get(name, 0)


def test_the_audit_names_layers_as_the_user_does() -> None:
    audit = converted("data-norm", "residual").audit
    assert audit.folded == ("stem_norm", "norm1", "norm2", "shortcut_norm")
    assert audit.replaced == ("relu", "relu", "relu", "relu")
    assert audit.analogue == ("stem",)
    assert converted("data-norm", "branches").audit.analogue == ("norm", "left", "right")


def test_an_unknown_method_or_option_is_one_line() -> None:
    with pytest.raises(
        UnknownName, match="unknown conversion 'datanorm'; did you mean 'data-norm'"
    ):
        convert(network("plain"), images(2), method="datanorm")
    with pytest.raises(ValueError, match="robust-norm has no option 'percentil'; did you mean"):
        convert(network("plain"), images(2), method="robust-norm", options={"percentil": 99})
    with pytest.raises(ValueError, match="percentile must be of type float, got '99'"):
        convert(network("plain"), images(2), method="robust-norm", options={"percentile": "99"})
    with pytest.raises(ValueError, match="percentile must be above 0 and at most 100, got 101"):
        convert(network("plain"), images(2), method="robust-norm", options={"percentile": 101})
    with pytest.raises(ValueError, match="definition must be one of all, nonzero, got 'mean'"):
        convert(network("plain"), images(2), method="robust-norm", options={"definition": "mean"})
    with pytest.raises(ValueError, match=r"thresholds must be one of .*, got 'srp'"):
        convert(network("plain"), images(2), method="half-shift", options={"thresholds": "srp"})
    with pytest.raises(ValueError, match="rmp needs the soft reset"):
        convert(network("plain"), images(2), method="rmp", reset="hard")


def test_calibration_images_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        convert(network("plain"), images(2)[:0])
    with pytest.raises(ValueError, match="must be floats"):
        convert(network("plain"), (images(2) * 255).byte())
    with pytest.raises(ValueError, match=r"must be floats, got torch\.uint8"):
        convert(network("plain"), [images(2), (images(2) * 255).byte()])
    one = r"one shape and one type, got torch\.float32 of \(3, 8, 8\) and torch\.float"
    with pytest.raises(ValueError, match=one + r"32 of \(3, 9, 9\)"):
        convert(network("branches"), [images(2), torch.rand(2, 3, 9, 9)])
    with pytest.raises(ValueError, match=one + r"64 of \(3, 8, 8\)"):
        convert(network("plain"), [images(2), images(2, double=True)])
    with pytest.raises(ValueError, match=r"poisson needs pixels in \[0, 1\], got \[-0\.9"):
        convert(network("plain"), images(2) * 2 - 1, encoding="poisson")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        convert(network("plain"), images(2), batch_size=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("method", "options"),
    [("qcfs", {"correction": 4}), ("robust-norm", {"percentile": 80.0}), ("srp", {})],
)
def test_one_pixel_that_is_no_number_is_found_in_any_image(
    method: str, options: dict[str, object], value: float
) -> None:
    """A percentile would cut it off, a mean would spread it."""
    x, model = images(20), network("plain")
    x[15, 0, 0, 0] = value
    if CONVERSIONS.get(method).ann == "qcfs":
        model = quantise_activations(model, 4)
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity"):
        convert(model, x, method=method, options=options)


def test_qcfs_wants_quantised_activations() -> None:
    with pytest.raises(UnsupportedNetwork, match="qcfs needs an ANN trained with quantised"):
        convert(network("plain"), images(2), method="qcfs")


def test_a_silent_layer_is_an_error_that_names_it() -> None:
    model = network("plain")
    with torch.no_grad():
        model[4].bias.fill_(-100.0)
    for method in ("data-norm", "robust-norm", "spike-norm", "local-balance"):
        with pytest.raises(SilentLayer, match="layer 5 gets the threshold"):
            convert(model, images(4), method=method, options=QUICK.get(method))


def test_a_silent_channel_takes_the_largest_threshold_and_is_noted() -> None:
    model = network("plain")
    with torch.no_grad():
        model[4].bias[2] = -100.0
    result = convert(model, images(8), method="channel-norm")
    theta = list(result.thresholds.values())[1]
    assert theta[2] == theta.max()
    assert any("5: 1 of 8 channels were silent" in note for note in result.audit.notes)


def test_poisson_input_converts_and_needs_keys() -> None:
    result = convert(
        network("plain"), images(8), method="spike-norm", encoding="poisson",
        options={"timesteps": 20},
    )  # fmt: skip
    assert result.network.encoding == "poisson"
    assert result.audit.analogue == ()
    with pytest.raises(ValueError, match="give keys"), torch.no_grad():
        result.network(images(2), 3)
