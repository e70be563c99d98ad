"""Tables: every number of the summary by another path, writers, and the tests behind bold."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reports
from reports import numbers
from reports.analysis import Analysis
from reports.metrics import NOT_REACHED
from reports.significance import compare, over_timesteps, winner
from reports.tables import Cell, Column, Table, all_tables, paper, summary
from reports.tables.cells import INTERVAL_NOTE, difference_cell
from reports.writers import escape_latex, to_csv, to_latex, to_markdown
from tests.synthetic_study import DENSE_MACS, FIRST_LAYER_MACS, METHODS, write_study

SEEDS = 3


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return Analysis(reports.study(write_study(tmp_path_factory.mktemp("study"), seeds=SEEDS)))


def column(table, name):
    return next(i for i, c in enumerate(table.columns) if c.name == name)


def cell(table, method, name):
    row = next(r for r in table.rows if r[column(table, "Method")].text == method)
    return row[column(table, name)]


def accuracies(analysis, method):
    """Right answers counted image by image: {seed: {T: share}}."""
    found = {}
    for seed in range(SEEDS):
        name = f"{method}-lenet-{seed}" + ("-T8" if method == "bptt" else "")
        kept = analysis.study.cases[name].arrays("correct.npz")
        found[seed] = {
            int(t): sum(int(p == y) for p, y in zip(row, kept["labels"], strict=True)) / len(row)
            for t, row in zip(kept["timesteps"], kept["predicted"], strict=True)
        }
    return found


def plain_mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("method", METHODS)
def test_summary_recomputed_from_single_images(analysis, method):
    table = summary(analysis)
    own, ann = accuracies(analysis, method), accuracies(analysis, "ann")
    timestep = 8 if method == "bptt" else 32
    mean = {t: plain_mean(own[s][t] for s in own) for t in own[0]}
    ann_mean = plain_mean(ann[s][0] for s in ann)
    assert cell(table, method, "T").value == timestep
    assert cell(table, method, "Accuracy").value == pytest.approx(100 * mean[timestep])
    gap = plain_mean(own[s][timestep] - ann[s][0] for s in own)
    assert cell(table, method, "SNN − ANN").value == pytest.approx(100 * gap)
    best = min(t for t in mean if mean[t] == max(mean.values()))
    assert cell(table, method, "Best T").value == best
    kept = [t for t in mean if all(mean[u] >= ann_mean - 0.01 - 1e-12 for u in mean if u >= t)]
    expected = min(kept) if kept else float("inf")
    assert cell(table, method, "T*(1 point)").value == expected
    spikes = METHODS[method][3] * timestep * plain_mean(1 + 0.02 * s for s in range(SEEDS))
    assert cell(table, method, "Spikes per image").value == pytest.approx(spikes)
    additions = METHODS[method][3] * timestep * 60
    assert cell(table, method, "ACs per image").value == pytest.approx(additions)
    energy = additions * 0.9 + FIRST_LAYER_MACS * 4.6
    assert cell(table, method, "Energy per image").value == pytest.approx(energy)


def test_summary_of_the_ann(analysis):
    table = summary(analysis)
    assert cell(table, "ANN", "MACs per image").value == DENSE_MACS
    for name in ("T", "SNN − ANN", "Best T", "T*(1 point)", "Spikes per image", "ACs per image"):
        assert cell(table, "ANN", name).text == "–"
        assert cell(table, "ANN", name).value is None


def test_every_number_of_the_summary_says_what_it_rests_on(analysis):
    table = summary(analysis)
    exact = {"Network", "Method", "T"}
    for row in table.rows:
        for head, entry in zip(table.columns, row, strict=True):
            if head.name not in exact and entry.value is not None:
                assert entry.n == "3 seeds", (head.name, entry)
                assert entry.interval or entry.text == "not reached", (head.name, entry)


def test_iso_speedup_compares_latencies_at_equal_accuracy(analysis):
    paces = {pace.curve.label: pace for pace in analysis.paces["lenet on mnist-5k"]}
    direct = paces["bptt"].curve
    robust = paces["robust-norm"]
    assert robust.max_speedup is not None
    own_best = int(robust.curve.timesteps[robust.curve.accuracy.argmax()])
    direct_best = int(direct.timesteps[direct.accuracy.argmax()])
    assert robust.max_speedup.value == own_best / direct_best
    reaches = robust.curve.accuracy >= direct.accuracy.max() - 1e-12
    assert (robust.iso.value is NOT_REACHED) == (not reaches[-1])
    assert paces["bptt"].iso_speedup is None


def test_best_is_bold_only_by_a_test(tmp_path):
    write_study(tmp_path, methods=("spike-norm", "bptt"), seeds=4)
    clear = Analysis(reports.study(tmp_path))
    table = summary(clear)
    assert cell(table, "bptt", "Accuracy").strong
    assert not cell(table, "spike-norm", "Accuracy").strong
    (name,) = clear.networks
    best = winner(clear.comparisons[name], clear.networks[name])
    assert best is not None
    assert best.label == "bptt"


def test_close_methods_are_not_bold(analysis):
    # robust-norm at 32 and bptt at 8 are 0.1 points apart, far inside the noise of three seeds
    assert not any(entry.strong for row in summary(analysis).rows for entry in row)


def test_one_seed_is_tested_on_the_images(tmp_path):
    write_study(tmp_path, methods=("spike-norm", "bptt"), seeds=1)
    one = Analysis(reports.study(tmp_path))
    kinds = {c.test.kind for found in one.comparisons.values() for c in found}
    assert kinds == {"McNemar exact"}
    accuracy = cell(summary(one), "bptt", "Accuracy")
    assert accuracy.n == "1 seed, 400 images"
    spikes = cell(summary(one), "bptt", "Spikes per image")
    assert (spikes.n, spikes.interval) == ("1 seed", "")


def test_holm_over_the_grid_is_never_below_the_single_test(analysis):
    items = analysis.networks["lenet on mnist-5k"]
    by_label = {curve.label: curve for curve in items}
    found = over_timesteps(analysis.study, by_label["bptt"], by_label["data-norm"])
    assert list(found) == list(range(1, 33))
    assert all(c.adjusted >= c.test.p for c in found.values())
    assert found[4].difference.estimate > 0.5  # 93.7 % against 32.3 %


def test_ends_of_a_difference_stay_within_a_hundred_points(analysis):
    items = {curve.label: curve for curve in analysis.networks["lenet on mnist-5k"]}
    two = {}
    for label, values in (("bptt", [0.9, 0.5]), ("data-norm", [0.4, 0.9])):
        curve = items[label]
        accuracy = np.tile(np.array(values)[:, None], (1, len(curve.timesteps)))
        measures = curve.measures | {"accuracy": accuracy}
        two[label] = replace(curve, seeds=curve.seeds[:2], measures=measures)
    test = compare(analysis.study, two["bptt"], two["data-norm"], 4, 4)
    found = difference_cell(test)  # t(1) at 0.975 is 12.7: the differences 0.5, −0.4 give ±572
    assert (found.low, found.high, found.interval) == (-100, 100, "[−100.00, +100.00]")
    assert found.text == "+5.00"


def test_paper_beside_ours(analysis):
    table = paper(analysis)
    assert table is not None
    (row,) = table.rows
    assert row[column(table, "Paper")].value == 99.57
    mean = plain_mean(s[0] for s in accuracies(analysis, "ann").values())
    assert row[column(table, "Ours")].value == pytest.approx(100 * mean)


def test_csv_holds_raw_numbers_and_empty_for_missing(analysis):
    rows = list(csv.DictReader(io.StringIO(to_csv(summary(analysis)))))
    ann, data = rows[0], rows[1]
    assert ann["Spikes per image"] == ""
    assert data["T*(1 point) (steps)"] == "not reached"
    assert float(data["Accuracy, low"]) < float(data["Accuracy (%)"])
    assert data["Accuracy, n"] == "3 seeds"
    last = [s[max(s)] for s in accuracies(analysis, data["Method"]).values()]
    assert float(data["Accuracy, sd"]) == pytest.approx(100 * np.std(last, ddof=1))
    spikes = cell(summary(analysis), data["Method"], "Spikes per image")
    assert float(data["Spikes per image, sd"]) == pytest.approx(spikes.deviation)


NASTY = r"a_b & 50% of $x$ #1 {y} ~z^2 \end{table} | <b> θγτδλ≤µ é ü"


def nasty_table():
    rows = ((Cell(NASTY, NASTY), Cell("1.5", 1.5, 1.0, 2.0, "[1.0, 2.0]", "3 seeds", strong=True)),)
    return Table("nasty", NASTY, (Column("Name"), Column("Value", "%", True)), rows, (NASTY,))


def test_markdown_and_latex_escape_names():
    markdown = to_markdown(nasty_table())
    table_lines = [line for line in markdown.splitlines() if line.startswith("|")]
    for line in table_lines:  # two cells: three bars that are not escaped
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert "<b>" not in markdown.replace("\\<", "")
    assert "**1.5** \\[1.0, 2.0] (3 seeds)" in markdown
    latex = to_latex(nasty_table())
    assert latex.replace("é", "").replace("ü", "").isascii()
    assert latex.count(r"\end{table}") == 1
    assert r"\textbf{1.5}" in latex
    assert escape_latex("50 % of a_b") == r"50 \% of a\_b"
    assert escape_latex("Müller ≤ θ†") == r"Müller $\le$ $\theta$$\dagger$"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(analysis, tmp_path):
    kept = Path(__file__).resolve().parent.parent / "docs" / "receipts"
    texts = [path.read_text("utf-8") for path in sorted(kept.glob("*/report/tables/*.tex"))]
    assert len(texts) >= 15  # every table of three real studies
    tables = [*all_tables(analysis), nasty_table()]
    body = "\n\\clearpage\n".join([*(to_latex(table) for table in tables), *texts])
    text = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
    text += f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "page.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert (tmp_path / "page.pdf").stat().st_size > 0


def test_latex_is_balanced(analysis):
    for table in [*all_tables(analysis), nasty_table()]:
        text = re.sub(r"\\[{}]", "", to_latex(table))
        assert text.count("{") == text.count("}")
        lines = [line for line in text.splitlines() if line.endswith(r" \\")]
        for line in lines:
            separators = len(re.findall(r"(?<!\\)&", line))
            assert separators == len(table.columns) - 1
        assert len(lines) == len(table.rows) + 1


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (numbers.count, 999.0, "999"),
        (numbers.count, 1234.0, "1.23 k"),
        (numbers.count, 999999.0, "1.00 M"),
        (numbers.count, 0.123456, "0.123"),
        (numbers.energy, 552000.0, "552 nJ"),
        (numbers.energy, 2.5e9, "2.50 mJ"),
        (numbers.points, -0.0123, "−1.23"),
        (numbers.points, 0.0, "+0.00"),
        (numbers.points, -0.0, "+0.00"),
        (numbers.points, -1e-17, "+0.00"),
        (numbers.points, -0.000049, "+0.00"),
        (numbers.points, -0.000051, "−0.01"),
        (numbers.times, 4.0, "4.00×"),
        (numbers.times, NOT_REACHED, "not reached"),
        (numbers.steps, NOT_REACHED, "not reached"),
        (numbers.p_value, 0.00001, "< 0.0001"),
        (numbers.seconds, 75.0, "1 min 15 s"),
        (numbers.tick, 2000.0, "2 k"),
        (numbers.tick, 0.05, "0.05"),
    ],
)
def test_numbers_as_people_read_them(form, value, text):
    assert form(value) == text


def test_energies_side_by_side_have_one_unit():
    assert numbers.energies(809e3, 1.83e6) == ("0.809 µJ", "1.83 µJ")
    assert numbers.energies(5e6, 4e3) == ("5.00 µJ", "0.0040 µJ")
    assert numbers.energies(5e6, 4e2) == ("5.00 µJ", "400 pJ")
    assert numbers.energies(0.5, 0.25) == ("0.500 pJ", "0.250 pJ")


def test_bootstrap_ends_hold_the_estimate_and_repeat(analysis):
    again = Analysis(analysis.study)
    for name, found in analysis.paces.items():
        for one, two in zip(found, again.paces[name], strict=True):
            assert one.best == two.best
            low, high = float(one.best.low), float(one.best.high)
            assert low <= float(one.best.value) <= high
            assert np.isin([low, high], one.curve.latency).all()


def test_ratios_of_two_methods_point_to_neither(analysis):
    """Fewer steps of direct training are bad for the conversion in whose row they stand."""
    ratios = [
        column for table in all_tables(analysis) for column in table.columns if " / " in column.name
    ]
    assert len(ratios) >= 5
    assert {column.higher_is_better for column in ratios} == {None}
    assert all("↑" not in column.heading for column in ratios)


def test_the_note_names_every_interval():
    for word in ("Wilson", "Agresti & Min", "paired t", "bootstrap", "none for one seed"):
        assert word in INTERVAL_NOTE
