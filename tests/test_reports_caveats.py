"""What a reader is told of seeds, machines, images and files, each from as few facts as it takes"""

from types import SimpleNamespace

import numpy as np
import pytest

from reports.caveats import _at_the_end, _no_spread, _seeds
from reports.caveats_of_cases import _datasets, _incomplete, _mixtures
from reports.iso import Estimate
from reports.metrics import NOT_REACHED, TOLERANCES

PLAIN = {"processor": "a", "precision": "float32"}


def curve(label="m", seeds=(0,), images=400, cases=()):
    return SimpleNamespace(label=label, seeds=seeds, images=images, cases=cases, arm="converted")


def case(arm="converted", correctness=True, **facts):
    kept = object() if correctness else None
    return SimpleNamespace(facts=facts, specification={"arm": arm}, correctness=kept)


def analysis(curves=(), cases=()):
    named = {f"case-{place}": found for place, found in enumerate(cases)}
    return SimpleNamespace(curves=curves, study=SimpleNamespace(cases=named))


def seeds_of(*counts):
    return _seeds(analysis([curve(f"m{n}", range(n)) for n in counts]))


def test_few_seeds_are_said_and_which_have_one():
    assert seeds_of(1, 1)[0].startswith("One seed: intervals show the uncertainty of the test")
    assert seeds_of(1, 3) == ["One seed only: m1."]
    assert seeds_of(2, 4)[0].startswith("2 seeds: t-intervals over so few are wide")
    assert seeds_of(4, 6)[0].startswith("4 seeds:")
    assert seeds_of(5, 6) == []


def test_cases_of_different_machines_do_not_compare_in_time():
    words = "Cases were run on different machines; their times do not compare."
    two = [case(machine=PLAIN), case(machine=PLAIN | {"processor": "b"})]
    assert words in _mixtures(analysis(cases=two))
    alike = [case(machine=PLAIN), case(machine=PLAIN | {"threads": 2})]
    assert words not in _mixtures(analysis(cases=alike))


def test_versions_that_differ_are_named_and_no_others():
    two = [case(versions={"torch": "2.8", "numpy": "2.0"}),
           case(versions={"torch": "2.9", "numpy": "2.0"})]  # fmt: skip
    assert _mixtures(analysis(cases=two)) == ["Cases were run with different versions of torch."]
    assert _mixtures(analysis(cases=[two[0], two[0]])) == []


def test_precisions_that_differ_are_named():
    two = [case(machine=PLAIN), case(machine=PLAIN | {"precision": "bfloat16"})]
    assert "Cases differ in precision: bfloat16, float32." in _mixtures(analysis(cases=two))


@pytest.mark.parametrize(
    ("arithmetic", "begins"),
    [
        (("int16: fixed point", "int24: fixed point"), "Trained in float32, where another"),
        (("int16: fixed point", "float32"), "Trained in float32, swept in float32 (m;"),
        (("", ""), "Trained in float32:"),
    ],
)
def test_every_spiking_sweep_is_in_whole_numbers_or_none_is_said_to_be(arithmetic, begins):
    cases = [case("ann", machine=PLAIN)]
    cases += [case(machine=PLAIN | {"sweep_arithmetic": words}) for words in arithmetic]
    swept = [curve(cases=("case-1",)), curve(cases=("case-2",))]
    (line,) = [w for w in _mixtures(analysis(swept, cases)) if "may differ" in w]
    assert line.startswith(begins)


def test_different_numbers_of_test_images_are_said():
    two = [curve(images=400), curve(images=100)]
    assert _mixtures(analysis(two)) == [
        "Cases were tested on different numbers of images: [100, 400]."
    ]
    assert _mixtures(analysis(two[:1] * 2)) == []


def test_cases_without_per_image_results_are_counted():
    kept, bare = case(), case(correctness=False)
    names = [f"case-{place}" for place in range(4)]  # the last has no files
    (words,) = _incomplete(analysis([curve(cases=names)], [kept, bare, kept]))
    assert words.startswith("2 of 4 cases kept no per-image results")
    assert _incomplete(analysis([curve(cases=names[:1])], [kept])) == []


def test_only_what_is_known_to_differ_is_called_a_copy():
    def words(**facts):
        return _datasets(analysis(cases=[case(dataset={"name": "mnist"} | facts)]))

    assert words(official=False) == ["mnist is a copy that differs from the official files."]
    assert words(official=False, note="92 rebuilt") == [
        "mnist is a copy that differs from the official files (92 rebuilt)."
    ]
    assert words(official=None, note="made up.") == ["About mnist: made up."]
    assert words(official=True) == words(official=None) == []


def test_seeds_that_agree_to_the_image_are_said_to_be_few():
    def swept(label, *accuracies):
        found = curve(label, range(len(accuracies)))
        found.measures, found.report_timestep = {"accuracy": np.array(accuracies)}, 8
        found.index = [4, 8].index
        return found

    found = analysis()
    alike, apart = swept("alike", [0.1, 0.9], [0.2, 0.9]), swept("apart", [0.1, 0.9], [0.1, 0.8])
    found.networks = {"lenet": [alike, apart, swept("one", [0.1, 0.9])]}
    (words,) = _no_spread(found)
    assert words.startswith("All seeds have the same accuracy at the T that is reported: alike (")
    assert "apart" not in words
    assert "one (" not in words


@pytest.mark.parametrize(
    ("steps", "said"), [(8, True), (9, False), (4, False), (NOT_REACHED, False)]
)
def test_steps_at_the_end_of_a_sweep_are_said_to_be_so(steps, said):
    place = TOLERANCES.index(1.0)
    within = [Estimate(1, 1, 1, 1, 400) for _ in TOLERANCES]
    within[place] = Estimate(steps, steps, steps, 1, 400)
    pace = SimpleNamespace(
        curve=SimpleNamespace(label="m", latency=np.array([4, 8])), within=within, trained=()
    )
    found = analysis()
    found.paces = {"lenet": [pace]}
    lines = [line.partition(".")[0] for line in _at_the_end(found)]
    assert lines == ["T*(1 point) is the last T of the sweep: m (lenet)"] * said
