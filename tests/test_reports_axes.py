"""What a figure draws lies in view, and one sign means one thing."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, render
from reports.figures.base import accuracy_axis, count_axis
from reports.figures.lines import places_marked
from reports.figures.timesteps_depth import BEYOND
from reports.style import MARKERS, METHODS, SIZES
from tests.synthetic_study import write_study

COMMON = {"panel": "p", "label": "rmp", "method": "rmp", "arm": "converted", "variant": 0}


def drawn(name, rows):
    ax = Canvas().subplots()
    FIGURES[name].draw(pd.DataFrame([COMMON | row for row in rows]), ax)
    return ax


@pytest.mark.parametrize(
    ("name", "measure"),
    [("spikes-depth", "spikes_per_image"), ("energy-depth", "energy_pj_per_image")],
)
def test_whiskers_against_depth_lie_in_view(name, measure):
    rows = [
        {"depth": 5, measure: 100.0, "low": 60.0, "high": 140.0},
        {"depth": 13, measure: 120.0, "low": 90.0, "high": 200.0},
    ]
    low, high = drawn(name, rows).get_ylim()
    assert low < 60
    assert high > 200


def test_an_end_near_zero_does_not_stretch_an_axis_of_counts():
    ax = Canvas().subplots()
    count_axis(ax.yaxis, pd.Series([100.0, 200.0]), pd.Series([0.0, np.nan]), pd.Series([300.0]))
    low, high = ax.get_ylim()
    assert 5 < low < 10
    assert 300 < high < 400


def test_bands_of_accuracy_lie_in_view():
    def row(timestep, accuracy):
        ends = {"accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.2}
        return {"timestep": timestep, "latency": timestep, "accuracy": accuracy} | ends

    low, high = drawn("accuracy-timesteps", [row(1, 0.76), row(2, 0.9)]).get_ylim()
    assert low < 66
    assert 100 <= high <= 100.5  # ends above 1 are cut
    ax = Canvas().subplots()
    accuracy_axis(ax, pd.Series([0.5]), pd.Series([np.nan]))
    assert ax.get_ylim() == pytest.approx((49.5, 50.5))


def test_bands_of_the_gap_lie_in_view_below_the_curves():
    """Above them they are cut: most of what a wide band holds there is above zero."""
    gap = {"gap": -4.0, "gap_low": -30.0, "gap_high": 8.0}
    rows = [gap | {"timestep": t, "latency": t} for t in (1, 2)]
    low, high = drawn("gap-timesteps", rows).get_ylim()
    assert low < -30
    assert 0 < high < 1
    assert "cut off above" in FIGURES["gap-timesteps"].description


def test_bands_of_learning_curves_lie_in_view():
    row = {"validation_accuracy": 0.8, "validation_accuracy_low": 0.6}
    row |= {"validation_accuracy_high": 0.99, "train_accuracy": 0.82}
    low, high = drawn("learning-curves", [row | {"epoch": e} for e in (1, 2)]).get_ylim()
    assert low < 60
    assert high > 99


def test_not_reached_has_a_sign_of_its_own():
    assert not set(BEYOND) <= set(MARKERS)
    rows = [
        {"depth": 5, "timesteps": 4.0, "low": 2.0, "high": np.nan, "trained": np.nan},
        {"depth": 7, "timesteps": np.nan, "low": 4.0, "high": np.nan, "trained": np.nan},
    ]
    ax = drawn("timesteps-depth", [row | {"largest": 32} for row in rows])
    signs = {line.get_label(): line.get_marker() for line in ax.lines}
    assert signs["not reached by the largest T"] == BEYOND
    assert signs["rmp"] == METHODS["rmp"].marker
    (arrow,) = [text for text in ax.texts if text.arrow_patch is not None]
    assert not arrow.arrow_patch.get_arrowstyle().fillend  # a filled head is spike-norm's marker


def test_causes_of_an_error_stand_side_by_side():
    """Norms do not add up: bars on top of each other would pass their total."""
    row = {"clipping": 0.3, "quantisation": 0.4, "unevenness": 0.2, "total": 0.5}
    ax = drawn("conversion-error", [row | {"layer": name} for name in ("one", "two")])
    bars = sorted((bar.get_x(), bar.get_width(), bar.get_y()) for bar in ax.patches)
    assert len(bars) == 6
    assert all(y == 0 for _, _, y in bars)
    for (left, width, _), (right, _, _) in pairwise(bars):
        assert left + width <= right + 1e-9
    assert "at most the sum" in FIGURES["conversion-error"].description


@pytest.mark.parametrize("largest", [0.0, 1e-3])
def test_a_panel_of_zeros_says_so(largest):
    row = {"parameter": "gamma", "value": 1.0, "place": 0, "places": 1, "chosen": False}
    gradients = ((0, 0.0), (1, largest))
    ax = drawn("gradients", [row | {"index": i, "gradient": g} for i, g in gradients])
    assert [text.get_text() for text in ax.texts] == ([] if largest else ["all zero"])
    assert ax.get_yscale() == ("log" if largest else "linear")
    assert bool(len(ax.get_yticks())) == bool(largest)


@pytest.mark.parametrize(
    ("steps", "marked"),
    [(range(1, 10), [0, 1, 3, 7]), (range(5, 40), [3, 11, 27]), ((3, 6, 12), [0, 1, 2])],
)
def test_curves_over_t_are_marked_at_powers_of_two(steps, marked):
    rows = pd.DataFrame({"latency": list(steps), "timestep": 1})
    assert places_marked(rows, "latency") == marked


@pytest.mark.parametrize("name", ["accuracy-spikes", "accuracy-latency-spikes"])
def test_a_network_whose_spikes_were_not_counted_has_no_panel_of_spikes(tmp_path, name):
    write_study(tmp_path, seeds=1, timesteps=(1, 4), networks=(("vgg5", 5), ("vgg9", 9)))
    records = pd.read_csv(tmp_path / "records.csv")
    records.loc[records["architecture"] == "vgg9", "spikes_per_image"] = np.nan
    records.to_csv(tmp_path / "records.csv", index=False)
    rows = FIGURES[name].prepare(Analysis(reports.study(tmp_path)))
    assert rows["panel"].unique().tolist() == ["vgg5 on mnist-5k"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("panels", [1, 2, 3])
def test_titles_of_panels_are_not_cut_off(panels, size):
    names = [f"lenet on mnist-5k, bptt (T={n}) (64 steps; trained for {n})" for n in range(panels)]
    step = {"answer": 0, "true": 0, "share": 1.0}
    rows = pd.DataFrame([COMMON | step | {"panel": name} for name in names])
    canvas = FigureCanvasAgg(render(FIGURES["confusion"], rows, size))
    canvas.draw()
    for name, ax in zip(names, canvas.figure.axes, strict=False):
        (title,) = (text for text in ax.get_children() if " ".join(words(text).split()) == name)
        assert title.get_window_extent().x1 <= canvas.figure.bbox.x1


def words(artist):
    return artist.get_text() if hasattr(artist, "get_text") else ""


def test_a_bubble_has_the_marker_of_its_method():
    rows = [
        {"timestep": t, "latency": t, "accuracy": 0.5, "accuracy_low": np.nan, "share": 0.5,
         "accuracy_high": np.nan, "spikes_per_image": 9.0}
        for t in (1, 2)
    ]  # fmt: skip
    (line,) = drawn("accuracy-latency-spikes", rows).lines
    assert line.get_marker() == METHODS["rmp"].marker
