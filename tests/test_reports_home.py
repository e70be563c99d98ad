"""Where a report goes, and that nothing of another origin is replaced there."""

from pathlib import Path

import pytest

from compare import commands
from compare.study import load_study
from reports import page
from reports.analysis import Analysis
from reports.figures import FIGURES
from reports.frame import load
from reports.home import home_of, is_of_a_report
from reports.tables import NAMES, all_tables
from reports.whole import ForeignEntries
from tests.synthetic_study import write_study

RECEIPTS = Path(__file__).resolve().parent.parent / "docs" / "receipts"


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FIGURES", {})


def test_beside_the_first_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    monkeypatch.chdir(run)
    other = Path("../b")
    assert home_of([Path("."), other]) == tmp_path / "runs" / "report"
    assert home_of([Path(".."), other]) == tmp_path / "report"
    assert home_of([Path("runs/a"), other]) == Path("runs/report")
    assert home_of([Path(".")]) == Path("report")
    assert home_of([Path("a"), other], "out") == Path("out")


@pytest.mark.parametrize("name", ["figures/photo.png", "tables/mine.csv", "index.html"])
@pytest.mark.parametrize("out", [None, "elsewhere"])
def test_a_report_replaces_nothing_of_another_origin(
    name: str, out: str | None, tmp_path: Path
) -> None:
    study = write_study(tmp_path)
    place = study / "report" if out is None else tmp_path / out
    mine = place / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ForeignEntries, match="of another origin"):
        page.build([study], None if out is None else place)
    assert mine.read_text() == "mine"


def test_nor_does_a_study_and_it_says_so_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(*given: object) -> None:
        pytest.fail("the study was run")

    monkeypatch.setattr("compare.execute.run_study", runs)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("mine")
    with pytest.raises(ForeignEntries, match=r"holds index\.html of another origin"):
        commands._compare(load_study("first-look"), tmp_path, None)


def test_a_report_without_its_page_is_rebuilt(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    page.build([study]).unlink()
    assert page.build([study]).is_file()
    tables = [file.stem for file in (study / "report" / "tables").iterdir()]
    assert set(tables) <= set(NAMES)
    assert {table.name for table in all_tables(Analysis(load(study)))} <= set(NAMES)


def test_the_kept_files_of_every_receipt_are_of_a_report() -> None:
    kept = [file for file in RECEIPTS.glob("*/report/*/*") if file.is_file()]
    assert len(kept) > 100
    assert [file for file in kept if not is_of_a_report(file)] == []
    for name in (*FIGURES, *NAMES):
        folder, ending = ("figures", "svg") if name in FIGURES else ("tables", "csv")
        assert is_of_a_report(Path(folder, f"of-a-study-{name}.{ending}"))
        assert not is_of_a_report(Path(folder, f"{name}.docx"))
