"""Tables as the page shows them: what all numbers share is said once, above."""

import re

import pytest

import reports
from reports import page
from reports.analysis import Analysis
from reports.answers import answers
from reports.page_tables import page_table
from reports.tables import Cell, Column, Table, all_tables, summary
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8, 16, 32)


def study_of(home, **settings):
    return Analysis(reports.study(write_study(home, **{"timesteps": GRID} | settings)))


def notes_of(shown):
    return {cell.n for row in shown.rows for cell in row}


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed, 400 images"), (2, "2 seeds")])
def test_seeds_and_images_are_said_once(tmp_path, seeds, words):
    table = summary(study_of(tmp_path, seeds=seeds))
    shown = page_table(table)
    assert shown.title == "Summary: lenet on mnist-5k"
    assert shown.rests_on == words
    assert all(not n or n.startswith("to T = ") for n in notes_of(shown))
    assert [cell.text for cell in shown.rows[0]] == [cell.text for cell in table.rows[0][1:]]


def test_what_differs_stays_in_the_cells():
    cells = (Cell("1", 1.0, n="1 seed, 10,000 images"), Cell("2", 2.0, n="1 seed, to T = 8"))
    columns = (Column("Method"), Column("a"), Column("b"))

    def shown(*more):
        rows = ((Cell("one", "one"), *cells), *more)
        return page_table(Table("t", "Of all", columns, rows))

    assert shown().rests_on == "1 seed, 10,000 images"
    assert notes_of(shown()) == {"", "to T = 8"}
    other = (Cell("two", "two"), Cell("3", 3.0, n="2 seeds"), Cell("4", 4.0))
    assert shown(other).rests_on == ""
    assert notes_of(shown(other)) == {"", "2 seeds", *(cell.n for cell in cells)}
    other = (Cell("two", "two"), Cell("3", 3.0, n="1 seed, 500 images"), Cell("4", 4.0))
    assert shown(other).rests_on == ""


def test_published_numbers_are_the_first_table_of_the_page(tmp_path, monkeypatch):
    few = ("accuracy-timesteps",)
    monkeypatch.setattr(page, "FIGURES", {name: page.FIGURES[name] for name in few})
    analysis = study_of(tmp_path, methods=("bptt",), seeds=1)
    assert [table.name for table in all_tables(analysis)][:2] == ["paper", "summary"]
    text = page.build([analysis], tmp_path / "out").read_text("utf-8")
    heads = re.findall(r"<h3>([^<]*?)\s*<", text)
    assert heads.index("Paper and ours") < heads.index("Summary: lenet on mnist-5k")
    assert (tmp_path / "out" / "tables" / "paper.csv").is_file()


def test_depth_comes_first_and_is_counted_in_layers(tmp_path, monkeypatch):
    few = ("accuracy-timesteps", "accuracy-depth")
    monkeypatch.setattr(page, "FIGURES", {name: page.FIGURES[name] for name in few})
    networks = (("vgg5", 5), ("vgg7", 7))
    analysis = study_of(tmp_path, methods=("bptt",), seeds=1, networks=networks)
    assert answers(analysis)[0].headline.startswith("Accuracy with 5 and with 7 layers: ANN 97.")
    text = page.build([analysis], tmp_path / "out").read_text("utf-8")
    assert text.index('id="accuracy-depth"') < text.index('id="accuracy-timesteps"')
    assert "by bootstrap over test images." in text
    assert len(all_tables(analysis)) > 3


def test_figures_left_out_end_the_figures(tmp_path, monkeypatch):
    few = ("accuracy-timesteps", "raster")
    monkeypatch.setattr(page, "FIGURES", {name: page.FIGURES[name] for name in few})
    analysis = study_of(tmp_path, methods=("bptt",), seeds=2)
    text = page.build([analysis], tmp_path / "out").read_text("utf-8")
    place = text.index("Figures left out for want of data: spike raster of one image")
    assert text.index('<h2 class="section">Figures') < place
    assert place < text.index('<h2 class="section">Caveats')
    assert "by bootstrap over seeds and test images." in text
