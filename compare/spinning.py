"""How long threads that have nothing to do keep a core busy. Loads no torch."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = "10000"  # some microseconds


def rest_soon(environment: MutableMapping[str, str] = os.environ) -> None:
    """Threads of GNU OpenMP sleep soon after their part of a layer; before torch is loaded.

    By default they wait for it on a busy core for milliseconds, a core that threads which sum over
    events, or other programs, could have. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
