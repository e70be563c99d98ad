"""Reading a study directory."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reports
from reports.curves import CurveError, curves, fastest, in_use, reference, up_to_training
from reports.frame import COLUMNS, StudyError, combine
from reports.iso import paces
from reports.metrics import NOT_REACHED, TOLERANCES, sustained_timesteps
from reports.resampling import Samples
from tests.synthetic_study import IMAGES, write_study


@pytest.fixture
def directory(tmp_path):
    return write_study(tmp_path, methods=("data-norm", "bptt"), seeds=2, timesteps=(1, 2, 4, 8))


def test_import_is_light():
    code = (
        "import sys, reports\n"
        "heavy = {'torch', 'pandas', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import reports.page, reports.tables, reports.figures\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_report_is_rebuilt_without_torch(directory, tmp_path):
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['torchvision'] = None  # an import of them raises\n"
        "from reports import page\n"
        "page.FIGURES = {'energy': page.FIGURES['energy']}  # one is enough to test this\n"
        "from compare.__main__ import main\n"
        f"sys.argv = ['isospike', 'report', {str(directory)!r}, '--out', {str(tmp_path / 'r')!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "index.html").is_file()


def test_records_have_the_columns_of_the_contract(directory):
    records = reports.load(directory)
    assert list(records.columns) == list(COLUMNS)
    assert len(records) == 2 * (1 + 4 + 4)  # seeds * (ANN + two sweeps of four T)
    ann = records[records["arm"] == "ann"]
    assert ann["train_timesteps"].isna().all()
    assert ann["spikes_per_image"].isna().all()  # a missing value is not 0
    assert (ann["timestep"] == 0).all()
    assert str(records["train_timesteps"].dtype) == "Int64"


def test_the_rest_is_read_when_asked_for(directory):
    study = reports.study(directory)
    assert study.name == "made-up"
    assert study.papers[0]["value"] == 99.57
    case = study.cases["bptt-lenet-0-T8"]
    assert case.specification["method"] == "bptt"
    assert case.correctness is not None
    assert case.correctness.correct.shape == (4, IMAGES)
    assert study.layers is not None
    assert set(study.layers["case"]) == set(study.cases) - {"ann-lenet-0", "ann-lenet-1"}
    assert study.history is not None
    assert study.stacked("errors.csv") is None


def test_what_is_no_study_is_said_in_one_line(tmp_path):
    with pytest.raises(StudyError, match="no such study directory"):
        reports.load(tmp_path / "nowhere")
    with pytest.raises(StudyError, match=r"has no records\.csv"):
        reports.load(tmp_path)
    (tmp_path / "study.toml").touch()
    with pytest.raises(StudyError, match="has no records yet: its own `isospike compare` writes"):
        reports.load(tmp_path)
    (tmp_path / "records.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match="lacks the columns study, dataset"):
        reports.load(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("accuracy", "1.5", "0 to 1"),
        ("accuracy", "-0.01", "0 to 1"),
        ("accuracy", "", "0 to 1"),
        ("arm", "hybrid", "ann, converted, direct; got 'hybrid'"),
        ("timestep", "few", "column timestep must hold whole numbers"),
        ("timestep", "", "column timestep must hold whole numbers"),
    ],
)
def test_bad_values_are_named(directory, column, value, message):
    path = directory / "records.csv"
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    raw.loc[3, column] = value
    raw.to_csv(path, index=False)
    with pytest.raises(StudyError, match=message):
        reports.load(directory)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_none_and_all_of_the_images_are_accuracies(directory, accuracy):
    records = pd.read_csv(directory / "records.csv").assign(accuracy=accuracy)
    records.to_csv(directory / "records.csv", index=False)
    assert (reports.load(directory)["accuracy"] == accuracy).all()


def test_empty_and_twice(directory):
    path = directory / "records.csv"
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    pd.concat([raw, raw.iloc[[4]].assign(accuracy="0.125")]).to_csv(path, index=False)
    with pytest.raises(StudyError, match="twice"):
        reports.load(directory)
    raw.iloc[:0].to_csv(path, index=False)
    with pytest.raises(StudyError, match="no case of the study has finished"):
        reports.load(directory)


def test_other_formats_of_a_case_are_refused(directory):
    path = directory / "cases" / "ann-lenet-0" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(StudyError, match="format must be 1; got 2"):
        reports.load(directory)


CASE = "cases/ann-lenet-0"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("records.csv", b"study\xff,case\n", "cannot be read: .*utf-8"),
        ("records.csv", b"study,case\n1,2,3,4\n1,2,3,4,5\n", "cannot be read: .*Expected"),
        ("study.toml", b"name = '\xff'", "cannot be read: .*utf-8"),
        (f"{CASE}/case.json", b"[]", "must hold an object; got list"),
        (f"{CASE}/case.json", b'{"format": 1, "spec": [1]}', r"spec must be an object; got \[1\]"),
        (f"{CASE}/case.json", b"{\xff", "cannot be read: .*utf-8"),
        (f"{CASE}/case.json", b"{", "is not JSON"),
        (f"{CASE}/sweep.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read: .*Expected"),
        (f"{CASE}/sweep.csv", b"", "cannot be read: No columns"),
    ],
)
def test_a_broken_file_is_named(directory, file, content, words):
    (directory / file).write_bytes(content)
    with pytest.raises(StudyError, match=rf"{file}:? {words}"):
        _ = reports.study(directory).sweeps


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.9])
def test_half_an_archive_is_named(directory, share):
    path = directory / CASE / "correct.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    case = reports.study(directory).cases["ann-lenet-0"]
    with pytest.raises(StudyError, match=r"ann-lenet-0/correct\.npz cannot be read: \w"):
        _ = case.correctness


def test_per_image_results_without_their_labels_are_named(directory):
    path = directory / CASE / "correct.npz"
    with np.load(path) as kept:
        arrays = {name: kept[name] for name in kept.files if name not in ("labels", "predicted")}
    np.savez(path, **arrays)
    case = reports.study(directory).cases["ann-lenet-0"]
    with pytest.raises(StudyError, match=r"ann-lenet-0/correct\.npz lacks labels, predicted"):
        _ = case.correctness


def test_cases_of_other_studies_are_left_alone_and_the_title_is_that_of_the_file(directory):
    other = directory / "cases" / "other-lenet-0" / "case.json"
    other.parent.mkdir()
    other.write_text("of no format of ours")
    study = reports.study(directory)
    assert "other-lenet-0" not in study.cases
    assert len(study.cases) == 6
    assert (study.name, study.title) == ("made-up", "A made-up study")


def test_a_mark_in_front_of_the_settings(directory):
    path = directory / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert reports.study(directory).settings["name"]


def test_curves_group_seeds_and_tell_settings_apart(tmp_path):
    write_study(
        tmp_path, methods=("bptt",), seeds=2, timesteps=(1, 2, 4, 8), train_timesteps=(2, 4)
    )
    found = curves(reports.study(tmp_path))
    assert [curve.label for curve in found] == ["ANN", "bptt (T=2)", "bptt (T=4)"]
    assert [curve.report_timestep for curve in found] == [0, 2, 4]
    assert all(curve.seeds == (0, 1) for curve in found)
    assert found[1].measures["accuracy"].shape == (2, 4)
    assert reference(found) is found[0]
    with pytest.raises(CurveError, match="must be in the sweep"):
        found[1].index(3)


def test_options_that_differ_make_curves_of_their_own(directory):
    for seed, gamma in ((0, 1.0), (1, 10.0)):
        path = directory / "cases" / f"bptt-lenet-{seed}-T8" / "case.json"
        facts = json.loads(path.read_text())
        facts["spec"]["options"] = {"gamma": gamma}
        path.write_text(json.dumps(facts))
    labels = [curve.label for curve in curves(reports.study(directory))]
    assert labels[-2:] == ["bptt (gamma=1.0)", "bptt (gamma=10.0)"]


def test_of_several_settings_the_method_itself_has_its_own_look(directory):
    path = directory / "cases" / "data-norm-lenet-0" / "case.json"
    facts = json.loads(path.read_text())
    facts["spec"] |= {"method": "data-norm-plain", "base": "data-norm"}
    path.write_text(json.dumps(facts))
    records = pd.read_csv(directory / "records.csv")
    records.loc[records["case"] == path.parent.name, "method"] = "data-norm-plain"
    records.to_csv(directory / "records.csv", index=False)
    own = [curve for curve in curves(reports.study(directory)) if curve.base == "data-norm"]
    assert [(curve.method, curve.variant) for curve in own] == [
        ("data-norm-plain", 1),  # first in the records
        ("data-norm", 0),
    ]


def test_studies_together_count_a_case_once_and_tell_runs_apart(directory):
    study = reports.study(directory)
    assert len(combine([study, study], "both").records) == len(study.records)
    moved = study.records.assign(study="other", case="other-" + study.records["case"])
    direct_only = moved[moved["method"] == "bptt"]
    other = replace(study, name="other", records=direct_only, cases={})
    labels = [curve.label for curve in curves(combine([study, other], "both"))]
    assert labels == ["ANN", "data-norm", "bptt (made-up)", "bptt (other)"]


def test_fastest_prefers_steps_then_accuracy(directory):
    found = curves(reports.study(directory))
    direct = found[-1]
    assert fastest(found, "direct", 0.5) is direct
    assert sustained_timesteps(direct.timesteps, direct.accuracy, 0.5) == 1
    assert fastest(found[:1], "direct", 0.5) is None


def test_leaving_the_range_beyond_the_training_steps_is_no_sustained_value(directory):
    ann, _, direct = curves(reports.study(directory))
    falling = replace(
        direct,
        timesteps=np.array([1, 2, 4, 8]),
        train_timesteps=2,
        measures=direct.measures | {"accuracy": np.array([[0.5, 0.95, 0.94, 0.7]])},
    )
    assert in_use(falling, 0.9).timesteps.tolist() == [1, 2]
    assert in_use(falling, 0.6) is falling  # kept to the end: the whole sweep counts
    assert in_use(falling, 0.96) is falling  # never there
    converted = replace(falling, arm="converted")
    assert in_use(converted, 0.9) is converted
    assert up_to_training(converted) is None
    exact = replace(ann, measures=ann.measures | {"accuracy": np.array([[0.91]])})
    (pace,) = paces([exact, falling], Samples())
    place = TOLERANCES.index(1.0)
    assert pace.within[place].value is NOT_REACHED  # at 0.7 by T = 8: not sustained
    found = pace.trained[place]
    assert (found.value, found.until) == (2, 4)  # there from T = 2, last at T = 4
    lasting = replace(falling, measures=direct.measures | {"accuracy": np.array([[0, 1, 1, 1.0]])})
    (pace,) = paces([exact, lasting], Samples())
    assert (pace.within[place].value, pace.trained[place].value) == (2, 2)
    assert pace.trained[place].until is None
