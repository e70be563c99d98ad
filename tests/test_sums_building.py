"""The kernel is built safely or not at all."""

from __future__ import annotations

import atexit
import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conversion import convert
from network.compiled import building as building_module
from network.compiled.building import NoCompiler, built
from network.fixed import fixed_point
from network.sums import NoKernel, load_kernel
from network.sums import kernel as kernel_module
from network.unroll import SpikingNetwork
from tests.compiled import kernel, needs_compiler
from tests.small_networks import SHAPE, images, network


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own, and nothing remembered from before or for later."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_kernel.cache_clear()
    yield tmp_path
    load_kernel.cache_clear()


def source_in(tmp_path: Path, text: str) -> Path:
    source = tmp_path / "small.c"
    source.write_text(text)
    return source


def test_a_library_is_compiled_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler()
    source = source_in(own_cache, "int one(void) { return 1; }\n")
    library = built(source)
    assert library.exists()
    assert [file.suffix for file in library.parent.iterdir()] == [".so"]  # nothing half written

    def never(*arguments: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(building_module, "_compile", never)
    assert built(source) == library
    source.write_text("int one(void) { return 2; }\n")
    with pytest.raises(AssertionError, match="again"):
        built(source)


def test_what_does_not_compile_is_one_line(own_cache: Path) -> None:
    needs_compiler()
    with pytest.raises(NoCompiler, match=r"small\.c") as raised:
        built(source_in(own_cache, "int one(void) { return wrong; }\n"))
    assert "\n" not in str(raised.value)
    assert not list((own_cache / "isospike" / "compiled").iterdir())


def test_a_compiler_that_hangs_is_one_line(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("cc", 1)

    monkeypatch.setattr(building_module, "find_compiler", lambda: __file__)
    monkeypatch.setattr(building_module, "_processor", list)  # it may ask a process of its own
    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(NoCompiler, match="TimeoutExpired"):
        built(source_in(own_cache, ""))


def test_without_a_compiler_pytorch_runs_alone(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    snn = convert_small()
    fixed = fixed_point(snn, SHAPE, 16)
    assert fixed.plan.arithmetic.kernel is None
    assert "no C compiler here (no-such-compiler)" in fixed.note
    assert "\n" not in fixed.note
    with pytest.raises(NoKernel, match="no-such-compiler"):
        fixed_point(snn, SHAPE, 16, events=True)


def test_a_kernel_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel()
    load_kernel.cache_clear()
    with monkeypatch.context() as wrong:
        wrong.setattr(kernel_module, "_agrees", lambda *arguments: False)
        fixed = fixed_point(convert_small(), SHAPE, 16)
    load_kernel.cache_clear()
    assert fixed.plan.arithmetic.kernel is None
    assert "does not agree with float64" in fixed.note


def convert_small() -> SpikingNetwork:
    return convert(network("plain"), images(16), method="channel-norm").network


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-9] + b"x" * 9],
)
def test_a_spoilt_library_is_built_anew(own_cache: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    """Half a library ends the process that loads it."""
    needs_compiler()
    source = source_in(own_cache, "int one(void) { return 1; }\n")
    library = built(source)
    whole = library.read_bytes()
    library.write_bytes(spoil(whole))
    again = built(source)
    assert ctypes.CDLL(str(again)).one() == 1
    assert list(library.parent.iterdir()) == [again]


@pytest.mark.parametrize("cache", ["", "a/relative/one", "/dev/null"])
def test_without_a_cache_a_process_has_a_directory_of_its_own(
    cache: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home, a path that says nothing, and one that cannot be written."""
    needs_compiler()
    at_the_end = []
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setattr(os.path, "expanduser", str)
    monkeypatch.setattr(tempfile, "tempdir", str(own_cache))
    monkeypatch.setattr(atexit, "register", lambda *call, **how: at_the_end.append((call, how)))
    building_module._own_directory.cache_clear()
    library = built(source_in(own_cache, "int one(void) { return 1; }\n"))
    building_module._own_directory.cache_clear()
    assert library.exists()
    assert library.parent.parent == own_cache
    (((remove, *given), how),) = at_the_end
    remove(*given, **how)
    assert not library.parent.exists()


def test_a_cache_that_may_not_be_looked_into_is_left(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_compiler()

    def refused(directory: Path, name: str) -> None:
        if directory.parent.parent == own_cache:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(building_module, "_kept", refused)
    assert own_cache not in built(source_in(own_cache, "int one(void) { return 1; }\n")).parents
