"""What an earlier run left: gone on from, never a study of the user's replaced."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from compare import __main__ as entry
from compare import commands, execute, plan
from compare.changes import derived_name, plain_name
from compare.earlier import MARK, earlier_study, is_resolved, others
from compare.faults import OutOfMemory
from compare.plan import resolve
from compare.resolved import in_force
from compare.store import RECORD_COLUMNS, write_csv
from compare.study import Study, StudyError, build_study, load_study
from compare.toml_text import to_toml
from compare.workers import Settings

RECEIPTS = Path(__file__).resolve().parent.parent / "docs" / "receipts"
RESOLVED = {"name": "mine", "precision": "float32", "sweep_precision": "float32", "threads": 1}
SETTINGS = Settings(None, False, "cpu", 1, "isospike compare", None)


def study_of(**given: object) -> Study:
    return build_study({**RESOLVED, **given}, where="here")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '# mine\nname = "thesis"\n',
        to_toml(study_of()) + "# x\n",
        to_toml(study_of()) + f"# what follows is no {MARK}\n",
        'threads = 1\nprecision = "auto"\n',
        'precision = "float32"\n',
    ],
)
def test_a_study_of_the_users_is_not_replaced(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.toml").write_text(text)
    monkeypatch.setattr(execute, "dataset_of", lambda *given: pytest.fail("data were read"))
    with pytest.raises(StudyError, match=r"study\.toml is not one that a run has written"):
        execute.run_study(study_of(), tmp_path, SETTINGS, Console())
    assert (tmp_path / "study.toml").read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["study.toml"]


def test_one_that_a_run_has_written_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert earlier_study(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    for end in ("", in_force([], {})):
        (tmp_path / "study.toml").write_text(to_toml(study_of()) + end)
        assert earlier_study(Path(".")) == study_of()
    (tmp_path / "study.toml").write_text("nothing = 1\n" + in_force([], {}))
    with pytest.raises(StudyError, match=r"unknown key 'nothing'.*remove study\.toml or choose"):
        earlier_study(Path("."))


def test_neither_is_one_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(StudyError, match="is not one that a run has written"):
        earlier_study(tmp_path)


def test_a_mark_of_an_editor_in_front_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(to_toml(study_of()) + in_force([], {}), "utf-8-sig")
    assert earlier_study(tmp_path) == study_of()


def test_so_does_every_receipt() -> None:
    files = list(RECEIPTS.glob("*/study.toml"))
    assert len(files) > 30
    assert [file for file in files if not is_resolved(file.read_text("utf-8"))] == []


def test_one_without_a_mark_is_known_by_its_settings_whatever_the_order_of_its_tables() -> None:
    study = study_of(variants={"steep": {"method": "bptt", "options": {"gamma": 9.0}}})
    text = to_toml(study)
    assert is_resolved(text)
    values, *tables = text.split("\n\n")
    assert is_resolved("\n\n[variants]\n".join((values, "\n\n".join(reversed(tables)))))
    for other in (text.replace("gamma = 9.0", "gamma = 9e0"), f"{text}# mine\n"):
        assert not is_resolved(other)


def test_records_of_another_study_are_told_apart(tmp_path: Path) -> None:
    assert others(tmp_path, []) == []
    rows = [{"case": case, "timestep": t} for case in ("a", "b") for t in (1, 2)]
    write_csv(tmp_path / "records.csv", RECORD_COLUMNS, rows)
    assert others(tmp_path, ["b", "c"]) == ["a"]
    (tmp_path / "records.csv").write_bytes(b"\xff\x00, \n")
    assert others(tmp_path, []) == []


def test_names_of_other_data_are_other_names() -> None:
    study = load_study("first-look")
    names = {
        derived_name(study, {"datasets": [f"npz:{path}"]})
        for path in ("/数据/甲.npz", "/数据/乙.npz", "/a/" + 80 * "x" + "1", "/a/" + 80 * "x" + "2")
    }
    assert len(names) == 4
    assert all(Study(name=name) for name in names)
    assert derived_name(study, {"architectures": ["lenet"]}) == "mnist-5k-lenet"
    assert Study(name=plain_name("数据")).name == plain_name("数据")


def precision_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str, **given: object
) -> tuple[str, str]:
    """Of training and of sweeps, as `isospike compare` resolves them."""
    seen = []
    monkeypatch.setattr(commands, "_compare", lambda study, *rest: seen.append(study))
    (tmp_path / "study.toml").write_text(to_toml(study_of(**given)) + in_force([], {}))
    commands.app(["compare", str(tmp_path / "study.toml"), *words], standalone_mode=False)
    study = resolve(seen[0], earlier_study(tmp_path), {}, torch.device("cpu"))
    return study.precision, study.sweep_precision


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("float32", "float32")),
        (["--precision", "int8"], ("float32", "int8")),
        (["--precision", "bfloat16"], ("bfloat16", "bfloat16")),
        (["--precision", "auto"], ("float32", "int24")),
    ],
)
def test_a_precision_that_is_asked_for_holds_for_the_sweeps_of_a_resolved_study(
    words: list[str], expected: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert precision_of(monkeypatch, tmp_path, *words) == expected


def test_a_network_too_large_for_memory_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(*given: object, **settings: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] can't allocate memory: 4 TB")

    monkeypatch.setattr(plan, "_first_network", too_large)
    with pytest.raises(OutOfMemory, match=r"out of memory for the first network .*4 TB"):
        resolve(study_of(precision="auto"), None, {}, torch.device("cpu"))
    monkeypatch.setattr(entry, "app", too_large)
    monkeypatch.setattr(entry.signal, "signal", lambda *given: None)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "isospike: out of memory\n"
