"""Drawing on several cores, the font, and what a page leaves out where there are many panels."""

from dataclasses import replace

import pytest
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

import reports
from reports import drawing, numbers
from reports.analysis import Analysis
from reports.drawing import Drawing, draw_all
from reports.figures import FIGURES, leading
from reports.figures.gradients import shown
from reports.fonts import FAMILY, families
from tests.synthetic_study import write_study

NAMES = ("accuracy-timesteps", "energy", "thresholds")


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    home = write_study(
        tmp_path_factory.mktemp("study"),
        seeds=1,
        timesteps=(1, 2, 4),
        networks=(("vgg5", 5), ("vgg7", 7), ("vgg9", 9)),
        extras=True,
    )
    return Analysis(reports.study(home))


def drawings(analysis):
    return [Drawing(name, FIGURES[name], FIGURES[name].prepare(analysis)) for name in NAMES]


def test_two_processes_write_the_same_files_as_one(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_processes", lambda items: 1)
    draw_all(drawings(analysis), tmp_path / "one")
    monkeypatch.setattr(drawing, "_processes", lambda items: 2)
    started = []
    start = drawing._start

    def watched(share, directory):
        started.append(start(share, directory))
        return started[-1]

    monkeypatch.setattr(drawing, "_start", watched)
    draw_all(drawings(analysis), tmp_path / "two")
    assert [process.returncode for process in started] == [0]
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert set(one) == {f"{name}.{kind}" for name in NAMES for kind in ("svg", "png", "pdf")}
    assert one == two


def test_what_cannot_be_handed_over_is_drawn_here(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_processes", lambda items: 2)
    own = [
        replace(item, figure=replace(item.figure, draw=lambda rows, ax: ax.plot([1, 2], [3, 4])))
        for item in drawings(analysis)[:2]
    ]
    draw_all(own, tmp_path)
    assert len(list(tmp_path.glob("*.svg"))) == 2


def test_an_error_of_another_process_is_raised(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_processes", lambda items: 2)
    items = drawings(analysis)
    broken = replace(items[1], rows=items[1].rows.drop(columns="energy_pj"))
    with pytest.raises(KeyError, match="energy_pj"):
        draw_all([items[2], broken], tmp_path)


def test_shares_are_about_equal(analysis):
    shares = drawing._shares(drawings(analysis), 2)
    work = [sum(item.work for item in share) for share in shares]
    assert sum(len(share) for share in shares) == len(NAMES)
    assert max(work) <= 8  # of three figures with 3 panels and one more each


def test_many_panels_leave_the_leading_method_of_each_arm(analysis):
    rows = FIGURES["raster"].prepare(analysis)
    assert rows["panel"].nunique() == 12
    few, note = leading(rows, analysis)
    assert note.startswith(" Of 12 panels")
    best = {
        network: {
            arm: max(
                (c for c in curves if c.arm == arm),
                key=lambda c: c.accuracy[c.index(c.report_timestep)],
            ).label
            for arm in ("converted", "direct")
        }
        for network, curves in analysis.networks.items()
    }
    expected = {f"{network}, {label}" for network, arms in best.items() for label in arms.values()}
    assert set(few["panel"]) == expected


def test_figures_with_a_panel_per_network_keep_all(analysis):
    rows = FIGURES["accuracy-timesteps"].prepare(analysis)
    assert leading(rows, analysis) == (rows, "")


def test_the_font_has_the_signs_of_our_figures():
    assert families()[0] == FAMILY
    for weight in ("normal", "bold"):
        font = FT2Font(findfont(FontProperties(family=FAMILY, weight=weight)))
        for sign in "aZ09θγτδλ‖−·∞µ×–≥⁻³²←†":
            assert font.get_char_index(ord(sign)), sign


def test_powers_of_ten_without_markup():
    assert [numbers.power_of_ten(v) for v in (1.0, 1e-3, 100.0)] == ["10⁰", "10⁻³", "10²"]


def test_of_many_values_powers_of_two_are_shown():
    assert shown([1.0, 10.0, 100.0]) == [1.0, 10.0, 100.0]
    assert shown([0.5, 1.0, 1.4, 1.5, 1.6, 2.0, 4.0, 8.0]) == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert shown([1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]) == [1.1, 1.2, 1.3, 1.5, 1.6, 1.7]
