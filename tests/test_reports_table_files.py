"""Files of tables, of several studies side by side."""

import re

import reports
from reports.analysis import Analysis
from reports.page_tables import page_tables
from tests.synthetic_study import write_study


def test_tables_of_two_studies_have_labels_and_units_of_their_own(tmp_path):
    analysis = Analysis(reports.study(write_study(tmp_path, seeds=1, timesteps=(1, 2, 4, 8))))
    tables = [page_tables(analysis, key, f"{key}-", tmp_path) for key in ("one", "one~2")]
    texts = [path.read_text("utf-8") for path in sorted((tmp_path / "tables").glob("*.tex"))]
    labels = [re.search(r"\\label\{(.*)\}", text).group(1) for text in texts]
    assert len(set(labels)) == len(labels) == sum(map(len, tables))
    assert {"tab:one-summary", "tab:one-2-summary"} <= set(labels)
    header = (tmp_path / "tables" / "one-summary.csv").read_text("utf-8").splitlines()[0]
    assert '"Energy per image (pJ, model)"' in header
    energy = (tmp_path / "tables" / "one-energy.csv").read_text("utf-8").splitlines()[0]
    assert "(per image)" not in energy
    assert energy.count("(pJ per image)") == 6
    paper = (tmp_path / "tables" / "one-paper.csv").read_text("utf-8").splitlines()[1]
    assert "accuracy (%)" in paper
