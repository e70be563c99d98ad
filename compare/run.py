"""One case: data → network trained or converted → sweep → a finished case directory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from compare.case_context import TRAINING_COST, CaseContext, Workplace
from compare.case_log import logged
from compare.cases import Case
from compare.faults import halved_once
from compare.options import rule_options
from compare.prepared import sample
from compare.resolved import as_it_comes, calibration_images, for_case
from compare.result import Result, describe, write_files
from compare.sweep import evaluate_ann, folded
from compare.ways import way_of
from conversion import Conversion, convert
from conversion.convert import prepare_ann
from conversion.errors import error_split
from direct import Trainable, prepare
from network.activity import count_activity
from network.architectures import depth_of
from network.encodings import image_keys
from network.fit import Epoch, Outcome
from network.graph import trace
from network.layout import layout_of
from network.seeds import derived_seed
from network.start import fix_scales
from network.unroll import SpikingNetwork
from network.wiring import wiring

SAMPLE_IMAGES = 500  # for data-based initialisation and width tuning
NOT_TRAINED = "not trained here: the network has the weights that it comes with"
ERROR_IMAGES = 32  # for the conversion error by layer


def run_case(case: Case, name: str, ann: str | None, place: Workplace) -> None:
    """Run one case and write its directory; `ann` names the finished case that it starts from."""
    started = datetime.now(UTC)
    work = place.store.work(name)
    work.mkdir(parents=True, exist_ok=True)
    context = CaseContext(case, name, ann, place)
    with logged(context.log, place.command):
        context.log_data()
        result = result_of(case, context)
        finished = datetime.now(UTC)
        content = describe(case, result, ann, place)
        content["started"] = started.isoformat(timespec="seconds")
        content["finished"] = finished.isoformat(timespec="seconds")
        total = (finished - started).total_seconds()
        content["elapsed_s"] = {**result.elapsed_s, "total": total}
        for stage, seconds in result.elapsed_s.items():
            context.log.say(f"{stage} took {seconds:.1f} s")
        for note in result.extra.get("notes", []):
            context.log.say(f"note: {note}")
        context.log.say("finished")
        with place.store.writing(name, content) as folder:
            write_files(folder, result)


def result_of(case: Case, context: CaseContext) -> Result:
    """Train or convert, and sweep."""
    arms = {"ann": _run_ann, "converted": _run_converted, "direct": _run_direct}
    return arms[case.arm](case, context)


def _run_ann(case: Case, context: CaseContext) -> Result:
    device = context.place.device
    network, recipe = context.ann_to_train()
    arrange = layout_of(network, context.dataset.shape)

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        del keys
        scores = network(arrange(images))
        scaled = scores * recipe.score_scale
        loss = F.cross_entropy(scaled, labels, label_smoothing=recipe.label_smoothing)
        return Outcome(loss, scores)

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        del indices
        scores: Tensor = network(arrange(images.to(device)))
        return scores

    wiring(trace(network.eval()), context.dataset.shape)  # refused before any training
    clock, history = _Clock(), []
    if not as_it_comes(case):
        history = context.fit(network, objective, recipe, classify, TRAINING_COST)
        clock.lap("train", history)
    tell = context.tell("evaluation")
    outcome = evaluate_ann(
        network,
        trace(network.eval()),
        context.test,
        context.dataset.shape,
        batch_size=context.place.batch_size,
        device=device,
        advance=lambda images: tell(float(images)),
    )
    context.log_sweep(outcome)
    clock.lap("sweep")
    return Result(
        sweep=outcome,
        weights=network.state_dict(),
        history=history,
        readout="",
        depth=depth_of(network),
        parameters=_count(network),
        extra={"notes": [NOT_TRAINED]} if as_it_comes(case) else {},
        elapsed_s=clock.laps,
    )


def _run_converted(case: Case, context: CaseContext) -> Result:
    clock = _Clock()
    ann = context.trained_ann()
    conversion = _convert(case, context, ann, case.base, dict(case.options))
    clock.lap("convert")
    outcome = context.sweep(conversion.network)
    clock.lap("sweep")
    errors, notes = _errors(case, context, ann, conversion)
    clock.lap("errors")
    traces = context.traces(conversion.network)
    clock.lap("traces")
    audit = {k: list(v) for k, v in asdict(conversion.audit).items()}
    return Result(
        sweep=outcome,
        weights=conversion.network.state_dict(),
        history=[],
        readout=conversion.network.readout,
        depth=depth_of(ann),
        parameters=_count(ann),
        thresholds=_summaries(conversion.thresholds),
        leak=_leaks(conversion.network),
        calibration_timesteps=conversion.calibration_timesteps,
        extra={"audit": audit, "notes": notes},
        tables={"errors": errors},
        traces=traces,
        elapsed_s=clock.laps,
    )


def _errors(
    case: Case, context: CaseContext, ann: nn.Module, conversion: Conversion
) -> tuple[list[dict[str, Any]], list[str]]:
    """Conversion error by layer at T = 1, 2, 4 … on some training images; or why there is none."""
    images, _ = sample(context.train, ERROR_IMAGES, derived_seed(case.seed, 17))
    steps = [2**k for k in range(case.timesteps.bit_length())]
    body, _, _ = prepare_ann(ann)
    try:
        rows = error_split(
            body,
            conversion.network,
            images.to(context.place.device),
            steps,
            seed=derived_seed(case.seed, 18),
        )
    except ValueError as error:
        return [], [f"no conversion error by layer: {error}"]
    return [asdict(row) for row in rows], []


def _convert(
    case: Case, context: CaseContext, ann: nn.Module, method: str, options: dict[str, Any]
) -> Conversion:
    seed = derived_seed(case.seed, 13)
    images, _ = sample(context.train, calibration_images(case, method), seed)

    def attempt(batch_size: int) -> Conversion:
        return convert(
            ann,
            images,
            method=method,
            options=options,
            encoding=case.encoding,
            seed=seed,
            batch_size=batch_size,
        )

    return halved_once(
        attempt,
        context.place.batch_size,
        lambda size: context.log.say(f"memory did not suffice to convert: again with {size}"),
    )


def _run_direct(case: Case, context: CaseContext) -> Result:
    assert case.train_timesteps is not None
    device, steps = context.place.device, case.train_timesteps
    clock = _Clock()
    way = way_of(case.base)
    origin, options = rule_options(case.base, case.options)
    start, recipe = None, for_case(way.recipe, case)
    model = context.started(recipe) if origin is None else context.trained_ann()
    depth = depth_of(model)  # of a folded network, shortcuts would have lost their names
    if origin is not None:
        start = _convert(case, context, model, origin, {}).network
        clock.lap("convert")
    images, labels = sample(context.train, SAMPLE_IMAGES, derived_seed(case.seed, 14))
    trainable = prepare(
        model if start is None else None,
        rule=way.rule.name,
        timesteps=steps,
        options=options,
        images=images.to(device),
        labels=labels.to(device),
        seed=derived_seed(case.seed, 15),
        recipe=recipe,
        encoding=case.encoding,
        readout=way.readout,
        start=start,
    )
    if origin is None and recipe.fixed_scales:
        fix_scales(trainable.network)  # its norms, which may be the rule's own
    for name, values in trainable.facts.items():
        listed = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        context.log.say(f"{name}: {listed}")
    # what cannot be counted is refused before any training
    count_activity(folded(trainable.network), context.dataset.shape, 1)
    before = context.trained_before()
    history = _trained(case, context, trainable) if before is None else before.history
    finished = trainable.finish()
    clock.lap("train", history)
    if before is not None:
        finished.load_state_dict(before.weights)
        clock.laps |= before.elapsed_s
    said = [] if before is None else [before.said()]
    outcome = context.sweep(finished)
    clock.lap("sweep")
    traces = context.traces(finished)
    clock.lap("traces")
    theta = {name: neuron.theta.detach() for name, neuron in finished.neurons().items()}
    return Result(
        sweep=outcome,
        weights=finished.state_dict(),
        history=history,
        readout=finished.readout,
        depth=depth,
        parameters=_count(finished),
        thresholds=_summaries(theta),
        leak=_leaks(finished),
        extra={**trainable.facts, "notes": [*trainable.notes, *said]},
        tables=trainable.records if before is None else before.tables,
        traces=traces,
        elapsed_s=clock.laps,
    )


def _trained(case: Case, context: CaseContext, trainable: Trainable) -> list[Epoch]:
    """Train; the history of it."""
    assert case.train_timesteps is not None
    network, device, steps = trainable.network, context.place.device, case.train_timesteps
    seed = derived_seed(case.seed, 16)

    def classify(batch: Tensor, indices: Tensor) -> Tensor:
        keys = image_keys(seed, indices).to(device)
        scores: Tensor = network(batch.to(device), steps, keys)[-1]
        return scores

    cost = TRAINING_COST * steps
    return context.fit(network, trainable.objective, trainable.recipe, classify, cost)


def _leaks(network: SpikingNetwork) -> bool:
    return any(neuron.dynamics.decay < 1.0 for neuron in network.neurons().values())


class _Clock:
    """Seconds per stage; of a training that was interrupted, all of it."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.monotonic()

    def lap(self, stage: str, history: Sequence[Epoch] = ()) -> None:
        now = time.monotonic()
        trained = history[-1].elapsed_s if history else 0.0
        self.laps[stage], self.last = round(max(now - self.last, trained), 3), now


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _summaries(thresholds: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    return {
        name: {"min": float(t.min()), "mean": float(t.mean()), "max": float(t.max())}
        for name, t in thresholds.items()
    }
