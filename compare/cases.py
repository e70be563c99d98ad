"""From a study to its cases, each keyed by a hash of all that decides its result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any, Literal

from compare.method_facts import MethodFacts
from compare.study import QUANTISED_ANN, Arm, Study, StudyError

# Of methods and architectures; raised from 1 whenever the same specification gives another result.
VERSIONS = {
    "airbench": 2,
    QUANTISED_ANN: 3,
    "model-norm": 2,
    "srp": 2,
    "offset": 2,
    "local-balance": 2,
    "bptt": 3,
    "tune-width": 4,
    "tdbn": 3,
    "tet": 3,
    "spike-bp": 3,
    "membrane-bp": 4,
    "rate-bp": 5,
    "hybrid": 3,
    "diet": 4,
    "ledinauskas2020": 4,
    "lee2020": 4,
    "zheng2021": 4,
    "lee2016": 4,
}

Representation = Literal["normalised", "pixels", "signed", "events", "mean-events"]

REPRESENTATIONS: dict[str, Representation] = {
    "constant": "normalised",
    "poisson": "pixels",
    "poisson-signed": "signed",
    "poisson-total": "pixels",
    "events": "events",
}


@dataclass(frozen=True)
class Case:
    """One network, trained or converted, and swept over timesteps.

    method: the name in records (a variant's own name); base: the registered method behind it.
    ann: the case of the ANN that this one starts from (conversions, hybrid), or None.
    """

    dataset: str
    architecture: str
    method: str
    base: str
    arm: Arm
    seed: int
    timesteps: int
    train_timesteps: int | None
    encoding: str
    batch_norm: bool
    width: float
    dropout: float
    augmentation: str | None
    validation_images: int | None
    train_images: int | None
    test_images: int | None
    calibration_images: int | None
    precision: str
    sweep_precision: str
    threads: int
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    ann: Case | None = None

    def specification(self) -> dict[str, Any]:
        """All that decides the result, as plain values."""
        values = asdict(replace(self, ann=None))
        values["ann"] = self.ann.specification() if self.ann else None
        return values

    def as_text(self) -> str:
        """The specification; two cases of a study with the same one are the same case."""
        return json.dumps(self.specification(), sort_keys=True, default=list)

    @property
    def version(self) -> int:
        """Of the way the result comes about, the ANN's included."""
        own = VERSIONS.get(self.base, 1) + VERSIONS.get(self.architecture, 1) - 1
        return own if self.ann is None else own + self.ann.version - 1

    def identity(self, fingerprint: str) -> str:
        """Readable and unique: names, seed, and a hash of specification and data."""
        content = {"version": self.version, "data": fingerprint}
        content["specification"] = self.specification()
        text = json.dumps(content, sort_keys=True, default=list)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        steps = "" if self.train_timesteps is None else f"-t{self.train_timesteps}"
        words = f"{self.dataset}-{self.architecture}-{self.method}{steps}-s{self.seed}"
        return re.sub(r"[^A-Za-z0-9.-]+", "_", words)[-120:].lstrip(".-_") + f"-{digest}"


def representation_of(case: Case) -> Representation:
    """What the network of a case sees; an ANN sees recordings as the mean of their frames."""
    representation = REPRESENTATIONS[case.encoding]
    return "mean-events" if representation == "events" and case.arm == "ann" else representation


def expand(study: Study, facts: Mapping[str, MethodFacts], *, sweep_precision: str) -> list[Case]:
    """The cases of a study: every ANN in front of the networks made from it."""
    cases: dict[str, Case] = {}
    for part in study.divided():
        for names in product(part.datasets, part.architectures, part.seeds):
            for case in _Network(part, *names).cases(facts):
                if case.arm != "ann":
                    case = replace(case, sweep_precision=sweep_precision)
                cases[case.as_text()] = case
    return list(cases.values())


@dataclass(frozen=True)
class _Network:
    """One network of a study: on which data, of which architecture, from which seed."""

    study: Study
    dataset: str
    architecture: str
    seed: int

    def cases(self, facts: Mapping[str, MethodFacts]) -> list[Case]:
        """The ANNs, and the networks that are made from them or trained as they are."""
        study = self.study
        if self.dataset in study.events:
            study = study.model_copy(update={"encoding": "events"})
        _check_encoding(study, self.dataset, "encoding")
        reference = replace(self, study=study)._ann("ann", study.encoding)
        anns = {_ann_key(study, "ann", study.encoding): reference}
        members: list[Case] = []
        for method in study.methods:
            own = replace(self, study=_setting_of(study, method))
            _check_encoding(own.study, self.dataset, f"[variants.{method}] encoding")
            fact = facts[study.base_method(method)]
            encoding = _encoding(own.study, fact, method)
            ann = None
            if fact.ann is not None:
                given = given_options(study, method).get("conversion")
                start = fact.starts.get(str(given), fact.ann)
                ann = anns.setdefault(
                    _ann_key(own.study, start, encoding), own._ann(start, encoding)
                )
            for steps in _train_timesteps(study, fact, method):
                members.append(own._case(method, fact, encoding, steps, ann))
        return [*anns.values(), *members]

    def _case(
        self, method: str, fact: MethodFacts, encoding: str, steps: int | None, ann: Case | None
    ) -> Case:
        study = self.study
        variant = study.variants.get(method)
        training = study.direct.overrides() if fact.arm == "direct" else {}
        if variant is not None:
            training = {**training, **variant.training.overrides()}
        batch_norm, dropout = _demanded(study, method, fact)
        return Case(
            **{**self._shared(), "batch_norm": batch_norm, "dropout": dropout},
            method=method,
            base=study.base_method(method),
            arm=fact.arm,
            timesteps=study.timesteps,
            train_timesteps=steps,
            encoding=encoding,
            calibration_images=None if fact.ann is None else study.calibration_images,
            training=training,
            options=given_options(study, method),
            ann=ann,
        )

    def _ann(self, method: str, encoding: str) -> Case:
        """The ANN; its result does not depend on the number of timesteps of the study."""
        options = self.study.options.get(QUANTISED_ANN, {}) if method == QUANTISED_ANN else {}
        return Case(
            **self._shared(),
            method=method,
            base=method,
            arm="ann",
            timesteps=0,
            train_timesteps=None,
            encoding=encoding,
            calibration_images=None,
            training=self.study.ann.overrides(),
            options=options,
        )

    def _shared(self) -> dict[str, Any]:
        """What all its cases have alike."""
        study = self.study
        return {
            "dataset": self.dataset,
            "architecture": self.architecture,
            "seed": self.seed,
            "batch_norm": study.batch_norm,
            "width": study.width,
            "dropout": study.dropout,
            "augmentation": study.augmentation,
            "validation_images": study.validation_images,
            "train_images": study.train_images,
            "test_images": study.test_images,
            "precision": study.precision,
            "sweep_precision": "",
            "threads": study.threads or 1,
        }


def _setting_of(study: Study, method: str) -> Study:
    """The study with what a variant sets otherwise."""
    variant = study.variants.get(method)
    return study if variant is None else study.model_copy(update=variant.setting())


def _check_encoding(study: Study, dataset: str, where: str) -> None:
    """Raise StudyError for images taken as recordings, or the other way round."""
    recordings = dataset in study.events
    if recordings == (study.encoding == "events"):
        return
    kind = f"recordings ([events.{dataset}])" if recordings else "images"
    allowed = [name for name in REPRESENTATIONS if recordings == (name == "events")]
    raise StudyError(
        f"{where}: {dataset} holds {kind}, for which {', '.join(allowed)} can be used; "
        f"got {study.encoding}"
    )


def _ann_key(study: Study, method: str, encoding: str) -> tuple[str, str, bool, float]:
    return method, REPRESENTATIONS[encoding], study.batch_norm, study.dropout


def _encoding(study: Study, fact: MethodFacts, method: str) -> str:
    """The study's or the variant's encoding, or where neither says one the method's own."""
    if study.encoding == "events" and fact.ann is not None:
        raise StudyError(
            f"method {method} starts from an ANN of images; allowed on recordings: "
            "methods of direct training"
        )
    if fact.encoding is None or study.encoding == fact.encoding:
        return study.encoding
    variant = study.variants.get(method)
    if study.encoding == "constant" and (variant is None or variant.encoding is None):
        return fact.encoding
    if fact.encoding == "constant":
        raise StudyError(f"method {method} takes constant input only, got {study.encoding}")
    return study.encoding


def _train_timesteps(study: Study, fact: MethodFacts, method: str) -> tuple[int | None, ...]:
    if fact.arm != "direct":
        return (None,)
    variant = study.variants.get(method)
    if variant is not None and variant.train_timesteps is not None:
        return variant.train_timesteps
    return study.train_timesteps or fact.train_timesteps or (None,)


def given_options(study: Study, method: str) -> dict[str, Any]:
    """What a study says of a method: of the one behind it, of this name, and in its variant."""
    variant = study.variants.get(method)
    shared = {**study.options.get(study.base_method(method), {}), **study.options.get(method, {})}
    return shared if variant is None else {**shared, **variant.options}


def _demanded(study: Study, method: str, fact: MethodFacts) -> tuple[bool, float]:
    """Batch norm and dropout of the network: what a variant says, else what the method demands,
    else what the study has."""
    variant = study.variants.get(method)
    said = (None, None) if variant is None else (variant.batch_norm, variant.dropout)
    if said[0] is not None and fact.norm_of_rule not in (None, said[0]):
        raise StudyError(
            f"variant {method} cannot have batch_norm = {str(said[0]).lower()}: "
            f"{study.base_method(method)} trains networks "
            + ("with a norm of its own" if fact.norm_of_rule else "without batch norm")
        )
    batch_norm = fact.batch_norm if said[0] is None else said[0]
    dropout = fact.dropout if said[1] is None else said[1]
    return (
        study.batch_norm if batch_norm is None else batch_norm,
        study.dropout if dropout is None else dropout,
    )
