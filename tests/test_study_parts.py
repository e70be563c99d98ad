"""Studies in parts, on another's base, and cut down."""

import pytest

from compare.cases import expand
from compare.changes import changed
from compare.method_facts import method_facts
from compare.study import Study, StudyError, load_study, parse_study
from compare.without_effect import check_settings


def part_study(text: str) -> Study:
    return parse_study(text, "mine", where="test")


def test_parts_share_what_they_do_not_set() -> None:
    study = part_study(
        "seeds = 1\ntimesteps = 8\nmethods = ['bptt']\n"
        "parts = [{datasets = ['mnist']}, {datasets = ['svhn'], timesteps = 4, seeds = 2}]"
    )
    first, second = study.divided()
    assert (first.datasets, first.timesteps, first.seeds) == (("mnist",), 8, (0,))
    assert (second.datasets, second.timesteps, second.seeds) == (("svhn",), 4, (0, 1))
    assert study.every("datasets") == ("mnist", "svhn")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parts = [{precision = 'int8'}]", "a part cannot set precision; allowed: ann"),
        ("parts = [{timesteps = 0}]", "timesteps: Input should be greater than or equal to 1"),
        ("parts = [{datasets = ['mnits']}]", "unknown dataset 'mnits'"),
        ("base = 'nothing'", "base must be a built-in study"),
        ("[events.nmnist]\ntimesteps = 0", "events.nmnist.timesteps"),
    ],
)
def test_a_bad_part_or_base_is_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        part_study(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_base_has_otherwise_than_its_source_comes_first() -> None:
    base = load_study("lee2020-table9").differences
    assert base
    assert part_study("base = 'lee2020-table9'").differences == base
    own = part_study("base = 'lee2020-table9'\ndifferences = ['one epoch']").differences
    assert own == (*base, "one epoch")
    over_two = part_study("base = 'lee2020-table8'\ndifferences = ['one epoch']").differences
    assert over_two == (*load_study("lee2020-table8").differences, "one epoch")
    with pytest.raises(StudyError, match=r"differences: .* got 'one epoch'"):
        part_study("base = 'lee2020-table9'\ndifferences = 'one epoch'")


def test_a_base_gives_settings_but_not_words() -> None:
    study = part_study("base = 'lee2020-table9'\nseeds = 1")
    base = load_study("lee2020-table9")
    assert (study.parts, study.methods, study.ann) == (base.parts, base.methods, base.ann)
    assert (study.title, study.paper, study.expected_minutes) == ("", (), None)
    assert study.seeds == (0,)


def test_conversions_refuse_recordings_in_one_line() -> None:
    study = part_study(
        "datasets = ['nmnist']\nmethods = ['robust-norm']\n[events.nmnist]\ntimesteps = 4"
    )
    with pytest.raises(StudyError, match="robust-norm starts from an ANN of images"):
        expand(study, method_facts(["robust-norm"]), sweep_precision="float32")


def test_a_variant_brings_the_ann_of_its_own_setting() -> None:
    study = part_study(
        "seeds = 1\nmethods = ['robust-norm', 'plain']\n"
        "[variants.plain]\nmethod = 'robust-norm'\nbatch_norm = false\nencoding = 'poisson'"
    )
    cases = expand(study, method_facts(["robust-norm"]), sweep_precision="float32")
    assert [(c.method, c.batch_norm, c.encoding) for c in cases] == [
        ("ann", True, "constant"),
        ("ann", False, "poisson"),
        ("robust-norm", True, "constant"),
        ("plain", False, "poisson"),
    ]
    assert [case.ann for case in cases[2:]] == cases[:2]


def test_a_variant_overrules_what_its_preset_demands_of_the_network() -> None:
    study = part_study(
        "seeds = 1\nbatch_norm = false\n"
        "methods = ['zheng2021', 'lee2020', 'wet', 'bptt', 'ledin']\n"
        "[variants.ledin]\nmethod = 'ledinauskas2020'\nbatch_norm = true\n"
        "[variants.wet]\nmethod = 'lee2020'\ndropout = 0.1"
    )
    facts = method_facts(["zheng2021", "lee2020", "bptt", "ledinauskas2020"])
    _, *cases = expand(study, facts, sweep_precision="float32")
    assert [(c.method, c.batch_norm, c.dropout) for c in cases] == [
        ("zheng2021", True, 0.0),
        ("lee2020", False, 0.2),
        ("wet", False, 0.1),
        ("bptt", False, 0.0),
        ("ledin", True, 0.5),
    ]


@pytest.mark.parametrize(
    ("method", "said", "reason"),
    [
        ("spike-bp", "true", "without batch norm"),
        ("lee2016", "true", "without batch norm"),
        ("zheng2021", "false", "with a norm of its own"),
        ("tet", "false", "with a norm of its own"),
    ],
)
def test_a_norm_that_the_rule_cannot_have_is_one_line(method: str, said: str, reason: str) -> None:
    study = part_study(
        f"methods = ['mine']\n[variants.mine]\nmethod = '{method}'\nbatch_norm = {said}"
    )
    with pytest.raises(StudyError) as caught:
        expand(study, method_facts([method]), sweep_precision="float32")
    assert str(caught.value) == (
        f"variant mine cannot have batch_norm = {said}: {method} trains networks {reason}"
    )


def test_a_study_cut_down_keeps_the_parts_and_numbers_that_still_apply() -> None:
    study = changed(load_study("lee2020-table7"), {"datasets": ["mnist"], "timesteps": 9})
    assert [(p.datasets, p.architectures, p.timesteps) for p in study.divided()] == [
        (("mnist",), ("lenet",), 9)
    ]
    assert [row.value for row in study.paper] == [99.57, 99.59, 99.59]
    with pytest.raises(StudyError, match="table7 has no part with 'cifar100'; it has: 'mnist"):
        changed(load_study("lee2020-table7"), {"datasets": ["cifar100"]})
    with pytest.raises(StudyError, match=r"has no part with '\\n'"):  # a name is said on one line
        changed(load_study("lee2020-table7"), {"datasets": ["\n"]})


def test_a_variant_may_say_constant_where_its_preset_says_otherwise() -> None:
    study = part_study(
        "seeds = 1\nbatch_norm = false\nmethods = ['lee2020', 'still']\n"
        "[variants.still]\nmethod = 'lee2020'\nencoding = 'constant'"
    )
    _, *cases = expand(study, method_facts(["lee2020"]), sweep_precision="float32")
    assert [(c.method, c.encoding) for c in cases] == [
        ("lee2020", "poisson"),
        ("still", "constant"),
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "[direct]\nmilestones = [2]",
            '[direct] milestones has an effect with schedule = "step" only; got bptt one-cycle',
        ),
        (
            '[direct]\nschedule = "cosine"\nwarm_up = 0.1',
            '[direct] warm_up has an effect with schedule = "one-cycle" or "triangle" only; got '
            "bptt cosine",
        ),
        ("[ann]\ngamma = 0.5", '[ann] gamma has an effect with schedule = "step" only; got ann'),
        (
            "[variants.mine]\nmethod = 'tdbn'\ntraining = { warm_up = 0.1 }",
            "[variants.mine] training warm_up has an effect with schedule",
        ),
        (
            "[direct]\nnesterov = true",
            '[direct] nesterov has an effect with optimiser = "sgd" only',
        ),
        (
            "batch_norm = false\n[direct]\nbias_rate = 2.0",
            "[direct] bias_rate has an effect with batch_norm = true only",
        ),
        (
            "batch_norm = false\n[direct]\nfixed_scales = true",
            "[direct] fixed_scales has an effect with batch_norm = true only",
        ),
        (
            "[variants.mine]\nmethod = 'hybrid'\ntraining = { whitened = true }",
            "[variants.mine] training whitened has an effect on networks that start fresh",
        ),
        (
            "[variants.mine]\nmethod = 'spike-bp'\ntraining = { identity = true }",
            "[variants.mine] training identity has an effect on networks that start fresh",
        ),
    ],
)
def test_a_setting_of_training_without_effect_is_refused(table: str, said: str) -> None:
    methods = "['bptt', 'mine']" if "mine" in table else "['bptt']"
    study = part_study(f"methods = {methods}\n{table}")
    facts = method_facts(["bptt", "tdbn", "hybrid", "spike-bp"])
    cases = expand(study, facts, sweep_precision="float32")
    with pytest.raises(StudyError) as caught:
        check_settings(study, cases)
    assert str(caught.value).startswith(said)
    none = part_study("methods = ['bptt']\n[direct]\nmilestones = []\nnesterov = false")
    check_settings(none, expand(none, method_facts(["bptt"]), sweep_precision="float32"))
    step = part_study("methods = ['bptt', 'lee2020']\n[direct]\nmilestones = [2]")  # one uses it
    check_settings(step, expand(step, method_facts(["bptt", "lee2020"]), sweep_precision="float32"))


