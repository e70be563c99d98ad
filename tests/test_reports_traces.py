"""Figures of single networks' insides: how long these ran, and what a search chose."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, render
from reports.figures.gradients import balanced
from tests.synthetic_study import write_study


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    home = write_study(
        tmp_path_factory.mktemp("study"), methods=("data-norm", "bptt"), seeds=1, extras=True,
        timesteps=(1, 2, 4, 8, 16), train_timesteps=(4, 16),
    )  # fmt: skip
    return Analysis(reports.study(home))


@pytest.mark.parametrize("name", ["output-currents", "raster", "membranes", "firing-rates"])
def test_a_panel_says_where_a_network_ran_longer_than_it_was_trained_for(analysis, name):
    panels = set(FIGURES[name].prepare(analysis)["panel"])
    assert panels == {
        "lenet on mnist-5k, data-norm",
        "lenet on mnist-5k, bptt (T=4) (16 steps; trained for 4)",
        "lenet on mnist-5k, bptt (T=16)",
    }


def test_a_search_takes_the_value_that_balances_the_halves():
    gradients = {1.0: (8.0, 2.0), 3.0: (3.0, 2.9), 9.0: (1.0, 5.0)}  # ratios 4, 1.03, 0.2
    rows = pd.DataFrame(
        [
            {"value": value, "index": index, "gradient": gradient}
            for value, pair in gradients.items()
            for index, gradient in enumerate(pair)
        ]
    )
    assert balanced(rows) == 3.0
    assert np.isnan(balanced(rows.assign(gradient=0.0)))


def test_the_chosen_value_is_a_thick_line_and_values_are_in_order(analysis):
    rows = FIGURES["gradients"].prepare(analysis)
    own = rows[rows["panel"] == rows["panel"].iloc[0]]
    ax = Canvas().subplots()
    FIGURES["gradients"].draw(own, ax)
    widths = {line.get_label(): line.get_linewidth() for line in ax.lines}
    assert max(widths, key=widths.get) == "γ = 1"  # ratios 1 / 0.8, 10 / 0.55 and more
    (legend,) = render(FIGURES["gradients"], rows[::-1].reset_index(drop=True)).legends
    assert [text.get_text() for text in legend.get_texts()] == ["γ = 1", "γ = 10", "γ = 30"]
