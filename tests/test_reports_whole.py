"""A report that is killed at any change of its files: the next one mends it."""

import subprocess
import sys
from pathlib import Path

import pytest

from reports.whole import ForeignEntries, refuse_foreign, replaced

FOLDERS, PAGE = ("figures", "tables"), "index.html"
BOTH = ("figures/a.svg", "figures/b.svg", "tables/a.tex")
VERSIONS = {"none": (), "both": BOTH, "figures": ("figures/a.svg", "figures/c.svg")}

# Ends, as SIGKILL would, before the first, second, ... change of a name; one directory for each.
KILLED = """
import itertools, os, sys
from pathlib import Path
from tests.test_reports_whole import build

CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove"}
folder, earlier, later = Path(sys.argv[1]), *sys.argv[2:]
for number in itertools.count(1):
    home = folder / f"{number:02}"
    if earlier != "none":
        build(home, "earlier", earlier)
    child = os.fork()
    if child == 0:
        changes = itertools.count(1)
        sys.addaudithook(
            lambda event, _: event in CHANGES and next(changes) == number and os._exit(9)
        )
        build(home, "later", later)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


def build(home: Path, text: str, version: str) -> None:
    """A report of which every file holds `text`."""
    with replaced(home, FOLDERS, PAGE) as partial:
        for name in (*VERSIONS[version], PAGE):
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(text)


def content(home: Path) -> dict[str, str]:
    """Every file by its path; an empty directory too."""
    found = {}
    for path in home.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(home))] = path.read_text()
        elif not any(path.iterdir()):
            found[str(path.relative_to(home))] = "empty"
    return found


def whole(text: str, version: str) -> dict[str, str]:
    return dict.fromkeys((*VERSIONS[version], PAGE), text) if VERSIONS[version] else {}


@pytest.mark.parametrize(
    ("earlier", "later"), [("both", "figures"), ("figures", "both"), ("none", "both")]
)
def test_killed_at_every_change(earlier: str, later: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, tmp_path, earlier, later]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    *killed, finished = sorted(tmp_path.iterdir())
    assert content(finished) == whole("later", later)
    assert len(killed) > 8
    states = set()
    for home in killed:
        found = content(home)
        page = found.get(PAGE)
        states.add(page)
        assert page or earlier == "none"
        if page:  # its figures are in place, or just moved aside
            for name in VERSIONS[earlier if page == "earlier" else later]:
                assert page in (found.get(name), found.get(f".earlier/{name}"))
        mended = next_build_fails(home)
        assert mended in (whole("earlier", earlier), whole("later", later))
        assert page != "later" or mended == whole("later", later)
        build(home, "last", "both")
        assert content(home) == whole("last", "both")
    assert states == {"later", None if earlier == "none" else "earlier"}


def next_build_fails(home: Path) -> dict[str, str]:
    """What is there when the next report is not built to its end."""
    with pytest.raises(FileNotFoundError), replaced(home, FOLDERS, PAGE) as partial:
        (partial / "of no folder" / PAGE).write_text("cut off")
    return content(home)


def build_cut_off(home: Path, monkeypatch: pytest.MonkeyPatch, entry: str, text: str) -> None:
    """A report whose renames fail at this entry."""
    rename = Path.replace

    def fails(self: Path, target: Path) -> Path:
        if self.name == entry:
            raise OSError("read-only")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(OSError, match="read-only"):
            build(home, text, "both")


def test_a_rename_that_fails_is_mended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, "earlier", "both")
    build_cut_off(tmp_path, monkeypatch, "tables", "later")
    assert content(tmp_path)[PAGE] == "earlier"
    assert next_build_fails(tmp_path) == whole("later", "both")


def known(file: Path) -> bool:
    return file.suffix == ".svg"


@pytest.mark.parametrize("name", ["figures/photo.png", "tables/mine.csv", "index.html", "tables"])
def test_entries_of_another_origin_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ForeignEntries, match=f"holds {name.split('/')[0]} of another origin"):
        refuse_foreign(tmp_path, FOLDERS, PAGE, "– ours", known)
    (tmp_path / PAGE).write_text("<title>a – ours")
    refuse_foreign(tmp_path, FOLDERS, PAGE, "– ours", known)


def test_figures_kept_without_their_page_are_ours(tmp_path: Path) -> None:
    build(tmp_path, "<title>a – ours", "figures")
    (tmp_path / PAGE).unlink()
    refuse_foreign(tmp_path, FOLDERS, PAGE, "– ours", known)
    (tmp_path / "taken").touch()
    with pytest.raises(ForeignEntries, match="must be a directory"):
        refuse_foreign(tmp_path / "taken", FOLDERS, PAGE, "– ours", known)


def test_a_first_report_cut_off_in_its_renames_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cut_off(tmp_path, monkeypatch, PAGE, "<title>a – ours")
    assert (tmp_path / "tables" / "a.tex").exists()
    assert not (tmp_path / PAGE).exists()
    refuse_foreign(tmp_path, FOLDERS, PAGE, "– ours", known)
