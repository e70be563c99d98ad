"""What a study names is never run nor misread as markup, and nothing is fetched unasked."""

import io
import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from compare.data import DataError, loading
from compare.data.sources import DATASETS, Source
from compare.execute import Settings, run_study
from compare.study import build_study
from reports import page
from tests.stress.test_faults import write_arrays

MARKUP = "<script>alert(1)</script>"
TEX = r"\input{/etc/passwd}$&%"


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text inside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study whose every name is markup: title, variant, path of the data."""
    folder = tmp_path_factory.mktemp("hostile")
    place = Path("<script>alert(1)<", "script>")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.chdir(folder)
    place.mkdir(parents=True)
    dataset = write_arrays(place / f"{TEX.replace('/', '')}.npz")
    variant = f"{MARKUP}{TEX}"
    study = build_study(
        {
            "name": "hostile",
            "title": f"title {MARKUP}",
            "description": f"description {MARKUP} {TEX} {{{{7*7}}}}",
            "source": f'" onload="alert(1) {MARKUP}',
            "datasets": [dataset],
            "architectures": ["mlp-8"],
            "methods": [variant, "data-norm"],
            "variants": {variant: {"method": "robust-norm"}},
            "seeds": 1,
            "timesteps": 3,
            "calibration_images": 20,
            "precision": "float32",
            "threads": 1,
            "ann": {"epochs": 1},
            "paper": [
                {"method": variant, "value": 0.5, "label": MARKUP, "unit": MARKUP, "source": MARKUP}
            ],
        },
        where="test",
    )
    directory = folder / "study"
    settings = Settings(None, False, "cpu", 1, f"isospike {MARKUP}")
    _, failures = run_study(study, directory, settings, Console(file=io.StringIO()))
    assert not failures
    with warnings.catch_warnings():  # names as long as these leave a figure little room
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        page.build([directory])
    monkeypatch.undo()
    return directory


def test_the_page_has_only_our_tags(hostile: Path) -> None:
    text = (hostile / "report" / "index.html").read_text()
    assert "alert(1)" in text  # the names are there, as text
    assert MARKUP not in text
    found = Tags(text).tags
    assert sum(tag == "script" for tag, _ in found) == 1  # our own
    events = [key for _, attributes in found for key in attributes if key.startswith("on")]
    assert events == []
    assert "49" not in [word.strip("{}") for word in text.split() if "{{" in word]
    links = [attributes.get("href") or "" for tag, attributes in found if tag == "a"]
    assert not [link for link in links if link.startswith("javascript:")]


def test_figures_have_no_script(hostile: Path) -> None:
    figures = list((hostile / "report" / "figures").glob("*.svg"))
    assert figures
    assert not [figure for figure in figures if "<script" in figure.read_text()]


def test_tables_are_escaped(hostile: Path) -> None:
    tables = hostile / "report" / "tables"
    named = 0
    for file in tables.glob("*.tex"):
        assert r"\input{" not in file.read_text()
        named += r"\textbackslash{}input" in file.read_text()
    assert named
    for file in tables.glob("*.md"):
        lines = [line.replace(r"\<", "") for line in file.read_text().splitlines()]
        assert not [line for line in lines if "<script" in line]


def test_nothing_leaves_the_study_directory(hostile: Path) -> None:
    names = {path.name for path in hostile.parent.iterdir()}
    assert names == {"study", "<script>alert(1)<"}
    assert all("/" not in path.name for path in (hostile / "cases").iterdir())


WATCHED = """
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise SystemExit(f"reaches for the network: {event} {arguments}")
sys.addaudithook(hook)
import compare.__main__
compare.__main__.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "tiny.toml", "--jobs", "1"],
        ["compare", "--dataset", "cifar10", "--data", "."],
        ["data"],
        ["list", "conversions"],
        ["studies"],
    ],
)
def test_no_network(arguments: list[str], tmp_path: Path) -> None:
    """The whole of a small study, report included, and what only reads."""
    from tests.stress.test_faults import write_study

    write_study(tmp_path)
    root = str(Path(__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-P", "-c", WATCHED, *arguments],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root},
    )  # fmt: skip
    assert "reaches for the network" not in result.stderr
    assert result.returncode == (2 if "cifar10" in arguments else 0), result.stderr


def archive(path: Path, name: str) -> Path:
    """An archive with one member of that name (a .tar.gz also with a link to the parent)."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(name, "outside")
        return path
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, ".."
        tar.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 7
        tar.addfile(member, io.BytesIO(b"outside"))
    return path


@pytest.mark.parametrize("kind", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize("name", ["../evidence", "link/evidence", "{root}/evidence"])
def test_an_archive_cannot_write_outside(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the way that every download goes, with torchvision's own unpacking."""
    made = archive(tmp_path / kind, name.format(root=tmp_path))

    def download(target: Path) -> None:
        from torchvision.datasets.utils import extract_archive

        extract_archive(str(made), str(target))

    source = Source("hostile", "", lambda folder: None, "", (), ("x",), download=download)  # type: ignore[arg-type,return-value]
    monkeypatch.setitem(DATASETS._entries, "hostile", source)
    with pytest.raises(DataError, match="hostile"):
        loading.find("hostile", source, tmp_path / "data", download=True)
    assert not (tmp_path / "evidence").exists()
    assert tarfile.TarFile.extraction_filter is None  # as it was before


def test_nothing_in_a_study_is_evaluated(tmp_path: Path) -> None:
    """Values that are code stay text: in options, and in the name of a model."""
    code = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
    build_study(
        {"name": "a", "description": code, "options": {"bptt": {"gamma": code}}}, where="test"
    )
    study = build_study({"name": "a", "architectures": [f"{code}:x"], "seeds": 1}, where="test")
    settings = Settings(None, False, "cpu", 1, "test")
    with pytest.raises(ValueError, match="cannot be found"):
        run_study(study, tmp_path / "study", settings, Console(file=io.StringIO()))
    assert not (tmp_path / "ran").exists()


def test_archives_need_a_python_that_filters_their_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("tarfile.data_filter")
    monkeypatch.setattr("socket.socket.connect", lambda *given: pytest.fail("a connection"))
    with pytest.raises(DataError, match=r"cifar10: .*archives are unpacked with Python 3\.11\.4"):
        loading.load("cifar10", tmp_path, download=True)
