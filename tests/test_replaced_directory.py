"""A directory that changes whole or not at all, also where it cannot be renamed."""

import errno
import os
from pathlib import Path

import pytest

from compare.replaced_directory import check_replaceable, replacing_directory


def test_a_directory_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"
    for text in ("first", "second"):
        with replacing_directory(place) as partial:
            (partial / "a").write_text(text)
            (partial / f"only {text}").touch()
    with pytest.raises(FileNotFoundError), replacing_directory(place) as partial:
        (partial / "of no directory" / "a").write_text("third")
    rename = Path.rename

    def fails_in_place(source: Path, target: Path) -> Path:
        if source.name.endswith(".partial"):
            raise OSError("no")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fails_in_place)
    with pytest.raises(OSError, match="no"), replacing_directory(place) as partial:
        (partial / "a").write_text("fourth")
    assert (place / "a").read_text() == "second"
    assert sorted(file.name for file in place.iterdir()) == ["a", "only second"]
    assert list(tmp_path.iterdir()) == [place]


def test_what_a_killed_replacement_left_is_removed_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [tmp_path / f".out.host-1.{kind}" for kind in ("partial", "earlier")]
    for folder in (*left, tmp_path / ".other.host-1.partial"):
        folder.mkdir()
    with replacing_directory(tmp_path / "out"):
        assert all(folder.exists() for folder in left)
    monkeypatch.setattr("compare.replaced_directory.STALE_S", -1.0)
    with replacing_directory(tmp_path / "out"):
        pass
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other.host-1.partial", "out"]


def written(place: Path, *names: str) -> None:
    with replacing_directory(place) as partial:
        for name in names:
            (partial / name).write_text(f"{name} of {len(names)}")


def content(place: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in place.iterdir()}


def refused(path: Path, code: int) -> OSError:
    return OSError(code, os.strerror(code), str(path))


def test_the_directory_that_this_process_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    check_replaceable(Path("."))
    assert not list(tmp_path.iterdir())
    written(Path("."), "a", "b")
    written(Path("."), "a")
    assert content(tmp_path) == {"a": "a of 1"}
    assert tmp_path.stat().st_ino == inode


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    written(tmp_path / "out", "a")
    assert (tmp_path / "out").is_symlink()
    assert content(tmp_path / "disk" / "real") == {"a": "a of 1"}


def test_what_is_above_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "earlier").mkdir()
    mkdir = Path.mkdir

    def only_inside(self: Path, **given: bool) -> None:
        if self.parent != place:
            raise refused(self, errno.EACCES)
        mkdir(self, **given)

    monkeypatch.setattr(Path, "mkdir", only_inside)
    check_replaceable(place)
    written(place, "a", "b")
    assert content(place) == {"a": "a of 2", "b": "b of 2"}
    for ask in (check_replaceable, written):
        with pytest.raises(PermissionError):
            ask(tmp_path / "new")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EPERM])
def test_a_directory_that_is_not_renamed(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume may be mounted there, or it may belong to somebody else."""
    place = tmp_path / "out"
    written(place, "a", "b")

    def fails(self: Path, target: Path) -> Path:
        raise refused(self, code)

    monkeypatch.setattr(Path, "rename", fails)
    written(place, "a", "c", "d")
    assert content(place) == {"a": "a of 3", "c": "c of 3", "d": "d of 3"}
    assert list(tmp_path.iterdir()) == [place]


def test_a_mounted_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "out"
    place.mkdir()
    inode = place.stat().st_ino
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == place)
    written(place, "a")
    assert content(place) == {"a": "a of 1"}
    assert place.stat().st_ino == inode
    with pytest.raises(FileNotFoundError):
        written(place, "a", "of no directory/b")
    assert content(place) == {"a": "a of 1"}
