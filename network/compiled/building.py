"""A C file as a library of this machine: compiled once, kept in the user's cache."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
# no trap is looked at: without that a compiler makes no vectors of comparisons and floors
FLAGS = ("-O3", "-march=native", "-fwrapv", "-fno-trapping-math", "-std=c11", "-shared", "-fPIC")
SECONDS = 120  # that a compiler may take


class NoCompiler(RuntimeError):
    """Nothing was built; the message says why, in one line."""


def built(source: Path, *options: str) -> Path:
    """The shared library of a C file, from the cache or compiled now, with more options if given.

    Its name holds a hash of the text, of headers beside it, the flags, the compiler and the
    processor, and one of the library itself: what was cut off or changed since is built anew, for
    a process that loads half a library is killed. It is written under another name first, so that
    no process sees half of it.
    """
    compiler = find_compiler()
    headers = sorted(source.parent.glob("*.h"))
    text = b"".join(file.read_bytes() for file in (source, *headers))
    name = f"{source.stem}-{_identity(text, compiler, options)}"
    for directory in _directories():
        try:
            kept = _kept(directory, name)
            if kept is not None:
                return kept
            directory.mkdir(parents=True, exist_ok=True)
            handle, other = tempfile.mkstemp(suffix=".so", dir=directory)
        except OSError:
            continue
        os.close(handle)
        try:
            _compile(compiler, source, Path(other), options)
            library = directory / f"{name}-{_digest(Path(other).read_bytes())}.so"
            os.replace(other, library)
        finally:
            Path(other).unlink(missing_ok=True)
        return library
    raise NoCompiler("no directory to keep a compiled library in")


def _kept(directory: Path, name: str) -> Path | None:
    """The library of this name that is as it was written; those that are not are removed."""
    for library in sorted(directory.glob(f"{name}-*.so")):
        with suppress(OSError):
            if library.stem == f"{name}-{_digest(library.read_bytes())}":
                return library
            library.unlink()
    return None


def find_compiler() -> str:
    """$CC where it is set, else the first of cc, gcc and clang."""
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else COMPILERS:
        if path := shutil.which(name):
            return path
    raise NoCompiler(f"no C compiler here ({wanted or ', '.join(COMPILERS)})")


def _directories() -> Iterator[Path]:
    """The user's cache; a directory of this process where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if base.is_absolute():  # a user without a home has none
        yield base / "isospike" / "compiled"
    with suppress(OSError):
        yield _own_directory()


@cache
def _own_directory() -> Path:
    """Removed when the process ends."""
    directory = Path(tempfile.mkdtemp(prefix="isospike-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _identity(text: bytes, compiler: str, options: Sequence[str]) -> str:
    facts = (compiler, str(os.stat(compiler).st_mtime_ns), *FLAGS, *options, *_processor())
    return _digest(text + "\0".join(facts).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _processor() -> Iterator[str]:
    """What `-march=native` depends on."""
    yield platform.machine()
    yield platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            if line.startswith(("model name", "flags", "Features", "CPU part")):
                yield line
    except OSError:
        pass


def _compile(compiler: str, source: Path, library: Path, options: Sequence[str]) -> None:
    command = [compiler, *FLAGS, *options, str(source), "-o", str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompiler(f"{compiler} did not run ({type(error).__name__})") from error
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "")
        raise NoCompiler(f"{compiler} does not compile {source.name} here: {reason.strip()}")
