"""Run directories: whole or absent, damage found by name, one owner at a time."""

import csv
import json
import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from compare import store as store_module
from compare.store import (
    RECORD_COLUMNS,
    CaseBusy,
    DamagedCase,
    Store,
    _owner,
    replace_text,
    write_csv,
)
from network import files
from network.files import replacing

CONTENT = {"spec": {"dataset": "d", "seed": 0}, "calibration_timesteps": 0}


def cut_off(store: Store) -> None:
    with store.writing("case-1", CONTENT) as folder:
        (folder / "sweep.csv").write_text("half")
        assert not store.finished("case-1")
        raise RuntimeError("cut off")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "study")
    store.prepare()
    return store


def write_case(store: Store, name: str = "case-1") -> Path:
    with store.writing(name, CONTENT) as folder:
        row = {"timestep": 1, "images": 4, "correct": 3, "accuracy": 0.75}
        write_csv(folder / "sweep.csv", tuple(row), [row])
        (folder / "weights.safetensors").write_bytes(b"12345")
    return store.path(name)


def test_a_case_is_there_only_when_it_is_whole(store: Store) -> None:
    with pytest.raises(RuntimeError, match="cut off"):
        cut_off(store)
    assert not store.finished("case-1")
    assert list(store.cases.iterdir()) == []
    write_case(store)
    assert store.finished("case-1")


@pytest.mark.parametrize("damage", ["edit", "truncate", "remove"])
def test_a_damaged_file_is_found_and_named(store: Store, damage: str) -> None:
    file = write_case(store) / "weights.safetensors"
    if damage == "edit":
        file.write_bytes(b"1234X")
    elif damage == "truncate":
        file.write_bytes(b"123")
    else:
        file.unlink()
    with pytest.raises(DamagedCase, match=r"weights\.safetensors .*run again"):
        store.finished("case-1")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}', "\x00", '{"checksums": 3}'])
def test_a_foreign_case_file_is_found_and_named(store: Store, text: str) -> None:
    (write_case(store) / "case.json").write_text(text)
    with pytest.raises(DamagedCase, match=r"case\.json"):
        store.finished("case-1")


