"""From a study to its cases and their names."""

from dataclasses import replace
from typing import get_args

import pytest

from compare import setting_words
from compare.cases import REPRESENTATIONS, VERSIONS, Case, expand
from compare.method_facts import method_facts
from compare.study import Study, StudyError, build_study, builtin_studies, load_study
from compare.study_tables import Encoding
from network.encodings import ENCODINGS


def cases_of(**content: object) -> list[Case]:
    study = build_study({"name": "test", **content}, where="test").model_copy(
        update={"precision": "float32", "threads": 1}
    )
    facts = method_facts(sorted({study.base_method(name) for name in study.methods}))
    return expand(study, facts, sweep_precision="float32")


def test_one_ann_per_seed_serves_every_conversion() -> None:
    cases = cases_of(methods=["data-norm", "robust-norm", "bptt"], seeds=2, train_timesteps=[2, 4])
    # per seed: ANN, data-norm, robust-norm, bptt at 2 and at 4 -> 5; two seeds -> 10
    assert len(cases) == 10
    anns = [case for case in cases if case.arm == "ann"]
    assert [ann.seed for ann in anns] == [0, 1]
    for case in cases:
        if case.arm == "converted":
            assert case.ann == anns[case.seed]
            assert cases.index(case.ann) < cases.index(case)
        if case.arm == "direct":
            assert case.ann is None
            assert case.train_timesteps in (2, 4)


def test_qcfs_brings_its_own_ann_and_the_reference_stays() -> None:
    cases = cases_of(methods=["qcfs", "srp"], seeds=1)
    assert [case.method for case in cases] == ["ann", "qcfs-ann", "qcfs", "srp"]
    assert cases[2].ann == cases[1] == cases[3].ann


def test_a_new_way_to_a_result_renames_its_cases_and_those_made_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = {case.method: case for case in cases_of(methods=["qcfs", "robust-norm"], seeds=1)}
    before = {name: case.identity("data") for name, case in cases.items()}
    monkeypatch.setitem(VERSIONS, "qcfs-ann", VERSIONS["qcfs-ann"] + 1)
    renamed = {name for name, case in cases.items() if case.identity("data") != before[name]}
    assert renamed == {"qcfs-ann", "qcfs"}


def test_a_method_with_an_encoding_of_its_own_gets_it() -> None:
    cases = cases_of(methods=["lee2020", "robust-norm"], seeds=1)
    encodings = {case.method: case.encoding for case in cases}
    assert encodings == {"ann": "constant", "lee2020": "poisson", "robust-norm": "constant"}


def test_options_of_a_variant_go_over_those_of_its_method() -> None:
    cases = cases_of(
        methods=["bptt", "steep"],
        seeds=1,
        options={"bptt": {"gamma": 1.0, "reset": "hard"}},
        variants={"steep": {"method": "bptt", "options": {"gamma": 100.0}}},
    )
    steep = next(case for case in cases if case.method == "steep")
    assert steep.base == "bptt"
    assert steep.options == {"gamma": 100.0, "reset": "hard"}


def test_the_name_of_a_case_changes_with_all_that_decides_its_result() -> None:
    case = next(case for case in cases_of(seeds=1) if case.method == "robust-norm")
    names = {case.identity("data")}
    for changed in (
        replace(case, seed=5),
        replace(case, timesteps=65),
        replace(case, width=0.5),
        replace(case, options={"percentile": 99.0}),
        replace(case, threads=2),
        replace(case, sweep_precision="int16"),
        replace(case, ann=replace(case.ann, training={"epochs": 9})),  # type: ignore[type-var]
    ):
        names.add(changed.identity("data"))
    names.add(case.identity("other data"))
    assert len(names) == 9
    assert case.identity("data") == replace(case).identity("data")


def test_a_long_or_strange_name_is_still_a_file_name() -> None:
    case = replace(cases_of(seeds=1)[0], dataset="folder:/some/../where " + "x" * 300)
    name = case.identity("data")
    assert "/" not in name
    assert len(name) < 140
    assert not name.startswith(".")


def test_a_rule_without_an_encoding_of_its_own_takes_recordings() -> None:
    frames = {"nmnist": {"timesteps": 4}}
    study = Study(name="a", datasets=("nmnist",), methods=("rate-bp",), events=frames)
    facts = method_facts(["rate-bp"])
    assert facts["rate-bp"].encoding is None  # no demand of its own: takes the study's
    assert expand(study, facts, sweep_precision="float32")[-1].encoding == "events"


def test_unknown_variant_base_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown method 'nope'"):
        cases_of(methods=["x"], variants={"x": {"method": "nope"}})


def test_study_error_is_a_value_error() -> None:
    assert issubclass(StudyError, ValueError)


@pytest.mark.parametrize("name", builtin_studies())
def test_every_builtin_study_expands_to_the_cases_it_speaks_of(name: str) -> None:
    study = load_study(name).model_copy(update={"precision": "float32", "threads": 1})
    methods = sorted({study.base_method(method) for method in study.every("methods")})
    cases = expand(study, method_facts(methods), sweep_precision="int16")
    assert {case.dataset for case in cases} == set(study.every("datasets"))
    assert {case.architecture for case in cases} == set(study.every("architectures"))
    assert {case.method for case in cases} >= set(study.every("methods"))
    assert len({case.identity("data") for case in cases}) == len(cases)
    spiking = {(case.dataset, case.architecture, case.method) for case in cases}
    for row in study.paper:  # what the paper reports stands beside a case of this study
        wanted = (row.dataset, row.architecture, row.method)
        assert any(
            all(a is None or a == b for a, b in zip(wanted, case, strict=True)) for case in spiking
        ), row


def test_a_changed_architecture_has_other_cases() -> None:
    """Results of the airbench that averaged its convolutions are not taken for the present ones."""
    cases = cases_of(architectures=["lenet", "airbench"], methods=["data-norm"], seeds=1)
    versions = {(case.architecture, case.method): case.version for case in cases}
    for method, more in (("ann", 1), ("data-norm", 2)):  # a conversion has its ANN's as well
        assert versions["airbench", method] == versions["lenet", method] + more


def test_every_encoding_can_be_asked_for_and_has_a_representation() -> None:
    assert list(get_args(Encoding)) == list(REPRESENTATIONS)
    assert set(REPRESENTATIONS) == set(ENCODINGS.names())
    assert all(name in setting_words.STUDY["encoding"] for name in REPRESENTATIONS)
