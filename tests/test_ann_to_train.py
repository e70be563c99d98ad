"""The first weights and the loss that a study asks for reach the training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from compare.case_context import CaseContext, Workplace
from compare.resolved import recipe_of
from compare.run import result_of
from compare.store import DamagedCase, Store
from compare.study import StudyError, build_study
from network.start import StartError
from tests.test_half_a_batch import ann_case, made_up
from tests.test_halfway import CPU


def context_of(folder: Path, architecture: str, **training: Any) -> CaseContext:
    case = replace(ann_case(training=training), architecture=architecture, width=0.25)
    store = Store(folder)
    store.work("a").mkdir(parents=True)
    place = Workplace(store, "s", {"noise": made_up()}, CPU, 100, "test")
    return CaseContext(case, "a", None, place)


def test_weights_start_as_the_recipe_says(tmp_path: Path) -> None:
    plain, _ = context_of(tmp_path / "plain", "airbench").ann_to_train()
    started, recipe = context_of(
        tmp_path / "started", "airbench", whitened=True, identity=True
    ).ann_to_train()
    assert recipe.whitened
    assert recipe.identity
    assert not started.conv1.weight.requires_grad
    assert torch.equal(started.conv1.weight[3:], -started.conv1.weight[:3])
    assert torch.equal(started.conv3.weight[:, :, 1, 1], torch.eye(16))
    assert not torch.equal(plain.conv3.weight, started.conv3.weight)
    assert torch.equal(plain.output.weight, started.output.weight)


def test_scales_of_batch_norm_stay_what_they_are(tmp_path: Path) -> None:
    context = context_of(tmp_path, "airbench", fixed_scales=True, epochs=1, batch_size=40)
    weights = result_of(context.case, context).weights
    assert torch.equal(weights["conv3_norm.weight"], torch.ones(16))
    assert weights["conv3_norm.bias"].any()


def test_labels_are_smoothed(tmp_path: Path) -> None:
    """The loss of the one batch there is, before any step."""
    given: dict[str, Any] = {"epochs": 1, "batch_size": 120, "whitened": True}
    losses = {}
    for smoothing in (0.0, 0.2):
        folder = tmp_path / str(smoothing)
        context = context_of(folder, "airbench", label_smoothing=smoothing, **given)
        network, _ = context.ann_to_train()
        images, labels = context.train.batch(torch.arange(120))
        expected = F.cross_entropy(network.train()(images), labels, label_smoothing=smoothing)
        result = result_of(context.case, context)
        losses[smoothing] = result.history[0].train_loss
        assert losses[smoothing] == pytest.approx(expected.item(), rel=1e-4)
        frozen, trained = network.state_dict()["conv1.weight"], result.weights["conv1.weight"]
        assert torch.equal(frozen, trained), "the whitening has been trained"
    assert losses[0.0] != pytest.approx(losses[0.2], rel=1e-4)


def test_scores_are_scaled_in_the_loss(tmp_path: Path) -> None:
    context = context_of(tmp_path, "airbench", epochs=1, batch_size=120, score_scale=0.1)
    network, _ = context.ann_to_train()
    images, labels = context.train.batch(torch.arange(120))
    expected = F.cross_entropy(network.train()(images) * 0.1, labels)
    loss = result_of(context.case, context).history[0].train_loss
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def test_a_network_without_a_first_convolution_is_refused(tmp_path: Path) -> None:
    context = context_of(tmp_path, "mlp-30-20", whitened=True)
    with pytest.raises(StartError, match="needs a plain convolution as first layer, got Linear"):
        result_of(context.case, context)


@pytest.mark.parametrize("rule", ["bptt", "tdbn", "rate-bp"])
def test_direct_training_starts_with_the_same_first_weights(tmp_path: Path, rule: str) -> None:
    given = {"epochs": 1, "batch_size": 40, "learning_rate": 0.01, "optimiser": "adamw"}
    # few norms of spikes that were handed on lie in the window of tdBN's surrogate
    first = {"whitened": True, "identity": rule != "tdbn", "fixed_scales": True}
    context = context_of(tmp_path, "airbench", **given, **first)
    case = replace(
        context.case, method=rule, base=rule, arm="direct", timesteps=2, train_timesteps=2
    )
    context = CaseContext(case, "a", None, context.place)
    started = context.started(recipe_of(case)).state_dict()
    weights = result_of(case, context).weights
    handed_on = torch.equal(started["conv3.weight"][:, :, 1, 1], torch.eye(16))
    assert handed_on == first["identity"]
    # a norm that was folded scales whole rows; what is trained turns them
    for layer, fixed in (("conv1", True), ("conv3", False)):
        name = f"calls.{layer}" if rule == "tdbn" else layer
        rows, before = weights[f"body.{name}.weight"].flatten(1), started[f"{layer}.weight"]
        cosine = F.cosine_similarity(rows, before.flatten(1))
        assert (cosine.min() > 1 - 1e-6) == fixed, layer
    if rule != "tdbn":
        assert torch.equal(weights["body.conv3_norm.weight"], torch.ones(16))


@pytest.mark.parametrize("key", ["label_smoothing", "score_scale"])
def test_direct_training_does_not_know_what_is_for_anns(key: str) -> None:
    with pytest.raises(StudyError, match=f"unknown key 'direct.{key}'"):
        build_study({"name": "s", "direct": {key: 0.1}}, where="study s")


def test_an_ann_that_changed_since_it_was_written_is_not_taken(tmp_path: Path) -> None:
    ann = context_of(tmp_path, "lenet")
    network, _ = ann.ann_to_train()
    with ann.place.store.writing("ann", {}) as partial:
        save_file(network.state_dict(), partial / "weights.safetensors")
    later = CaseContext(replace(ann.case, arm="converted", ann=ann.case), "later", "ann", ann.place)
    assert torch.equal(later.trained_ann().output.weight, network.output.weight)
    file = ann.place.store.path("ann") / "weights.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DamagedCase, match=r"weights\.safetensors differs from what was written"):
        later.trained_ann()
