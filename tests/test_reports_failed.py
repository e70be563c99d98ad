"""Reports of studies in which all conversions and trainings of a network failed."""

import pandas as pd
import pytest

import reports
from reports import style
from reports.analysis import Analysis
from reports.figures import FIGURES, render
from reports.tables import all_tables
from tests.synthetic_study import write_study


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Studies in which nothing but the ANN has finished, of one network and of both."""
    made = []
    for lost in (["vgg7"], ["vgg5", "vgg7"]):
        home = write_study(
            tmp_path_factory.mktemp("failed"), methods=("data-norm", "bptt"), seeds=2,
            timesteps=(1, 2, 4), networks=(("vgg5", 5), ("vgg7", 7)), extras=True,
        )  # fmt: skip
        records = pd.read_csv(home / "records.csv", dtype=str, keep_default_na=False)
        kept = (records["arm"] == "ann") | ~records["architecture"].isin(lost)
        records[kept].to_csv(home / "records.csv", index=False)
        made.append(Analysis(reports.study(home)))
    return made


@pytest.mark.parametrize("name", FIGURES)
def test_a_network_with_its_ann_alone_fails_no_figure(name, failed, tmp_path):
    for analysis in failed:
        rows = FIGURES[name].prepare(analysis)
        if len(rows):
            style.save(render(FIGURES[name], rows), tmp_path, name)


def test_a_network_with_its_ann_alone_fails_no_table(failed):
    for analysis in failed:
        (summary,) = [table for table in all_tables(analysis) if table.name == "summary"]
        assert {row[0].text for row in summary.rows} == {
            "vgg5 on mnist-5k",
            "vgg7 on mnist-5k",
        }
