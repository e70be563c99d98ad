"""What is shown of the seeds: bands and t-intervals of four or more, ranges of fewer."""

import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, caption
from reports.intervals import mean_t
from reports.tables import all_tables, summary
from reports.words import LARGEST_T
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8)


def study_of(home, **settings):
    return Analysis(reports.study(write_study(home, **{"timesteps": GRID} | settings)))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return study_of(tmp_path_factory.mktemp("two"), seeds=2)


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    networks = (("vgg5", 5), ("vgg7", 7))
    return study_of(tmp_path_factory.mktemp("depths"), seeds=1, networks=networks)


def axes_of(figure, rows):
    ax = Canvas().subplots()
    FIGURES[figure].draw(rows, ax)
    return ax


def cell_of(table, method, name):
    place = next(i for i, column in enumerate(table.columns) if column.name == name)
    return next(row for row in table.rows if row[1].text == method)[place]


def test_of_four_seeds_there_are_bands(tmp_path):
    analysis = study_of(tmp_path, seeds=4)
    rows = FIGURES["accuracy-timesteps"].prepare(analysis)
    ax = axes_of("accuracy-timesteps", rows)
    assert len(ax.collections) == 4  # of each spiking method
    assert caption(FIGURES["accuracy-timesteps"], rows).endswith(" Bands are 95 % over seeds.")


def test_captions_say_what_is_drawn_of_the_seeds(two, depths):
    def words(name, analysis):
        figure = FIGURES[name]
        return caption(figure, figure.prepare(analysis)).removeprefix(f"{figure.description} ")

    few = "Bands of two or three seeds go from the least to the largest."
    assert words("accuracy-timesteps", two) == words("gap-timesteps", two) == few
    assert words("energy", two).endswith(
        " Whiskers are the least and the largest of two or three seeds."
    )
    assert words("accuracy-timesteps", depths) == "One seed has no band."
    assert words("accuracy-depth", depths) == (
        "Whiskers of one seed are 95 % over the test images."
    )
    assert caption(FIGURES["confusion"], FIGURES["confusion"].prepare(two)) == (
        FIGURES["confusion"].description
    )


@pytest.mark.parametrize("seeds", [3, 4])
def test_counts_of_few_seeds_have_a_range(tmp_path, seeds):
    spikes = cell_of(summary(study_of(tmp_path, seeds=seeds)), "data-norm", "Spikes per image")
    values = [40 * 8 * (1 + 0.02 * seed) for seed in range(seeds)]
    assert spikes.value == pytest.approx(sum(values) / seeds)
    assert spikes.n == f"{seeds} seeds"
    if seeds == 3:
        assert spikes.interval == "from 320 to 333"
        assert (spikes.low, spikes.high) == pytest.approx((values[0], values[-1]))
    else:
        expected = mean_t(values)
        assert spikes.interval.startswith("[")
        assert (spikes.low, spikes.high) == pytest.approx((expected.low, expected.high))


def test_what_is_read_at_the_largest_t_says_so(two):
    said = [table.name for table in all_tables(two) if LARGEST_T in " ".join(table.notes)]
    assert said == ["summary", "tests", "energy"]
    figures = [name for name, figure in FIGURES.items() if figure.reported]
    assert sorted(figures) == ["complexity", "energy", "energy-depth", "layer-spikes",
                               "spikes-depth"]  # fmt: skip


@pytest.mark.parametrize("method", ["data-norm", "bptt"])
def test_where_an_arm_is_not_there_nothing_is_said_of_its_t(tmp_path, method):
    analysis = study_of(tmp_path, seeds=1, methods=(method,))
    notes = " ".join(note for table in all_tables(analysis) for note in table.notes)
    figure = FIGURES["energy"]
    words = caption(figure, figure.prepare(analysis))
    for text in (notes, words):
        assert (LARGEST_T in text) == (method == "data-norm")
        assert ("Direct training " in text) == (method == "bptt")


def test_a_best_t_has_no_direction_and_needs_more_than_chance(tmp_path):
    write_study(tmp_path, methods=("data-norm", "bptt"), seeds=1, timesteps=(1, 2, 4))
    path = tmp_path / "records.csv"
    records = pd.read_csv(path)
    records.loc[records["method"] == "data-norm", "accuracy"] = 0.12  # of 400 images: 9.2 to 15.5 %
    records.to_csv(path, index=False)
    table = summary(Analysis(reports.study(tmp_path)))
    assert cell_of(table, "data-norm", "Best T").text == "–"
    assert cell_of(table, "bptt", "Best T").value == 4
    assert {c.name: c for c in table.columns}["Best T"].higher_is_better is None
