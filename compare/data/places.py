"""Where each data set is looked for, and whether it is there. Loads no torch."""

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from compare.data.errors import DataError
from compare.data.sources import DATASETS, Source

OWN = ("folder", "npz")  # data of the user's own: folder:PATH, npz:PATH


@dataclass(frozen=True)
class Where:
    """`path`: where the data set lies, or the directory that was searched. `how`: to get it."""

    name: str
    found: bool
    path: Path
    missing: tuple[str, ...]
    how: str


def data_directory(directory: Path | None) -> Path:
    """The one directory that is searched: the given one, else $ISOSPIKE_DATA, else the cache."""
    if directory is not None:
        return directory.expanduser()
    from_environment = os.environ.get("ISOSPIKE_DATA")
    return Path(from_environment or "~/.cache/isospike").expanduser()


def source_of(name: str) -> Source:
    """The source of that name; `folder:PATH` and `npz:PATH` are known by their first word."""
    word, colon, path = name.partition(":")
    if colon and word in OWN:
        if not path:
            raise DataError(f"{name!r} names no path; write {word}:PATH")
        return DATASETS.get(f"{word}:PATH")
    return DATASETS.get(name)


def locate(name: str, directory: Path | None = None) -> Where:
    """Look for a data set; raises UnknownName for a name that is none."""
    source = source_of(name)
    if source.embedded is not None:
        file = source.embedded()
        if file is not None:
            return Where(name, True, file, (), "")
        packages = Path(sysconfig.get_path("purelib"))
        return Where(name, False, packages, source.files, source.obtain)
    own = name.partition(":")[2]
    searched = Path(own).expanduser() if own and not source.places else data_directory(directory)
    best: tuple[str, ...] = source.files
    for place in source.places or ("",):
        folder = searched / place
        missing = missing_files(folder, source.files, packed=source.packed)
        other = bool(source.also) and not missing_files(folder, source.also)
        if other or (not missing and folder.exists()):
            return Where(name, True, folder, (), "")
        if len(missing) < len(best):
            best = missing
    return Where(name, False, searched, best, way(source, searched, given=directory is not None))


def missing_files(folder: Path, files: tuple[str, ...], *, packed: bool = False) -> tuple[str, ...]:
    """Those of the files that are not in the folder, where `packed` not as .gz either."""
    return tuple(
        name
        for name in files
        if not (folder / name).exists() and not (packed and (folder / f"{name}.gz").exists())
    )


def way(source: Source, searched: Path, *, given: bool) -> str:
    """How to get it, in words for the end of a line. given: whether --data names the directory."""
    obtain = source.obtain.replace("DIR", str(searched))
    if source.download is None:
        return obtain
    if not given:
        return f"it is downloaded at its first use where there is a network; or put {obtain}"
    return f"leave out --data to download it where there is a network, or put {obtain}"


def absent(where: Where) -> DataError:
    """The one line for a data set that is not there."""
    if ":" in where.name and not where.path.exists():  # folder:PATH, npz:PATH
        return DataError(f"{where.name}: {where.path} does not exist; to get it: {where.how}")
    missing = f"; missing: {', '.join(where.missing)}" if where.missing else ""
    return DataError(f"{where.name} is not in {where.path}{missing}; to get it: {where.how}")