def test_augmentation_of_recordings_is_refused() -> None:
    facts = method_facts(["bptt"])
    recordings = "datasets = ['nmnist']\nmethods = ['bptt']\nevents.nmnist.timesteps = 4\n"
    study = part_study(recordings + "augmentation = 'flip-crop'")
    with pytest.raises(StudyError, match=r"augmentation is for images.* got 'flip-crop'"):
        check_settings(study, expand(study, facts, sweep_precision="float32"))
    study = part_study(recordings + "augmentation = 'none'")
    check_settings(study, expand(study, facts, sweep_precision="float32"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "methods = ['bptt']\nencoding = 'events'",
            "encoding: mnist-5k holds images, for which constant, poisson, poisson-signed, "
            "poisson-total can be used; got events",
        ),
        (
            "methods = ['mine']\nvariants.mine = {method = 'bptt', encoding = 'events'}",
            "[variants.mine] encoding: mnist-5k holds images, for which constant, poisson, "
            "poisson-signed, poisson-total can be used; got events",
        ),
        (
            "methods = ['mine']\nvariants.mine = {method = 'bptt', encoding = 'poisson'}\n"
            "datasets = ['nmnist']\nevents.nmnist.timesteps = 4",
            "[variants.mine] encoding: nmnist holds recordings ([events.nmnist]), for which events "
            "can be used; got poisson",
        ),
    ],
)
def test_images_are_not_taken_as_recordings_nor_the_other_way_round(text: str, line: str) -> None:
    with pytest.raises(StudyError) as caught:
        expand(part_study(text), method_facts(["bptt"]), sweep_precision="float32")
    assert str(caught.value) == line
