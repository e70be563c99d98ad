"""Figures against depth where several families, or networks of several settings, stand in one."""

import json

import pandas as pd
import pytest

import reports
from reports import frame
from reports.analysis import Analysis
from reports.answers import answers
from reports.figures import FIGURES
from tests.synthetic_study import write_study

STEPS = (1, 4, 16)


def test_training_accuracy_is_that_of_the_family(tmp_path):
    networks = (("vgg5", 5), ("vgg9", 9), ("resnet5", 5), ("resnet9", 9))
    write_study(tmp_path, methods=("bptt",), seeds=1, timesteps=STEPS, networks=networks)
    trained = {"vgg": 0.9, "resnet": 0.3}
    for path in (tmp_path / "cases").glob("*/history.csv"):
        (family,) = (name for name in trained if f"-{name}" in path.parent.name)
        pd.read_csv(path).assign(train_accuracy=trained[family]).to_csv(path, index=False)
    rows = FIGURES["accuracy-depth"].prepare(Analysis(reports.study(tmp_path)))
    assert len(rows) == 8
    for row in rows.itertuples():
        assert row.train_accuracy == pytest.approx(trained[row.panel.split()[0]])


def of_width(directory, width):
    """A study of two depths whose cases say how wide their networks are."""
    directory.mkdir()
    networks = (("vgg5", 5), ("vgg9", 9))
    write_study(directory, methods=("bptt",), seeds=1, timesteps=STEPS, networks=networks)
    records = pd.read_csv(directory / "records.csv", dtype=str, keep_default_na=False)
    records["case"] += f"-{width}"
    records.to_csv(directory / "records.csv", index=False)
    for case in list((directory / "cases").iterdir()):
        facts = json.loads((case / "case.json").read_text("utf-8"))
        facts["spec"]["width"] = width
        (case / "case.json").write_text(json.dumps(facts), "utf-8")
        case.rename(case.with_name(f"{case.name}-{width}"))
    return reports.study(directory)


def test_networks_of_several_widths_are_a_family_each(tmp_path):
    widths = (0.5, 1.0)
    studies = [of_width(tmp_path / str(width), width) for width in widths]
    analysis = Analysis(frame.combine(studies, "both"))
    families = [f"vgg on mnist-5k (width {width})" for width in widths]
    for name in ("accuracy-depth", "timesteps-depth", "spikes-depth", "energy-depth"):
        rows = FIGURES[name].prepare(analysis)
        assert list(rows["panel"].unique()) == families
        assert not rows.duplicated(["panel", "label", "depth"]).any()
    found = [answer.network for answer in answers(analysis)]
    assert found[:2] == [f"{family}, by depth" for family in families]
