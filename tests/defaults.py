"""Defaults that decide results and stand in no study: `python -m tests.defaults` writes them.

A case is keyed by what its study says and by the version of its method (compare.cases.VERSIONS).
So a default that changes must raise that version, or results of the old one would be taken for
results of the new one. A default that is new, and leaves results as they are, need not.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compare.cases import VERSIONS
from compare.options import ANN, resolved
from compare.resolved import ANN_RECIPE
from compare.study import QUANTISED_ANN
from compare.ways import way_of
from conversion import CONVERSIONS
from direct import PRESETS, RULES

FILE = Path(__file__).parent / "defaults.json"
METHODS = (ANN, QUANTISED_ANN, *CONVERSIONS, *RULES, *PRESETS)

Defaults = dict[str, dict[str, Any]]


def current() -> Defaults:
    """By method its version and, with a dotted name each, the defaults that it has now."""
    found = {name: {"version": VERSIONS.get(name, 1), **_of(name)} for name in METHODS}
    return json.loads(json.dumps(found))  # as they are read back: lists, no tuples


def kept() -> Defaults:
    """Those that were written last."""
    return json.loads(FILE.read_text("utf-8"))


def changed_silently(before: Defaults, now: Defaults) -> list[str]:
    """What has another value, or is gone, in a method whose version is the same."""
    return [
        f"{method}: {name} = {now[method].get(name)!r}, was {value!r}"
        for method, values in before.items()
        if method in now and now[method]["version"] == values["version"]
        for name, value in values.items()
        if name not in now[method] or now[method][name] != value
    ]


def _of(method: str) -> dict[str, Any]:
    options = {f"options.{name}": value for name, value in resolved(method, {}).items()}
    if method in (ANN, QUANTISED_ANN):
        return options | _recipe(ANN_RECIPE)
    if method in CONVERSIONS:
        conversion = CONVERSIONS.get(method)
        count = {"calibration_images": conversion.calibration_images, "ann": conversion.ann}
        return options | count
    way = way_of(method)
    own = {
        "timesteps": way.timesteps,
        "encoding": way.encoding,
        "readout": way.readout,
        "batch_norm": way.batch_norm,
        "dropout": way.dropout,
    }
    return options | own | _recipe(way.recipe)


def _recipe(recipe: Any) -> dict[str, Any]:
    return {f"training.{name}": value for name, value in asdict(recipe).items()}


def main() -> None:
    """Write the defaults of now; exit with what changed under the same version, if anything did."""
    now = current()
    if FILE.exists() and (lines := changed_silently(kept(), now)):
        raise SystemExit("raise the version in compare.cases.VERSIONS of\n" + "\n".join(lines))
    FILE.write_text(json.dumps(now, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
