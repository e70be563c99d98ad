"""The page: one file, escaped, honest, and alive in a browser."""

import html
import json
import re
from dataclasses import replace

import pandas as pd
import pytest

import reports
from reports import page
from reports.analysis import Analysis
from reports.answers import answers
from reports.caveats import caveats, left_out
from reports.figures import FIGURES
from reports.figures.base import latency_label
from reports.frame import StudyError
from reports.provenance import compared
from reports.tables import Cell, all_tables
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8, 16, 32)


FEW = ("accuracy-timesteps",)


HOSTILE = '<img src=x onerror="document.title=1"> & "quoted"'


@pytest.fixture(autouse=True)
def few_figures(monkeypatch):
    """One figure is enough to test the page; every figure has its own test."""
    chosen = {name: figure for name, figure in page.FIGURES.items() if name in FEW}
    monkeypatch.setattr(page, "FIGURES", chosen)


@pytest.fixture
def study(tmp_path):
    home = tmp_path / "runs" / "made-up"
    home.mkdir(parents=True)
    return write_study(home, timesteps=GRID)


def analysis_of(tmp_path, **settings):
    return Analysis(reports.study(write_study(tmp_path, **settings)))


@pytest.mark.parametrize("part", ["prepare", "draw"])
def test_a_figure_that_cannot_be_drawn_is_said_on_the_page(study, monkeypatch, part):
    def broken(*given):
        raise ZeroDivisionError("of mine")

    whole = FIGURES["energy"]
    chosen = {**page.FIGURES, "energy": replace(whole, **{part: broken})}
    monkeypatch.setattr(page, "FIGURES", chosen)
    with pytest.warns(UserWarning, match="of mine"):
        text = page.build([study]).read_text()
    assert f"Figures that could not be drawn: {whole.title.lower()} (ZeroDivisionError" in text
    assert (study / "report" / "figures" / "accuracy-timesteps.svg").exists()
    assert not (study / "report" / "figures" / "energy.svg").exists()


