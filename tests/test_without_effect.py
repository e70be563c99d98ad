"""Settings that no case of a study would use are refused in one line."""

import pytest

from compare.cases import expand
from compare.changes import changed
from compare.method_facts import method_facts
from compare.study import Study, StudyError, parse_study
from compare.without_effect import check_settings

OWN = "architectures = ['net.py:net']\n"


def parsed(text: str) -> Study:
    return parse_study("seeds = 1\n" + text, "mine", where="test")


def check(study: Study) -> None:
    facts = method_facts(sorted({study.base_method(name) for name in study.every("methods")}))
    check_settings(study, expand(study, facts, sweep_precision="int24"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (OWN + "width = 7.0", "width has an effect on registered architectures only: beside net.p"),
        (OWN + "dropout = 0.5", "dropout has an effect on registered architectures only: beside n"),
        (
            OWN + "batch_norm = false",
            "batch_norm has an effect on registered architectures only: beside net.py:net it can "
            "be true or left out; got false",
        ),
        (
            "parts = [{architectures = ['net.py:net'], width = 0.5}, {}]",
            "width has an effect on registered architectures only",
        ),
        (
            OWN + "methods = ['a']\nvariants.a = {method = 'bptt', dropout = 0.5}",
            "[variants.a] dropout has an effect on registered architectures only; got net.py:net",
        ),
        (
            "variants.a = {method = 'srp', training = {epochs = 3}}",
            "[variants.a] epochs has an effect on methods of direct training only, and srp is a "
            "conversion: [ann] trains what it starts from",
        ),
        (
            "variants.a = {method = 'srp', train_timesteps = [4]}",
            "[variants.a] train_timesteps has an effect on methods of direct training only",
        ),
        (
            "methods = ['bptt']\nparts = [{ann = {milestones = [2]}}, {}]",
            '[[parts]] ann milestones has an effect with schedule = "step" only; got ann one-cycle',
        ),
        (
            "methods = ['bptt']\nparts = [{direct = {momentum = 0.5}}, {timesteps = 9}]",
            '[[parts]] direct momentum has an effect with optimiser = "sgd" only; got bptt adamw',
        ),
        (
            "methods = ['hybrid', 'diet']\ndirect = {bias_rate = 2.0}",
            "[direct] bias_rate has an effect on networks with batch norm only, and a converted "
            "one has it folded into its weights; got hybrid, diet",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(text: str, line: str) -> None:
    with pytest.raises(StudyError) as caught:
        check(parsed(text))
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        "architectures = ['net.py:net', 'lenet']\nwidth = 0.5\nbatch_norm = false",
        "width = 0.5\nparts = [{architectures = ['net.py:net']}, {}]",
        OWN + "width = 1.0\ndropout = 0.0\nbatch_norm = true",
        OWN + "methods = ['lee2020']",  # the preset's own dropout
        "methods = ['hybrid', 'bptt']\ndirect = {bias_rate = 2.0}",
        "parts = [{ann = {milestones = [2], schedule = 'step'}}, {}]",
        "ann = {milestones = [2]}\nparts = [{ann = {milestones = [2], schedule = 'step'}}]",
        "methods = ['a', 'bptt']\nvariants.a = {method = 'bptt', training = {schedule = 'step'}}\n"
        "direct = {milestones = [2]}",
    ],
)
def test_what_one_case_uses_is_taken(text: str) -> None:
    check(parsed(text))


def test_own_networks_given_by_command_leave_what_the_study_builds_its_own_with() -> None:
    study = parsed("width = 0.5\nparts = [{dropout = 0.5, timesteps = 9}]")
    own = changed(study.model_copy(update={"parts": ()}), {"architectures": ["net.py:net"]})
    assert own.width == 1.0
    check(own)
    assert changed(study, {"architectures": ["lenet"]}).divided()[0].dropout == 0.5
