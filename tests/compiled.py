"""What tests of compiled code share: they are skipped where there is no compiler."""

from __future__ import annotations

import pytest

from network.compiled.building import NoCompiler, find_compiler
from network.sums import Kernel, load_kernel


def needs_compiler() -> None:
    """Skips the test that calls it where this machine has no C compiler."""
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))


def kernel() -> Kernel:
    needs_compiler()
    return load_kernel()
