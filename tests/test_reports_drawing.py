"""Drawing on several cores, the font, and what a page leaves out where there are many panels."""

from dataclasses import replace

import pytest
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

import reports
from reports import drawing, numbers
from reports.analysis import Analysis
from reports.drawing import Artists, Drawing
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


def draw_all(items, directory, processes):
    with Artists(directory, processes) as artists:
        for item in items:
            artists.add(item)
        artists.finish()
    assert all(process.returncode is not None for process in artists.processes)
    return artists


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_two_processes_write_the_same_files_as_one(analysis, tmp_path, monkeypatch):
    draw_all(drawings(analysis), tmp_path / "one", 1)
    drawn_here = []
    monkeypatch.setattr(drawing, "_draw", lambda item, directory: drawn_here.append(item))
    monkeypatch.setattr(Artists, "finish", Artists._dismiss)  # all is left to the other process
    draw_all(drawings(analysis), tmp_path / "two", 2)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert set(one) == {f"{name}.{kind}" for name in NAMES for kind in ("svg", "png", "pdf")}
    assert one == two
    assert drawn_here == []


def test_what_cannot_be_handed_over_is_drawn_here(analysis, tmp_path):
    own = [
        replace(item, figure=replace(item.figure, draw=lambda rows, ax: ax.plot([1, 2], [3, 4])))
        for item in drawings(analysis)[:2]
    ]
    draw_all(own, tmp_path, 2)
    assert len(list(tmp_path.glob("*.svg"))) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_a_figure_that_cannot_be_drawn_leaves_the_others(analysis, tmp_path, processes):
    items = drawings(analysis)
    broken = replace(items[1], rows=items[1].rows.drop(columns="energy_pj"))
    with pytest.warns(UserWarning, match="cannot be drawn: .*KeyError: 'energy_pj'"):
        artists = draw_all([broken, items[2]], tmp_path, processes)
    assert list(artists.failed) == ["energy"]
    assert {path.stem for path in tmp_path.iterdir()} == {"thresholds"}


def test_a_process_that_dies_loses_no_figure(analysis, tmp_path):
    with Artists(tmp_path, 3) as artists:
        for process in artists.processes:
            process.kill()
            process.wait()
        for item in drawings(analysis):
            artists.add(item)
        artists.finish()
    assert {path.stem for path in tmp_path.glob("*.pdf")} == set(NAMES)


def test_an_interruption_ends_every_process(analysis, tmp_path):
    artists = Artists(tmp_path, 2)

    def interrupted():
        with artists:
            for item in drawings(analysis):
                artists.add(item)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.returncode is not None for process in artists.processes] == [True]
    assert not any(thread.is_alive() for thread in artists.threads)


def test_many_panels_leave_the_leading_method_of_each_arm(analysis):
    rows = FIGURES["raster"].prepare(analysis)
    assert rows["panel"].nunique() == 12
    few, note = leading(FIGURES["raster"], rows, analysis)
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
    deepest = "vgg9 on mnist-5k"
    expected = {f"{deepest}, {label}" for label in best[deepest].values()}
    assert note.endswith("the most accurate method of each kind on the deepest network.")
    assert set(few["panel"]) == expected


def test_figures_with_a_panel_per_network_keep_all(analysis):
    rows = FIGURES["accuracy-timesteps"].prepare(analysis)
    assert leading(FIGURES["accuracy-timesteps"], rows, analysis) == (rows, "")


def test_figures_that_look_into_a_network_show_the_shallowest_and_the_deepest(analysis):
    figure = FIGURES["thresholds"]
    few, note = leading(figure, figure.prepare(analysis), analysis)
    assert set(few["panel"]) == {"vgg5 on mnist-5k", "vgg9 on mnist-5k"}
    assert note == " Of 3 panels, those of the shallowest and the deepest network."


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