def test_files_of_the_contract(study):
    path = page.build([study])
    assert path == study / "report" / "index.html"
    figures = {file.name for file in (path.parent / "figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in FEW for kind in ("svg", "png", "pdf")}
    kinds = {file.suffix for file in (path.parent / "tables").iterdir()}
    assert kinds == {".csv", ".md", ".tex"}
    assert (path.parent / "tables" / "summary.csv").is_file()


def test_page_is_self_contained_and_the_same_twice(study, tmp_path):
    text = page.build([study], tmp_path / "one").read_text(encoding="utf-8")
    assert text == page.build([study], tmp_path / "two").read_text(encoding="utf-8")
    loaded = re.findall(r"""(?:\bsrc=|\bsrcset=|@import |url\()["']?([^"')\s>]+)""", text)
    assert all(target.startswith(("#", "data:")) for target in loaded), loaded
    assert '<link rel="stylesheet"' not in text
    links = re.findall(r'<a [^>]*href="([^"]+)"', text)
    assert links
    assert all(link.startswith(("#", "data:", "figures/")) for link in links)


def test_answer_stands_before_the_tables(study):
    text = page.build([study]).read_text(encoding="utf-8")
    answer = text.index("To stay within 1 point of the ANN")
    assert text.index("<h1>") < answer < text.index('<h2 class="section">Tables')
    assert "isospike compare made-up" in text
    assert "abcdef0" in text


def test_what_is_set_up_otherwise_stands_at_the_top(study):
    assert "Set up otherwise" not in page.build([study]).read_text("utf-8")
    file = study / "study.toml"
    text = file.read_text("utf-8")
    file.write_text('differences = ["4 epochs (paper: 150)", "<one seed>"]\n' + text, "utf-8")
    text = page.build([study]).read_text("utf-8")
    assert "2 points</summary>" in text
    assert "<li>&lt;one seed&gt;</li>" in text
    assert text.index("<li>4 epochs (paper: 150)</li>") < text.index("<h2")


def test_names_of_users_are_escaped(tmp_path):
    home = tmp_path / "study"
    home.mkdir()
    write_study(home, name=HOSTILE, title=HOSTILE, dataset=HOSTILE, methods=("bptt",), seeds=1,
                timesteps=GRID)  # fmt: skip
    text = page.build([home], tmp_path / "out").read_text(encoding="utf-8")
    assert "<img" not in text
    assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in text


def test_formulas_in_names_stay_text(tmp_path):
    home = tmp_path / "study"
    home.mkdir()
    write_study(home, dataset="a$b_{c$", methods=("bptt",), seeds=1, timesteps=GRID)
    assert "a$b_{c$" in page.build([home], tmp_path / "out").read_text(encoding="utf-8")


def test_several_studies_on_one_page(study, tmp_path):
    other = tmp_path / "runs" / "other"
    other.mkdir()
    write_study(
        other, name="other", methods=("robust-norm",), seeds=1, timesteps=GRID, title="The other"
    )
    path = page.build([study, other])
    assert path == tmp_path / "runs" / "report" / "index.html"
    text = path.read_text(encoding="utf-8")
    assert text.count("<article") == 3  # both, and together, since they share a network
    assert "All studies together" in text
    overview = text[text.index('class="overview"') : text.index("<article")]
    assert overview.count("<li>") == overview.count("lenet on mnist-5k.") == 3
    assert "To stay within 1 point of the ANN" in overview
    identifiers = re.findall(r'\sid="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))
    figures = {file.name for file in (path.parent / "figures").glob("*.svg")}
    keys = ("made-up", "other", "made-up-and-other")
    assert figures == {f"{key}-{name}.svg" for key in keys for name in FEW}


def test_studies_that_share_nothing_stay_apart_and_names_never_clash(study, tmp_path):
    other = tmp_path / "runs" / "other"
    other.mkdir()
    write_study(other, methods=("bptt",), seeds=1, timesteps=GRID, dataset="svhn")
    path = page.build([study, other])
    assert path.read_text(encoding="utf-8").count("<article") == 2
    figures = {file.name for file in (path.parent / "figures").glob("*.svg")}
    assert figures == {f"made-up{n}-{name}.svg" for n in ("", "~2") for name in FEW}


def test_a_rebuild_replaces_what_it_wrote(study):
    path = page.build([study])
    old = path.parent / "figures" / "old.svg"
    old.write_text("old")
    page.build([study])
    assert not old.exists()


def test_what_is_no_study_is_refused(tmp_path):
    with pytest.raises(page.PageError, match="at least one"):
        page.build([])
    with pytest.raises(StudyError):
        page.build([tmp_path])
    assert not (tmp_path / "report").exists()


def test_answer_names_steps_ratio_and_costs(tmp_path):
    (answer,) = answers(analysis_of(tmp_path))
    match = re.fullmatch(
        r"To stay within 1 point of the ANN \(97\.67 %\), conversion by robust-norm needs "
        r"T = 32 \[\d+, ∞\] and direct training by bptt needs T = 7 \[\d+, (\d+|∞)\]\.",
        answer.headline,
    )
    assert match, answer.headline
    (detail,) = (words for words in answer.details if words.startswith("T = "))
    assert detail.startswith(
        "T = 32 against 7: conversion takes 4.57 times as many steps as direct training ["
    )
    # spikes at T*: 70 * 32 against 110 * 7, 2.91 times
    assert " and 2.91 times as many spikes [" in detail


def test_answer_is_honest_when_nothing_is_reached(tmp_path):
    (answer,) = answers(analysis_of(tmp_path, methods=("data-norm",), timesteps=(1, 2, 4)))
    assert answer.headline.startswith("No method stays within 1 point of the ANN")
    assert "Conversion by data-norm does not get there by T = 4" in answer.details[0]
    assert answer.details[-1] == "The study has no directly trained network to compare with."


def test_answer_without_conversion(tmp_path):
    (answer,) = answers(analysis_of(tmp_path, methods=("bptt",)))
    assert "conversion by" not in answer.headline
    assert answer.details[-1] == "The study has no converted network to compare with."


def test_caveats_come_from_the_data(tmp_path):
    one = analysis_of(tmp_path, seeds=1, timesteps=GRID)
    path = tmp_path / "cases" / "bptt-lenet-0-T8" / "case.json"
    facts = json.loads(path.read_text())
    facts["dataset"] |= {"official": False, "note": "92 images rebuilt"}
    facts["versions"]["torch"] = "2.9"
    path.write_text(json.dumps(facts))
    one = Analysis(reports.study(one.study.directory))
    found = "\n".join(caveats(one))
    assert "One seed: intervals show the uncertainty of the test images" in found
    assert "Not within 1 point of the ANN by T = 32 (lenet on mnist-5k): data-norm" in found
    assert "differs from the official files (92 images rebuilt)" in found
    assert "different versions of torch" in found
    assert "never a measurement" in found
    assert "Trained in float32: where sums are rounded" in found
    assert left_out([FIGURES["energy"]]) == (
        "Figures left out for want of data: energy by model (needs energies)."
    )
    assert left_out([]) == ""


def test_sweeps_in_whole_numbers_are_said_to_be_so(tmp_path):
    found = analysis_of(tmp_path, seeds=1, timesteps=(1, 2, 4))
    assert "Trained in float32: where sums are rounded" in "\n".join(caveats(found))
    for path in tmp_path.glob("cases/*/case.json"):
        facts = json.loads(path.read_text())
        ann = facts["spec"]["arm"] == "ann"
        facts["machine"]["sweep_arithmetic"] = "float32" if ann else "int16: fixed point"
        path.write_text(json.dumps(facts))
    words = "\n".join(caveats(Analysis(reports.study(tmp_path))))
    assert "sweeps are in whole numbers" in words
    assert "where sums are rounded" not in words


def test_cases_without_images_have_no_bootstrap_and_say_so(tmp_path):
    write_study(tmp_path, seeds=2, timesteps=GRID)
    for file in tmp_path.glob("cases/*/correct.npz"):
        file.unlink()
    without = Analysis(reports.study(tmp_path))
    assert any("kept no per-image results" in caveat for caveat in caveats(without))
    paces = [pace for found in without.paces.values() for pace in found]
    assert all(pace.best.low is None for pace in paces)
    assert answers(without)


def test_steps_before_the_readout_are_called_observation_steps(tmp_path):
    write_study(tmp_path, seeds=1, timesteps=GRID)
    records = pd.read_csv(tmp_path / "records.csv")
    records.loc[records["method"] == "spike-norm", "calibration_timesteps"] = 4
    records.to_csv(tmp_path / "records.csv", index=False)
    analysis = Analysis(reports.study(tmp_path))
    rows = FIGURES["accuracy-timesteps"].prepare(analysis)
    assert latency_label(rows) == "timesteps T, observation steps included"
    notes = [note for table in all_tables(analysis) for note in table.notes]
    assert not any("calibration" in note for note in notes)
    assert sum("bservation " in note for note in notes) == 5


def test_sort_keys():
    assert page.sort_key(Cell("1.2 k", 1234.5)) == "1234.5"
    assert page.sort_key(Cell("not reached", float("inf"))) == "Infinity"
    assert page.sort_key(Cell("–")) == ""


def test_what_was_compared_has_every_size_of_its_cases(study):
    (case,) = (study / "cases").glob("bptt-lenet-0-*")
    facts = json.loads((case / "case.json").read_text("utf-8"))
    facts["parameters"] = 41_000
    facts["dataset"] |= {"train_images": 1000, "test_images": 50}
    (case / "case.json").write_text(json.dumps(facts), "utf-8")
    found = {fact.name: fact.text for fact in compared(Analysis(reports.study(study)))}
    assert found["Network"] == "lenet (41.0 k or 61.7 k parameters)"
    sizes = ("3,500 training, 500 validation, 400", "1,000 training, 500 validation, 50")
    for words in sizes:
        assert f"{words} test images" in found["Data"]
