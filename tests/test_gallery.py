"""The gallery and the notebook's calls: figures onto axes, tables as DataFrames."""

import csv
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas

import reports
from reports import gallery
from reports.analysis import Analysis
from reports.figures import FIGURES
from reports.lookup import UnknownNameError
from reports.notebook import NoDataError
from reports.tables import all_tables
from reports.writers import to_csv
from tests.synthetic_study import write_study

ROOT = Path(__file__).resolve().parent.parent
RECEIPTS = [
    ROOT / "docs" / "receipts" / name
    for name in ("timesteps-mnist5k", "depth-mnist5k", "lee2016-inhibition")
]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    return Analysis(reports.study(write_study(home, seeds=2, timesteps=(1, 2, 4, 8))))


def test_the_page_shows_every_figure_with_the_command_beside_it():
    text = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    sections = {part.split("\n", 1)[0]: part for part in text.split("\n## ")[1:]}
    for name, figure in FIGURES.items():
        section = sections[figure.title]
        assert f"](gallery/{name}.png)" in section
        assert re.search(r"^isospike compare .+$", section, re.MULTILINE), name
        assert f'reports.draw("{name}", study' in section
        assert 'study = reports.study("docs/receipts/' in section
    images = {path.name for path in (ROOT / "docs" / "gallery").iterdir()}
    assert images == set(re.findall(r"\]\(gallery/([^)]+)\)", text))
    assert sum(p.stat().st_size for p in (ROOT / "docs" / "gallery").iterdir()) < 3_000_000


def test_the_kept_studies_have_data_for_every_figure():
    found = gallery.entries([Analysis(reports.study(home)) for home in RECEIPTS])
    assert set(found) == set(FIGURES)
    assert all(e.rows["panel"].nunique() <= gallery.MOST_PANELS for e in found.values())


def test_studies_without_the_data_are_refused(analysis, tmp_path):
    with pytest.raises(gallery.GalleryError, match="none of the studies has data for"):
        gallery.build([analysis.study.directory], tmp_path, "a command")
    assert not list(tmp_path.iterdir())


def test_a_section_says_how_it_was_made(analysis, tmp_path, monkeypatch):
    few = {name: FIGURES[name] for name in ("accuracy-timesteps", "energy")}
    monkeypatch.setattr(gallery, "FIGURES", few)
    text = gallery.build([analysis.study.directory], tmp_path, "a command").read_text("utf-8")
    assert "Written by `a command`" in text
    assert text.count("isospike compare made-up") == 2
    names = sorted(path.name for path in (tmp_path / "gallery").iterdir())
    assert names == ["accuracy-timesteps-slide.png", "accuracy-timesteps.png", "energy.png"]


def test_a_figure_onto_axes_of_the_readers(analysis):
    ax = Canvas().subplots()
    assert reports.draw("accuracy-timesteps", analysis, ax) is ax
    assert ax.get_xlabel() == "timesteps T"
    assert {line.get_label() for line in ax.lines} >= {"ANN", "bptt"}


def test_a_figure_of_its_own_from_a_directory(analysis):
    canvas = reports.draw("energy", analysis.study.directory)
    assert len(canvas.axes) == 1
    slide = reports.draw("energy", analysis, size="slide")
    assert slide.get_size_inches()[0] > 2 * canvas.get_size_inches()[0]


def test_names_that_there_are_none_of(analysis):
    with pytest.raises(UnknownNameError, match="did you mean 'energy'"):
        reports.draw("enrgy", analysis)
    with pytest.raises(UnknownNameError, match="unknown panel 'vgg9 on mnist-5k'"):
        reports.draw("energy", analysis, panel="vgg9 on mnist-5k")
    with pytest.raises(NoDataError, match=r"needs traces\.npz with raster; the study has none"):
        reports.draw("raster", analysis)
    with pytest.raises(UnknownNameError, match="unknown table"):
        reports.table("sumary", analysis)


def test_a_table_is_raw_numbers(analysis):
    table = reports.table("summary", analysis)
    curve = next(c for c in analysis.curves if c.label == "bptt")
    row = table.set_index("Method").loc["bptt"]
    assert row["Accuracy (%)"] == pytest.approx(100 * curve.accuracy[curve.index(8)])
    assert row["Accuracy, low"] < row["Accuracy (%)"]
    data = table.set_index("Method").loc["data-norm"]
    assert data["T*(1 point) (steps)"] == float("inf")
    assert str(table["T*(1 point) (steps)"].dtype) == "float64"


def test_no_table_has_two_columns_of_one_name(analysis):
    for table in all_tables(analysis):
        names = next(csv.reader(to_csv(table).splitlines()))
        assert len(names) == len(set(names)), table.name
