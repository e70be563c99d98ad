"""Accuracy against a numeric option: which networks make a line, and what the artists hold."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, leading, render
from reports.intervals import wilson
from tests.synthetic_study import write_study

RECEIPTS = Path(__file__).resolve().parent.parent / "docs" / "receipts"
FIGURE = FIGURES["accuracy-option"]
NETWORKS = (("mlp-100", 2), ("mlp-200", 2))


def study_of(home, options, base="bptt", networks=NETWORKS, seeds=1, **settings):
    """A study of variants of one method, each with its own options."""
    variants = {f"v{place}": (base, own) for place, own in enumerate(options)}
    write_study(home, methods=tuple(variants), variants=variants, seeds=seeds,
                timesteps=(1, 2, 4, 8, 16), networks=networks, **settings)  # fmt: skip
    return Analysis(reports.study(home))


def test_the_receipt_of_figure_1a_is_drawn_as_its_readme_has_it():
    rows = FIGURE.prepare(Analysis(reports.study(RECEIPTS / "lee2016-inhibition")))
    assert list(rows["panel"].unique()) == ["inhibition of lee2016 on mnist"]
    ax = Canvas().subplots()
    FIGURE.draw(rows, ax)
    (container,) = ax.containers
    line, caps, _ = container
    assert container.get_label() == "mlp-300"
    assert line.get_xdata() == pytest.approx([0.0, 0.2, 0.4, 0.8])
    assert line.get_ydata() == pytest.approx([88.76, 92.405, 91.76, 90.495])
    low, high = (cap.get_ydata() for cap in caps)  # the least and the largest of two seeds
    assert low == pytest.approx([88.67, 92.32, 91.76, 90.25])
    assert high == pytest.approx([88.85, 92.49, 91.76, 90.74])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("inhibition", "test accuracy (%)")


def test_a_line_per_architecture_at_the_t_of_the_training(tmp_path):
    study_of(tmp_path, [{"width": width, "soft": True} for width in (2.0, 0.5, 1.0)])
    records = pd.read_csv(tmp_path / "records.csv")
    at_training = records["timestep"] == 8
    for method, accuracy in {"v0": 0.7, "v1": 0.5, "v2": 0.6}.items():
        records.loc[at_training & (records["method"] == method), "accuracy"] = accuracy
    records.to_csv(tmp_path / "records.csv", index=False)
    rows = FIGURE.prepare(Analysis(reports.study(tmp_path)))
    assert list(rows["label"].unique()) == ["mlp-100", "mlp-200"]
    assert set(rows["panel"]) == {"width of bptt on mnist-5k"}
    ends = [wilson(correct, 400) for correct in (200, 240, 280)]  # 50, 60 and 70 % of 400 images
    for _, own in rows.groupby("label"):
        assert own["value"].to_list() == [0.5, 1.0, 2.0]
        assert own["accuracy"].to_list() == [0.5, 0.6, 0.7]
        assert own["low"].to_list() == pytest.approx([found.low for found in ends])
        assert own["high"].to_list() == pytest.approx([found.high for found in ends])
    ax = Canvas().subplots()
    FIGURE.draw(rows, ax)
    looks = [container[0] for container in ax.containers]
    assert len({line.get_marker() for line in looks}) == len(looks) == 2


def test_conversions_are_read_at_the_largest_t(tmp_path):
    options = [{"percentile": 99.0}, {"percentile": 99.9}]
    analysis = study_of(tmp_path, options, "robust-norm", NETWORKS[:1])
    records = analysis.study.records
    last = records[(records["arm"] == "converted") & (records["timestep"] == 16)]
    assert FIGURE.prepare(analysis)["accuracy"].to_list() == last["accuracy"].to_list()


@pytest.mark.parametrize(
    "options",
    [
        [{"width": 1.0}],
        [{"width": 1.0}, {"width": 1.0}],
        [{"soft": True}, {"soft": False}],
        [{"shape": "box"}, {"shape": "arctan"}],
        [{"width": 1.0, "decay": 0.5}, {"width": 2.0, "decay": 0.25}],
        [{"width": None}, {"width": 2.0}],
    ],
    ids=["one", "the same", "true or false", "a name", "two at once", "no number"],
)
def test_what_is_no_line_is_left_out(tmp_path, options):
    assert FIGURE.prepare(study_of(tmp_path, options, networks=NETWORKS[:1])).empty


def test_two_options_have_a_panel_each_and_lines_name_the_other(tmp_path):
    grid = [{"width": w, "decay": d} for w in (1.0, 2.0) for d in (0.25, 0.5)]
    rows = FIGURE.prepare(study_of(tmp_path, grid, networks=NETWORKS[:1]))
    found = {panel: list(own["label"].unique()) for panel, own in rows.groupby("panel")}
    assert found == {
        "width of bptt on mnist-5k": ["mlp-100 (decay = 0.25)", "mlp-100 (decay = 0.5)"],
        "decay of bptt on mnist-5k": ["mlp-100 (width = 1.0)", "mlp-100 (width = 2.0)"],
    }


def test_several_training_timesteps_are_lines_of_their_own(tmp_path):
    options = [{"width": 1.0}, {"width": 2.0}]
    rows = FIGURE.prepare(
        study_of(tmp_path, options, networks=NETWORKS[:1], train_timesteps=(4, 8))
    )
    labels = ["mlp-100 (train_timesteps = 4)", "mlp-100 (train_timesteps = 8)"]
    assert list(rows["label"].unique()) == labels
    assert rows["label"].value_counts().to_list() == [2, 2]


@pytest.mark.parametrize(
    ("values", "scale"), [((0.0, 1.0, 50.0), "linear"), ((1.0, 10.0, 100.0), "log")]
)
def test_values_that_are_powers_have_a_logarithmic_axis(values, scale):
    rows = pd.DataFrame(
        {"panel": "p", "label": "mlp-100", "method": "bptt", "arm": "direct", "variant": 0, "n": 1,
         "option": "gamma", "value": values, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    )  # fmt: skip
    ax = Canvas().subplots()
    FIGURE.draw(rows, ax)
    assert ax.get_xscale() == scale
    if scale == "log":
        assert ax.get_xticks() == pytest.approx(values)
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "10", "100"]
        assert not len(ax.xaxis.get_minorticklocs())


def test_panels_of_options_all_stay_on_the_page(tmp_path):
    base = dict.fromkeys("abcdef", 1.0)
    options = [base, *({**base, name: 2.0} for name in base)]
    analysis = study_of(tmp_path, options, networks=NETWORKS[:1])
    rows = FIGURE.prepare(analysis)
    shown, note = leading(FIGURE, rows, analysis)
    assert (shown["panel"].nunique(), note) == (6, "")
    assert len([ax for ax in render(FIGURE, shown).axes if ax.has_data()]) == 6
