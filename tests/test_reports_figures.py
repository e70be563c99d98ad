"""Figures: what the artists hold, one look per method, the same bytes twice."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas

import reports
from reports import style
from reports.analysis import Analysis
from reports.figures import FIGURES, render
from reports.figures.energy_front import on_front
from tests.synthetic_study import write_study

ONLY_WITH_DEPTHS = {"accuracy-depth", "timesteps-depth", "spikes-depth", "energy-depth"}
ONLY_WITH_SEVERAL_T = {"training-timesteps"}
ONLY_WITH_OPTIONS = {"accuracy-option"}
ONLY_WITH_EXTRAS = {
    "conversion-error", "conversion-error-timesteps", "gradients", "output-currents",
    "membranes", "firing-rates", "raster",
}  # fmt: skip


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    home = write_study(
        tmp_path_factory.mktemp("lenet"), seeds=2, timesteps=(1, 2, 4, 8, 16), extras=True
    )
    return Analysis(reports.study(home))


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    home = write_study(
        tmp_path_factory.mktemp("depths"),
        methods=("robust-norm", "bptt"),
        seeds=1,
        timesteps=(1, 2, 4, 8, 16, 32),
        networks=(("vgg5", 5), ("vgg7", 7)),
        train_timesteps=(2, 8),
    )
    return Analysis(reports.study(home))


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    variants = {f"bptt-{width}": ("bptt", {"width": width, "soft": True}) for width in (1.0, 2.0)}
    home = write_study(
        tmp_path_factory.mktemp("options"), methods=tuple(variants), variants=variants, seeds=2
    )
    return Analysis(reports.study(home))


def axes_of(figure, rows):
    ax = Canvas().subplots()
    panel = rows[rows["panel"] == rows["panel"].iloc[0]]
    FIGURES[figure].draw(panel, ax)
    return ax, panel


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


def with_rows(analysis):
    return {name for name, figure in FIGURES.items() if len(figure.prepare(analysis))}


def test_which_figures_have_data(lenet, depths, options):
    always = set(FIGURES) - ONLY_WITH_OPTIONS
    assert with_rows(lenet) == always - ONLY_WITH_DEPTHS - ONLY_WITH_SEVERAL_T
    assert with_rows(depths) == always - ONLY_WITH_EXTRAS
    assert with_rows(options) >= ONLY_WITH_OPTIONS


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_onto_axes_with_units(name, lenet, depths, options):
    figure = FIGURES[name]
    analysis = depths if name in ONLY_WITH_DEPTHS | ONLY_WITH_SEVERAL_T else lenet
    analysis = options if name in ONLY_WITH_OPTIONS else analysis
    rows = figure.prepare(analysis)
    assert {"panel", "label", "method", "arm"} <= set(rows.columns)
    ax, _ = axes_of(name, rows)
    assert ax.has_data()
    assert ax.get_xlabel()
    horizontal_bars = name in ("complexity", "energy")
    assert ax.get_ylabel() or horizontal_bars
    assert figure.description.endswith(".")


def test_accuracy_lines_hold_the_means(lenet):
    ax, _ = axes_of("accuracy-timesteps", FIGURES["accuracy-timesteps"].prepare(lenet))
    lines = lines_of(ax)
    named = {label for label in lines if not label.startswith("_")}
    assert named == {"ANN", "data-norm", "robust-norm", "spike-norm", "bptt", "training T"}
    assert list(lines["bptt"].get_markevery()) == [0, 1, 2, 3, 4]  # 1, 2, 4, 8, 16
    records = lenet.study.records
    for label in ("data-norm", "bptt"):
        own = records[records["method"] == label].groupby("timestep")["accuracy"].mean() * 100
        assert lines[label].get_xdata() == pytest.approx(own.index.to_numpy())
        assert lines[label].get_ydata() == pytest.approx(own.to_numpy())
    ann = records[records["arm"] == "ann"]["accuracy"].mean() * 100
    assert lines["ANN"].get_ydata() == pytest.approx([ann, ann])
    (stroke,) = [line for line in ax.lines if line.get_marker() == "|" and len(line.get_xdata())]
    own = records[(records["method"] == "bptt") & (records["timestep"] == 8)]
    assert stroke.get_xdata() == pytest.approx([8])
    assert stroke.get_ydata() == pytest.approx([100 * own["accuracy"].mean()])
    seeds = records[records["method"] == "data-norm"].pivot_table("accuracy", "timestep", "seed")
    bands = [band.get_paths()[0].vertices for band in ax.collections]
    assert len(bands) == 4  # of two seeds each, from the least to the largest
    ends = {(float(t), round(100 * end, 9)) for t, own in seeds.iterrows()
            for end in (own.min(), own.max())}  # fmt: skip
    assert any(ends == {(x, round(y, 9)) for x, y in band} for band in bands)


def test_gap_is_the_difference_of_the_lines(lenet):
    rows = FIGURES["gap-timesteps"].prepare(lenet)
    ax, _ = axes_of("gap-timesteps", rows)
    records = lenet.study.records
    ann = records[records["arm"] == "ann"]["accuracy"].mean()
    own = records[records["method"] == "bptt"].groupby("timestep")["accuracy"].mean()
    assert lines_of(ax)["bptt"].get_ydata() == pytest.approx((100 * (own - ann)).to_numpy())
    assert ax.get_ylabel() == "SNN − ANN (points)"
    assert ax.get_yscale() == "symlog"
    assert "linear within 0.5 points of 0" in FIGURES["gap-timesteps"].description
    dotted = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "#767676"]
    assert dotted == [-0.5, -1.0, -2.0]


def test_spikes_per_neuron(lenet):
    # spikes are shared evenly by three layers: at T = 16, 40 * 16 * (1 + 1.02) / 2 / 3 / 864
    ax, _ = axes_of("layer-spikes", FIGURES["layer-spikes"].prepare(lenet))
    line = lines_of(ax)["data-norm at T = 16"]
    assert line.get_ydata()[0] == pytest.approx(40 * 16 * 1.01 / 3 / 864)


def test_energy_bars(lenet):
    ax, rows = axes_of("energy", FIGURES["energy"].prepare(lenet))
    nanojoules = (rows["energy_pj"] / 1000).to_list()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(nanojoules)
    assert rows["energy_pj"].iloc[0] == pytest.approx(120_000 * 4.6)
    assert ax.get_xlabel() == "energy per image by model (nJ)"


def test_confusion_rows_add_up(lenet):
    rows = FIGURES["confusion"].prepare(lenet)
    sums = rows.groupby(["panel", "true"])["share"].sum()
    assert sums.to_numpy() == pytest.approx(1.0)
    ax, panel = axes_of("confusion", rows)
    shares = {(row.answer, row.true): row.share for row in panel.itertuples() if row.share > 0}
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        place: f"{100 * share:.1f}" for place, share in shares.items()
    }


def test_depth_lines(depths):
    ax, rows = axes_of("accuracy-depth", FIGURES["accuracy-depth"].prepare(depths))
    own = rows[rows["label"] == "robust-norm"].sort_values("depth")
    assert own["depth"].to_list() == [5, 7]
    line = next(line for line in ax.lines if line.get_marker() == "s")
    assert line.get_ydata() == pytest.approx(own["accuracy"].to_numpy() * 100)


def test_front_is_what_nothing_beats():
    rows = pd.DataFrame(
        {"energy_pj": [1.0, 2.0, 3.0, 4.0, 2.0], "accuracy": [0.5, 0.8, 0.7, 0.9, 0.6]}
    )
    assert on_front(rows).tolist() == [True, True, False, True, False]


def test_speedup_bars_say_not_reached(lenet):
    ax, rows = axes_of("speedups", FIGURES["speedups"].prepare(lenet))
    missing = int(rows["speedup"].isna().sum())
    words = [text.get_text().strip() for text in ax.texts]
    assert missing > 0
    assert words.count("not reached") == missing


def test_an_open_end_of_a_whisker_is_an_arrow_to_the_top():
    common = {"panel": "p", "label": "data-norm", "method": "data-norm", "arm": "converted"}
    rows = pd.DataFrame(
        [
            common | {"variant": 0, "sense": "iso", "speedup": 2.0, "low": 1.5, "high": np.nan},
            common | {"variant": 0, "sense": "max", "speedup": 3.0, "low": 2.5, "high": 4.0},
        ]
    )
    ax = Canvas().subplots()
    FIGURES["speedups"].draw(rows, ax)
    (arrow,) = [text for text in ax.texts if text.arrow_patch is not None]
    assert (*arrow.xyann, *arrow.xy) == pytest.approx((-0.2, 1.5, -0.2, 1.0))
    assert arrow.xycoords == ax.get_xaxis_transform()  # 1 is the top of the axes
    (closed,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1]
    assert closed.get_ydata() == pytest.approx([2.5, 4.0])
    assert "arrow" in FIGURES["speedups"].description


def test_an_open_end_of_steps_against_depth_is_an_arrow():
    common = {"panel": "p", "label": "bptt", "method": "bptt", "arm": "direct", "variant": 0}
    common |= {"trained": np.nan, "largest": 32}
    rows = pd.DataFrame(
        [
            common | {"depth": 5, "timesteps": 4.0, "low": 2.0, "high": 8.0},
            common | {"depth": 7, "timesteps": 8.0, "low": 6.0, "high": np.nan},
            common | {"depth": 9, "timesteps": np.nan, "low": 16.0, "high": np.nan},
        ]
    )
    ax = Canvas().subplots()
    FIGURES["timesteps-depth"].draw(rows, ax)
    (arrow,) = [text for text in ax.texts if text.arrow_patch is not None]
    assert (*arrow.xyann, *arrow.xy) == pytest.approx((7, 6.0, 7, 1.0))


def test_ann_and_its_quantised_twin_differ_on_the_front():
    common = {"panel": "p", "arm": "ann", "variant": 0, "timestep": 0, "latency": 0, "front": True}
    common |= {"accuracy_low": np.nan, "accuracy_high": np.nan}
    rows = pd.DataFrame(
        [
            common | {"label": "ANN", "method": "ann", "accuracy": 0.9, "energy_pj": 9e4},
            common | {"label": "ANN (qcfs)", "method": "qcfs-ann", "accuracy": 0.8,
                      "energy_pj": 8e4},
        ]
    )  # fmt: skip
    ax = Canvas().subplots()
    FIGURES["energy-front"].draw(rows, ax)
    lines = lines_of(ax)
    assert lines["ANN"].get_marker() == lines["ANN (qcfs)"].get_marker() == "*"
    for label, method in (("ANN", "ann"), ("ANN (qcfs)", "qcfs-ann")):
        assert to_hex(lines[label].get_color(), False).upper() == style.METHODS[method].colour
    assert lines["ANN"].get_color() != lines["ANN (qcfs)"].get_color()


def test_a_method_looks_the_same_everywhere(lenet):
    for name in ("accuracy-timesteps", "spikes-timesteps", "accuracy-spikes"):
        ax, _ = axes_of(name, FIGURES[name].prepare(lenet))
        line = lines_of(ax)["robust-norm"]
        assert to_hex(line.get_color()) == style.METHODS["robust-norm"].colour.lower()
        assert line.get_marker() == "s"


def test_panels_share_one_legend(depths):
    figure = FIGURES["accuracy-timesteps"]
    canvas = render(figure, figure.prepare(depths))
    assert [ax.get_title(loc="left") for ax in canvas.axes] == [
        "vgg5 on mnist-5k",
        "vgg7 on mnist-5k",
    ]
    (legend,) = canvas.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["ANN", "robust-norm", "bptt (T=2)", "bptt (T=8)", "training T"]
    slide = render(figure, figure.prepare(depths), style.SIZES["slide"])
    assert (slide.get_size_inches() > 2 * canvas.get_size_inches() * 0.8).all()


def test_files_are_the_same_twice_and_ids_carry_the_name(lenet, tmp_path):
    figure = FIGURES["accuracy-timesteps"]
    rows = figure.prepare(lenet)
    first = style.save(render(figure, rows), tmp_path / "one", "a-name")
    second = style.save(render(figure, rows), tmp_path / "two", "a-name")
    assert [path.suffix for path in first] == [".svg", ".png", ".pdf"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    svg = first[0].read_text()
    assert "accuracy" in svg  # text stays text
    identifiers = set(re.findall(r'\bid="([^"]+)"', svg))
    assert identifiers
    assert all(name.startswith("a-name-") for name in identifiers)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    assert used <= identifiers


def test_raster_marks_every_spike(lenet):
    rows = FIGURES["raster"].prepare(lenet)
    ax, panel = axes_of("raster", rows)
    with np.load(lenet.study.cases["data-norm-lenet-0"].directory / "traces.npz") as kept:
        assert len(panel) == int(kept["raster"].sum())
    path = np.stack([ax.lines[0].get_xdata(), ax.lines[0].get_ydata()]).reshape(2, -1, 3)
    ends = np.stack([panel["neuron"] - 0.5, panel["neuron"] + 0.5], axis=1)
    assert (path[0, :, :2] == panel["timestep"].to_numpy()[:, None]).all()
    assert (path[1, :, :2] == ends).all()
