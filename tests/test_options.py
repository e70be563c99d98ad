"""Options that a study gives its methods are checked before anything runs."""

import re
from typing import Any

import pytest

from compare.cases import expand
from compare.method_facts import method_facts
from compare.options import check_options, check_unused, rule_options
from compare.resolved import in_force, options_of, recipe_of
from compare.study import Study, StudyError, build_study, builtin_studies, load_study
from tests.test_half_a_batch import made_up


def cases_of(methods: list[str], **given: Any) -> list[Any]:
    study = Study(
        name="s",
        datasets=("mnist-5k",),
        architectures=("lenet",),
        methods=methods,
        seeds=(0,),
        **given,
    )
    study = study.model_copy(update={"precision": "float32", "threads": 1})
    bases = sorted({study.base_method(name) for name in methods})
    return expand(study, method_facts(bases), sweep_precision="int16")


@pytest.mark.parametrize(
    ("methods", "given", "words"),
    [
        (["robust-norm"], {"robust-norm": {"percentil": 99.0}}, "did you mean 'percentile'"),
        (["qcfs"], {"qcfs-ann": {"level": 4}}, "known: levels, start"),
        (["qcfs"], {"qcfs-ann": {"levels": 4.5}}, "levels must be of type int, got 4.5"),
        (["qcfs"], {"qcfs-ann": {"levels": 0}}, "levels must be at least 1, got 0"),
        (["qcfs"], {"qcfs-ann": {"relu_share": 1.0}}, "relu_share must be at least 0 and below 1"),
        (["qcfs"], {"qcfs-ann": {"percentile": 9.0}}, "percentile has no effect with relu_share"),
        (["qcfs"], {"qcfs": {"levels": 4}}, "qcfs has no option 'levels'"),
        (["bptt"], {"bptt": {"gama": 1.0}}, "no option 'gama'"),
        (["bptt"], {"bptt": {"gamma": "wide"}}, "must be of type float, got 'wide'"),
        (["hybrid"], {"hybrid": {"conversion": "robust"}}, "robust-norm"),
        (["hybrid"], {"hybrid": {"conversion": "srp"}}, "without them is qcfs: choose qcfs"),
        (["diet"], {"diet": {"conversion": "offset"}}, "offset spends steps of observation"),
        (["robust-norm"], {"robust-norm": {"percentile": 200.0}}, "at most 100, got 200"),
        (["channel-norm"], {"channel-norm": {"definition": "x"}}, "one of all, nonzero, got 'x'"),
        (["calibration"], {"calibration": {"level": "x"}}, "one of light, advanced, got 'x'"),
        (["rmp"], {"rmp": {"scale": 3.0}}, "rmp: scale must be above 0 and at most 1, got 3"),
        (["offset"], {"offset": {"steps": 0}}, "offset: steps must be above 0, got 0"),
        (
            ["half-shift"],
            {"half-shift": {"thresholds": "x"}},
            "thresholds must be one of data-norm, m",
        ),
        (["bptt"], {"bptt": {"surrogate": "x"}}, "one of fast-sigmoid, triangle, "),
        (["bptt"], {"bptt": {"gamma": -1.0}}, "bptt: gamma must be above 0, got -1"),
        (["tdbn"], {"tdbn": {"reset": "x"}}, "must be one of soft, hard, got 'x'"),
        (["rate-bp"], {"rate-bp": {"loss": "tet"}}, "loss cannot be 'tet': training goes"),
        (["spike-bp"], {"spike-bp": {"record_gradients": True}}, "no option 'record_gradients'"),
    ],
)
def test_an_option_that_does_not_exist_is_named(
    methods: list[str], given: dict[str, dict[str, Any]], words: str
) -> None:
    with pytest.raises(StudyError) as caught:
        check_options(cases_of(methods, options=given))
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("rmp", {"timesteps": 0}, "timesteps must be above 0, got 0"),
        ("calibration", {"passes": -3}, "passes must be above 0, got -3"),
        (
            "calibration",
            {"level": "advanced", "learning_rate": -1.0},
            "learning_rate must be above 0",
        ),
        ("calibration", {"passes": 9}, "passes has no effect with level = 'light': leave it out"),
        ("tdbn", {"threshold": -1.0}, "threshold must be above 0, got -1.0"),
        ("tdbn", {"alpha": 0.0}, "alpha must be above 0, got 0.0"),
        ("membrane-bp", {"floor": 5.0}, "floor must be at least 0 and at most 1, got 5.0"),
        ("membrane-bp", {"alpha": 0.5}, "alpha must be above 1, got 0.5"),
        ("membrane-bp", {"tau_ms": -1.0}, "tau_ms must be above 0, got -1.0"),
        (
            "membrane-bp",
            {"inhibition": 2.0},
            "inhibition must be at least 0 and at most 1, got 2.0",
        ),
        ("spike-bp", {"pooling_threshold": -1.0}, "pooling_threshold must be above 0, got -1.0"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_runs(
    method: str, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as caught:
        check_options(cases_of([method], options={method: given}))
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


def test_an_augmentation_that_does_not_exist_is_named() -> None:
    with pytest.raises(StudyError, match=r"unknown augmentation 'flop'.*known: none"):
        check_options(cases_of(["robust-norm"], augmentation="flop"))


def test_a_wrong_option_of_a_variant_names_the_variant() -> None:
    variants = {"steep": {"method": "bptt", "options": {"gama": 1.0}}}
    with pytest.raises(StudyError, match=r"^steep: bptt has no option 'gama'"):
        check_options(cases_of(["steep"], variants=variants))


def test_the_quantised_ann_takes_its_own_options_and_the_conversions_share_it() -> None:
    cases = cases_of(["qcfs", "srp"], options={"qcfs-ann": {"levels": 4, "start": 3}})
    check_options(cases)
    ann = next(case for case in cases if case.base == "qcfs-ann")
    assert ann.options == {"levels": 4, "start": 3}
    assert [case.ann for case in cases if case.arm == "converted"] == [ann, ann]


def test_hybrid_starts_from_the_conversion_that_it_names() -> None:
    given = {"hybrid": {"conversion": "calibration", "gamma": 4}}
    _, case = cases_of(["hybrid"], options=given)
    start, options = rule_options(case.base, case.options)
    assert start == "calibration"
    assert options["gamma"] == 4.0
    assert "conversion" not in options


def test_options_of_a_conversion_that_is_only_a_start_are_refused() -> None:
    content = {"name": "s", "options": {"robust-norm": {"percentile": 99.0}}}
    words = r"\[options.robust-norm\] has no effect: diet starts from robust-norm with its default"
    with pytest.raises(StudyError, match=words):
        check_unused(build_study({**content, "methods": ["bptt", "diet"]}, where="s"))
    check_unused(build_study({**content, "methods": ["robust-norm", "diet"]}, where="s"))
    check_unused(build_study({**content, "methods": ["half-shift", "bptt"]}, where="s"))


def test_hybrid_starts_from_the_ann_of_its_conversion() -> None:
    cases = cases_of(["hybrid", "diet"], options={"hybrid": {"conversion": "qcfs"}})
    starts = {case.method: case.ann and case.ann.method for case in cases}
    assert starts == {"ann": None, "qcfs-ann": None, "hybrid": "qcfs-ann", "diet": "ann"}


def test_what_a_case_ran_with_is_said_with_every_default() -> None:
    cases = cases_of(["robust-norm", "hybrid"], direct={"epochs": 2})
    by_method = {case.method: case for case in cases}
    assert options_of(by_method["robust-norm"]) == {"percentile": 99.9, "definition": "all"}
    assert recipe_of(by_method["robust-norm"]) is None
    hybrid = recipe_of(by_method["hybrid"])
    assert hybrid is not None
    assert (hybrid.epochs, hybrid.optimiser, hybrid.learning_rate) == (2, "adamw", 5e-4)
    lines = in_force(cases, {"mnist-5k": made_up()}).splitlines()[2:]  # 120 images of each part
    assert [line.split(":")[0] for line in lines] == [
        "# mnist-5k, images", "# ann, training",
        "# robust-norm, options", "# robust-norm, calibration",
        "# hybrid, training", "# hybrid, options", "# hybrid, calibration",
    ]  # fmt: skip
    assert lines[0].endswith(
        'train_images = 120, validation_images = 120, test_images = 120, augmentation = "none"'
    )
    assert 'options: percentile = 99.9, definition = "all"' in lines[2]
    assert 'conversion = "robust-norm"' in lines[5]
    assert lines[3].endswith("calibration_images = 120")  # all there are; 1,000 by default
    assert "train_timesteps = 8, epochs = 2" in lines[4]
    both = cases_of(["robust-norm", "hybrid", "bptt"], calibration_images=7)
    asked = {case.method: case.calibration_images for case in both if case.arm != "ann"}
    assert asked == {"robust-norm": 7, "hybrid": 7, "bptt": None}
    few = cases_of(["robust-norm"], calibration_images=7, augmentation="flip-crop")
    said = in_force(few, {"mnist-5k": made_up()})
    assert "# robust-norm, calibration: calibration_images = 7\n" in said
    assert 'augmentation = "flip-crop"' in said


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"options": {"bptt": {"nosuch": 99}}}, "bptt has no option 'nosuch'"),
        (
            {"variants": {"idle": {"method": "bptt", "options": {"nosuch": 3}}}},
            "idle: bptt has no option 'nosuch'",
        ),
        ({"paper": [{"measure": "speed"}]}, "unknown measure 'speed' in a [[paper]] row; known: a"),
    ],
)
def test_what_is_said_of_methods_that_do_not_run_is_checked_too(
    keys: dict[str, Any], line: str
) -> None:
    own = {"name": "s", "datasets": ["mnist-5k"], "architectures": ["lenet"]}
    study = build_study({**own, "methods": ["robust-norm"], **keys}, where="test")
    with pytest.raises(StudyError, match=re.escape(line)):
        check_unused(study)


@pytest.mark.parametrize("name", builtin_studies())
def test_every_built_in_study_says_nothing_unknown(name: str) -> None:
    check_unused(load_study(name))
