"""Every registered name with its one line, readable without torch.

`catalogue.json` is written from the registries by `make catalogue`; a test fails when it is not
current. What the reports hold (metrics, energies, figures) is read from there directly.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from network.architectures import is_perceptron
from network.registry import nearest

KINDS = (
    "datasets",
    "architectures",
    "conversions",
    "rules",
    "presets",
    "surrogates",
    "neurons",
    "metrics",
    "energies",
    "figures",
)
METHOD_KINDS = ("conversions", "rules", "presets")
USER_PREFIXES = {"datasets": ("folder:", "npz:")}


class UnknownEntry(ValueError):
    """A name that the catalogue does not hold; the message lists those it does."""


@cache
def _stored() -> dict[str, Any]:
    text = resources.files("compare").joinpath("catalogue.json").read_text("utf-8")
    stored: dict[str, Any] = json.loads(text)
    return stored


def entries(kind: str) -> dict[str, str]:
    """Name -> one line, for one of KINDS."""
    if kind not in KINDS:
        raise UnknownEntry(
            f"unknown kind {kind!r}; known: {', '.join(KINDS)}; or the name of a method, for its "
            "options"
        )
    if kind == "metrics":
        metrics = import_module("reports.metrics").METRICS
        return {name: metric.summary for name, metric in metrics.items()}
    if kind == "energies":
        models = import_module("reports.energy").ENERGIES
        return {name: model.summary for name, model in models.items()}
    if kind == "figures":
        figures = import_module("reports.figures").FIGURES
        return {name: f"{f.description} [needs {f.needs}]" for name, f in figures.items()}
    found: dict[str, str] = _stored()[kind]
    return found


def has_options(name: str) -> bool:
    """Whether `name` is a conversion, a rule, a preset, or qcfs-ann."""
    return name in _stored()["options"]


def options(method: str) -> dict[str, dict[str, Any]]:
    """Option -> its default and its meaning, of a method that `has_options` knows."""
    found: dict[str, dict[str, Any]] = _stored()["options"][method]
    return found


def lines(method: str) -> list[tuple[str, str]]:
    """("option = default" as in TOML, its meaning) of every option of a method."""
    return [
        (f"{name} = {json.dumps(option['default'])}", option["meaning"])
        for name, option in options(method).items()
    ]


def kinds() -> dict[str, str]:
    """Kind -> its names, in one line."""
    return {kind: ", ".join(entries(kind)) for kind in KINDS}


def check(kind: str, name: str) -> None:
    """Raise UnknownEntry in one line unless `name` exists (or is a kind of the user's own)."""
    if kind == "architectures" and (":" in name or is_perceptron(name)):
        return  # a module of the user's is checked when it is loaded
    if name.startswith(USER_PREFIXES.get(kind, ("\0",))):
        return
    if name not in entries(kind):
        raise UnknownEntry(_unknown(kind.rstrip("s"), name, list(entries(kind))))


def is_method(name: str) -> bool:
    """Whether `name` is a conversion, a rule of direct training, or a paper's preset."""
    return any(name in _stored()[kind] for kind in METHOD_KINDS)


def is_conversion(name: str) -> bool:
    """Whether `name` is a conversion method."""
    return name in _stored()["conversions"]


def check_method(name: str, *, also: tuple[str, ...]) -> None:
    """Raise UnknownEntry unless `name` is a method or one of `also`."""
    if not is_method(name) and name not in also:
        known = [*(entry for kind in METHOD_KINDS for entry in _stored()[kind]), *also]
        raise UnknownEntry(_unknown("method", name, known))


def _unknown(kind: str, name: str, known: list[str]) -> str:
    return f"unknown {kind} {name!r}; {nearest(name, known)}known: {', '.join(known)}"


def collect() -> dict[str, dict[str, str]]:
    """The torch-bound registries as they are now (loads torch)."""
    from compare.data import DATASETS
    from conversion import CONVERSIONS
    from direct import PRESETS, RULES
    from direct.membrane_bp.neuron import EventDynamics
    from direct.surrogates import SURROGATES
    from network.architectures import ARCHITECTURES, describe
    from network.neurons import NEURONS

    return {
        "datasets": {name: DATASETS.get(name).description for name in DATASETS},
        "architectures": {name: describe(name).summary for name in ARCHITECTURES},
        "conversions": {name: CONVERSIONS.get(name).summary for name in CONVERSIONS},
        "rules": {name: RULES.get(name).summary for name in RULES},
        "presets": {
            name: f"{PRESETS.get(name).summary} ({PRESETS.get(name).source})" for name in PRESETS
        },
        "surrogates": {name: _first_line(SURROGATES.get(name)) for name in SURROGATES},
        "neurons": {
            **{name: _first_line(NEURONS.get(name)) for name in NEURONS},
            "lif-event": _first_line(EventDynamics),
        },
    }


def collect_options() -> dict[str, dict[str, dict[str, Any]]]:
    """Every method's options with their defaults and meanings (loads torch)."""
    from compare.options import options_of_method, resolved
    from compare.study import QUANTISED_ANN
    from conversion import CONVERSIONS
    from direct import PRESETS, RULES

    found: dict[str, dict[str, dict[str, Any]]] = {}
    for method in (*CONVERSIONS, QUANTISED_ANN, *RULES, *PRESETS):
        declared = options_of_method(method)
        found[method] = {
            name: {"default": default, "meaning": declared[name].meaning}
            for name, default in resolved(method, {}).items()
        }
    return found


def _first_line(entry: Any) -> str:
    return (entry.__doc__ or "").strip().splitlines()[0]


def main() -> None:
    """Write catalogue.json beside this file."""
    path = Path(__file__).with_name("catalogue.json")
    content = {**collect(), "options": collect_options()}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