def test_an_edited_or_foreign_file_is_found_by_name(store: Store) -> None:
    folder = write_case(store)
    text = (folder / "case.json").read_text()
    (folder / "case.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DamagedCase, match=r"case\.json is not the record of this case"):
        store.finished("case-1")
    (folder / "case.json").write_text(text)
    (folder / ".note").touch()  # hidden files are the system's own
    assert store.finished("case-1")
    (folder / "traces.npz").touch()
    with pytest.raises(DamagedCase, match=r"traces\.npz is not a file of this case: remove it"):
        store.finished("case-1")


def test_a_case_of_a_former_version_has_no_checksum_of_its_own(store: Store) -> None:
    file = write_case(store) / "case.json"
    content = json.loads(file.read_text())
    del content["checksum"]
    file.write_text(json.dumps(content))
    assert store.finished("case-1")


def test_the_log_becomes_a_file_of_the_case(store: Store) -> None:
    store.work("case-1").mkdir()
    (store.work("case-1") / "log.txt").write_text("begun\n")
    folder = write_case(store)
    assert (folder / "log.txt").read_text() == "begun\n"
    assert "log.txt" in store.read("case-1")["checksums"]
    assert not store.work("case-1").exists()


def test_a_case_under_the_name_of_another_is_not_taken(store: Store) -> None:
    write_case(store).rename(store.path("case-2"))
    with pytest.raises(DamagedCase, match=r"case-2/case\.json is not the record of this case"):
        store.finished("case-2")


def interrupted_case(store: Store) -> None:
    with store.writing("case-1", CONTENT) as folder:
        (folder / "sweep.csv").write_text("half")
        raise KeyboardInterrupt


def interrupted_file(file: Path) -> None:
    with replacing(file) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt


def test_what_is_interrupted_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_case(store)
    assert list(store.cases.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        interrupted_file(store.directory / "records.csv")
    assert {path.name for path in store.directory.iterdir()} == {"cases", "work"}


def test_files_are_on_the_disk_before_they_have_their_names(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut finds under its name is whole, checksums and all."""
    synced: list[str] = []

    def sync(path: Path) -> None:
        there = store.path("case-1").exists() or (store.directory / "records.csv").exists()
        synced.append(f"{path.name.split('.host-')[0]}{' named' if there else ''}")

    for module in (store_module, files):
        monkeypatch.setattr(module, "sync", sync)
    monkeypatch.setattr(files.socket, "gethostname", lambda: "host")
    write_case(store)
    assert set(synced[:3]) == {"case.json", "sweep.csv", "weights.safetensors"}
    assert synced[3:] == [".case-1", "cases named"]
    synced.clear()
    store.path("case-1").rename(store.path("case-2"))
    replace_text(store.directory / "records.csv", "rows")
    assert synced == [".records.csv", "study named"]


def test_half_a_case_of_a_killed_process_is_cleared(store: Store) -> None:
    left = store.cases / ".case-1.elsewhere-7.partial"
    left.mkdir()
    write_case(store)
    assert [path.name for path in store.cases.iterdir()] == ["case-1"]


def test_what_a_kill_left_behind_is_cleared(store: Store) -> None:
    """After the renaming of a case, or in the middle of writing a file."""
    write_case(store)
    store.work("case-1").mkdir()
    assert store.finished("case-1")
    assert not store.work("case-1").exists()
    new, old = (store.directory / f".records.csv.host-{number}.partial" for number in (1, 2))
    new.touch()
    old.touch()
    os.utime(old, (0, 0))
    store.prepare()
    assert new.exists()
    assert not old.exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    replace_text(file, "first")
    with pytest.raises(UnicodeEncodeError):
        replace_text(file, "x" * 10_000 + "\ud800")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_records_have_the_columns_of_the_contract_and_missing_is_empty(store: Store) -> None:
    write_case(store)
    store.write_records("mine", ["case-1", "not-there"])
    lines = (store.directory / "records.csv").read_text().splitlines()
    assert lines[0].split(",") == list(RECORD_COLUMNS)
    assert len(lines) == 2
    row = dict(zip(RECORD_COLUMNS, lines[1].split(","), strict=True))
    assert (row["study"], row["accuracy"], row["timestep"]) == ("mine", "0.75", "1")
    assert row["spikes_per_image"] == ""


def test_records_are_in_the_order_of_the_study_with_the_calibration_of_each(store: Store) -> None:
    for name, steps in (("case-1", 0), ("case-2", 4)):
        with store.writing(name, CONTENT | {"calibration_timesteps": steps}) as folder:
            write_csv(folder / "sweep.csv", ("timestep",), [{"timestep": 1}, {"timestep": 2}])
    store.write_records("mine", ["case-2", "case-1"])
    with (store.directory / "records.csv").open(newline="") as stream:
        rows = [(row["case"], row["timestep"], row["calibration_timesteps"], row["seed"])
                for row in csv.DictReader(stream)]  # fmt: skip
    assert rows == [("case-2", "1", "4", "0"), ("case-2", "2", "4", "0"),
                    ("case-1", "1", "0", "0"), ("case-1", "2", "0", "0")]  # fmt: skip


def test_an_owner_is_named_with_its_minutes() -> None:
    owner = {"host": "here", "process": 7, "since": time.time() - 600}
    assert _owner(json.dumps(owner)) == "process 7 on here for 10 minutes"
    for text in ("", "{}", "3"):
        assert _owner(text) == "another process"


def test_write_csv_keeps_every_digit_and_refuses_unknown_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("x", "y"), [{"x": 0.1 + 0.2, "y": None}, {"x": 3.0}])
    assert (tmp_path / "a.csv").read_text() == "x,y\n0.30000000000000004,\n3,\n"
    write_csv(tmp_path / "a.csv", ("x",), [{"x": 2.0**53 - 1}, {"x": 1e300}, {"x": -4.0}])
    assert (tmp_path / "a.csv").read_text() == "x\n9007199254740991\n1e+300\n-4\n"
    with pytest.raises(ValueError, match="has no column"):
        write_csv(tmp_path / "b.csv", ("x",), [{"z": 1}])


def _hold(directory: str, held: Event, release: Event) -> None:
    with Store(Path(directory)).lock("case-1"):
        held.set()
        release.wait(30)


def test_a_case_has_one_owner_who_is_named(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(store.directory), held, release))
    process.start()
    assert held.wait(30)
    with pytest.raises(CaseBusy, match=f"process {process.pid} on "), store.lock("case-1"):
        pass
    process.kill()  # the kernel gives the lock back, whatever became of the owner
    process.join()
    with store.lock("case-1"):
        pass


def test_case_file_holds_the_checksums(store: Store) -> None:
    content = json.loads((write_case(store) / "case.json").read_text())
    assert set(content["checksums"]) == {"sweep.csv", "weights.safetensors"}
    assert content["format"] == 1


def write_slowly(store: Store) -> None:
    """Another writer finishes the same case before this one does."""
    with store.writing("case-1", CONTENT) as slow:
        (slow / "sweep.csv").write_text("slow")
        slow.rename(store.cases / ".elsewhere")  # so that the quick one does not clear it away
        write_case(store)
        (store.cases / ".elsewhere").rename(slow)


def test_of_two_writers_of_one_case_the_first_is_kept(store: Store) -> None:
    """Locks may fail on network storage: the second writer's files never mix with the first's."""
    with pytest.raises(CaseBusy, match="finished by another process"):
        write_slowly(store)
    assert store.finished("case-1")
    assert "slow" not in (store.path("case-1") / "sweep.csv").read_text()
    assert [path.name for path in store.cases.iterdir()] == ["case-1"]
