"""Figures against depth where several families, or networks of several settings, stand in one."""

import pandas as pd
import pytest

import reports
from reports.analysis import Analysis
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
