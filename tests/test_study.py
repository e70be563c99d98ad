"""Study files: defaults, errors in one line, and the way there and back through TOML."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare.study import (
    Study,
    StudyError,
    build_study,
    builtin_studies,
    load_study,
    parse_study,
)
from compare.toml_text import to_toml


def test_first_look_comes_first_and_is_the_contract() -> None:
    assert builtin_studies()[0] == "first-look"
    study = load_study("first-look")
    assert study.datasets == ("mnist-5k",)
    assert study.architectures == ("lenet",)
    assert study.methods == ("data-norm", "robust-norm", "spike-norm", "bptt")
    assert study.seeds == (0, 1, 2)
    assert study.timesteps == 64


@pytest.mark.parametrize("name", builtin_studies())
def test_every_builtin_study_parses_and_says_what_it_shows(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.title
    assert study.expected_minutes is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methds = ['bptt']", ["unknown key 'methds'", "'methods'"]),
        ("methods = ['robust-nrom']", ["unknown method 'robust-nrom'", "'robust-norm'", "bptt"]),
        ("datasets = ['cifr10']", ["unknown dataset 'cifr10'", "'cifar10'", "mnist-5k"]),
        ("architectures = ['lent']", ["unknown architecture 'lent'", "'lenet'"]),
        ("architectures = ['mlp-0-300']", ["unknown architecture 'mlp-0-300'", "'mlp-300-300'"]),
        ("methods = []", ["methods", "at least one"]),
        ("seeds = 0", ["seeds", "at least one"]),
        ("seeds = [1, 1]", ["seeds", "twice"]),
        ("seeds = true", ["seeds"]),
        ("seeds = 2147483647", ["at most 10000 seeds"]),
        ("timesteps = 0", ["timesteps", "greater than or equal to 1", "got 0"]),
        ("[ann]\nepochs = -1", ["ann.epochs", "-1"]),
        ("[ann]\nepochs = true", ["ann.epochs: must be a number, got True"]),
        ("[ann]\nepochs = '2'", ["ann.epochs: must be a number, got '2'"]),
        ("[ann]\nlearning_rate = inf", ["ann.learning_rate", "finite", "got inf"]),
        ("[ann]\nlearning_rate = nan", ["ann.learning_rate", "finite", "got nan"]),
        ("[ann]\nnesterov = 1", ["ann.nesterov: must be true or false, got 1"]),
        ("timesteps = true", ["timesteps: must be a number, got True"]),
        ("timesteps = '8'", ["timesteps: must be a number, got '8'"]),
        ("train_timesteps = [true]", ["train_timesteps: must be a number, got [True]"]),
        ("seeds = [true, 2]", ["seeds", "must be a number"]),
        ("width = true", ["width: must be a number, got True"]),
        ("dropout = false", ["dropout: must be a number, got False"]),
        ("batch_norm = 1", ["batch_norm: must be true or false, got 1"]),
        ("batch_norm = 'yes'", ["batch_norm: must be true or false, got 'yes'"]),
        ("[events.nmnist]\ntimesteps = true", ["events.nmnist.timesteps: must be a number"]),
        ("[ann]\nepoch = 1", ["unknown key 'ann.epoch'", "'epochs'"]),
        ("[variants.ann]\nmethod = 'bptt'", ["variant 'ann'", "name of its own"]),
        ("[variants.qcfs-ann]\nmethod = 'bptt'", ["variant 'qcfs-ann'", "name of its own"]),
        ("[variants.bptt]\nmethod = 'bptt'", ["variant 'bptt'", "name of its own"]),
        ("methods = ", ["not valid TOML"]),
        ("name = '../x'", ["name"]),
        ("options = " + "[" * 20_000, ["study file mine.toml", "too deep"]),
        (
            "precision = 'int8'\nsweep_precision = 'float32'",
            ["sweep_precision", '"auto" or "int8"', "got 'float32'"],
        ),
    ],
)
def test_a_bad_study_is_one_line_with_what_is_allowed(text: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_study(text, "mine", where="study file mine.toml")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_precision_of_sweeps_may_be_said_twice() -> None:
    for sweeps in ("auto", "int8"):
        study = build_study(
            {"name": "mine", "precision": "int8", "sweep_precision": sweeps}, where="here"
        )
        assert study.sweep_precision == sweeps


@pytest.mark.parametrize("file", ["my study.toml", "étude.toml"])
def test_the_name_of_a_file_that_is_none_for_a_study(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text("seeds = 1\n")
    with pytest.raises(StudyError, match=f'write name = "..." into it.*got {path.stem!r}$'):
        load_study(str(path))
    path.write_text('name = "mine"\n')
    assert load_study(str(path)).name == "mine"


def test_a_mark_in_front_of_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbfseeds = 1\n")
    assert load_study(str(tmp_path / "mine.toml")).seeds == (0,)


def test_a_published_number_stays_as_it_is_written() -> None:
    written = {"name": "a", "paper": [{"value": 14}, {"value": 99.0, "timestep": 4}]}
    study = build_study(written, where="test")
    assert to_toml(study).split("[[paper]]")[1:] == [
        "\nvalue = 14\n\n", "\nvalue = 99.0\ntimestep = 4\n",
    ]  # fmt: skip


def test_an_unknown_study_lists_the_built_in_ones() -> None:
    with pytest.raises(StudyError, match=r"did you mean 'first-look'\?.*TOML file"):
        load_study("first-lok")


def test_a_study_survives_toml() -> None:
    study = build_study(
        {
            "name": "mine",
            "title": 'quotes " and \\ and\nlines and θ',
            "seeds": [3, 1],
            "variants": {"steep": {"method": "bptt", "options": {"gamma": 100.0}}},
            "methods": ["steep", "robust-norm"],
            "options": {"robust-norm": {"percentile": 99.0}},
            "ann": {"epochs": 2, "milestones": [1]},
            "paper": [{"method": "ann", "value": 14, "unit": "steps", "source": "table 7"}],
        },
        where="test",
    )
    assert parse_study(to_toml(study), "other", where="test") == study


@settings(deadline=None)  # a busy machine is no error
@given(st.text(), st.floats(min_value=0.01, max_value=10), st.booleans())
def test_any_text_survives_toml(text: str, width: float, batch_norm: bool) -> None:
    encodable = text.encode("utf-8", "ignore").decode()
    study = Study(name="a", description=encodable, width=width, batch_norm=batch_norm)
    assert parse_study(to_toml(study), "a", where="test") == study


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'variants = {a = {method = "bptt", optionz = {}}}',
            "mean 'options'? known: method,",
        ),
        ('variants = {a = {method = "bptt", training = {epoch = 1}}}', "known: epochs, batch_size"),
        ("[events.nmnist]\ntimesteps = 2\nframes = 3", "known: timesteps, size"),
        ("bas = 'first-look'", "did you mean 'base'?"),
        ("seeds = 1.5", "must be a number of seeds or a list of seeds, got 1.5"),
        ("train_timesteps = 4", "should be a list, got 4"),
        ("train_timesteps = [2, 2]", "train_timesteps: names one entry twice"),
        *(
            (
                f"variants = {{a = {{method = 'bptt', train_timesteps = {steps}}}}}",
                "variants.a.train_timesteps: must be timesteps of at least 1",
            )
            for steps in ([], [0], [4, -3])
        ),
        ("paper = [{}, {nokey = 3}]", "[[paper]] row 2: unknown key 'nokey'; known: dataset, a"),
        ("paper = [{timestep = 'x'}]", "[[paper]] row 1: timestep: must be a number, got 'x'"),
        ("paper = [{}, {value = [1, 2]}]", "[[paper]] row 2: value: must be a number, got [1, 2]"),
        ("paper = [{label = 3}]", "[[paper]] row 1: label: Input should be a valid string, got 3"),
    ],
)
def test_what_is_known_is_that_of_the_table_and_lists_are_called_so(text: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "mine", where="mine.toml")
    assert words in str(caught.value)
