"""What figures share: the entry of the registry, rows from curves, and lines in one style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports import numbers
from reports.analysis import Analysis
from reports.curves import Curve
from reports.intervals import ENOUGH, t_half
from reports.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    prepare: tidy rows with a column `panel`, empty where the study has no data for it; draw: one
    panel's rows onto axes; needs: the data without which it is left out, in words; detail: whether
    a page shows it for the shallowest and the deepest alone of a family of networks; spread: how
    it draws what seeds differ by, a key of `captions.SPREADS`; reported: whether it shows methods
    at their report T alone, so that a caption says which that is.
    """

    name: str
    title: str
    description: str
    needs: str
    prepare: Callable[[Analysis], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Axes], None]
    aspect: float = 1.0
    legend: bool = True
    detail: bool = False
    spread: str = ""
    reported: bool = False


MOST_TICKS = 8
FAR_APART = 20
"""How many times the least value the largest is where an axis of values is logarithmic."""

IDENTITY = ("panel", "label", "method", "arm", "variant", "n")


def identity(curve: Curve) -> dict[str, Any]:
    """The columns of a row that say whose it is."""
    return {
        "panel": curve.network,
        "label": curve.label,
        "method": curve.base,
        "arm": curve.arm,
        "variant": curve.variant,
        "n": len(curve.seeds),
    }


def sweep_rows(curves: Iterable[Curve], measures: Sequence[str]) -> pd.DataFrame:
    """One row per curve and T: the mean of each measure, and its 95 % ends where seeds give them.

    A network with the ANN alone has no T, and so no rows.
    Columns: IDENTITY, timestep, latency, trained (whether it is the T of the training), and
    MEASURE, MEASURE_low, MEASURE_high (of `spreads`).
    """
    given = list(curves)
    swept = {curve.network for curve in given if curve.arm != "ann"}
    ends = [f"{measure}{end}" for measure in measures for end in ("", "_low", "_high")]
    tables = [pd.DataFrame(columns=[*IDENTITY, "timestep", "latency", "trained", *ends])]
    for curve in given:
        if curve.network not in swept:
            continue
        columns = identity(curve) | {
            "timestep": curve.timesteps.astype(int),
            "latency": curve.latency.astype(int),
            "trained": curve.timesteps == trained_for(curve),
        }
        for measure in measures:
            columns |= spreads(measure, curve.measures[measure])
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def counted(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows of the panels in which any network has spent something of a measure."""
    return rows[rows[measure].gt(0).groupby(rows["panel"]).transform("any").astype(bool)]


def trained_for(curve: Curve) -> int | None:
    """The T that a directly trained network was trained for."""
    return curve.train_timesteps if curve.arm == "direct" else None


def spreads(name: str, values: np.ndarray) -> dict[str, Any]:
    """Mean and 95 % ends of each column of [seeds, n]; NaN for one seed or a missing value.

    Of two or three seeds the ends are the least and the largest.
    """
    mean = values.mean(axis=0)
    low = high = np.full(mean.shape, np.nan)
    if len(values) >= ENOUGH:
        half = t_half(values)
        low, high = mean - half, mean + half
    elif len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def spread(name: str, values: np.ndarray) -> dict[str, Any]:
    """The same of the values of one place."""
    return {key: found[0] for key, found in spreads(name, values[:, None]).items()}


def at_report(curve: Curve, measure: str) -> dict[str, float] | None:
    """A measure at the report T, and its ends (`low`, `high`) over seeds or, of one, over images.

    None where a seed lacks it. Ends that seeds do not give are NaN; none lies beyond what can be.
    """
    found = curve.interval(measure, curve.report_timestep)
    if measure == "accuracy" and len(curve.seeds) == 1:
        found = curve.accuracy_interval(curve.report_timestep)
    if found is None or not np.isfinite(found.estimate):
        return None
    high = min(1.0, found.high) if measure == "accuracy" else found.high
    return {measure: found.estimate, "low": max(0.0, found.low), "high": high}


def each(rows: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of each label, in the order in which labels come."""
    for label in rows["label"].unique():
        yield str(label), rows[rows["label"] == label]


def look_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Line arguments of the method that the rows belong to."""
    first = rows.iloc[0]
    return look(first["method"], first["arm"], int(first["variant"])).line()


def timestep_axis(ax: Axes, values: pd.Series, label: str = "timesteps T") -> None:
    """A logarithmic axis of steps with plain numbers at powers of two."""
    largest = int(values.max())
    ticks = [2**k for k in range(largest.bit_length()) if 2**k >= values.min()]
    while len(ticks) > MOST_TICKS:
        ticks = ticks[::2]
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlabel(label)


def value_axis(ax: Axes, values: pd.Series, label: str) -> None:
    """An axis of the values of a setting: logarithmic where they are powers rather than steps."""
    from matplotlib.ticker import NullLocator

    ax.set_xlabel(label)
    given = sorted(values.unique())
    if given[0] > 0 and given[-1] >= FAR_APART * given[0]:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        shown = given[:: -(-len(given) // MOST_TICKS)]
        ax.set_xticks(shown, [numbers.tick(value) for value in shown])


def accuracy_axis(ax: Axes, values: pd.Series, *ends: pd.Series) -> None:
    """Percent, from a little below the lowest value or end of an interval, never beyond 100."""
    shown = pd.concat([values, *ends]).clip(0.0, 1.0)
    lowest, highest = float(shown.min()) * 100, float(shown.max()) * 100
    margin = max(0.5, 0.06 * (highest - lowest))
    ax.set_ylim(max(0.0, lowest - margin), min(100.5, highest + margin))
    ax.set_ylabel("test accuracy (%)")


def count_axis(axis: Axis, values: pd.Series, *ends: pd.Series) -> None:
    """A logarithmic axis around the values, with plain numbers (2 k, 50 k).

    ends: of intervals, in view too; those far below the least value (one at 0 has no place at
    all) down to a tenth of it.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    low, high = float(values[values > 0].min()), float(pd.concat([values, *ends]).max())
    low = min([low, *(max(float(end.min()), low / 10) for end in ends if end.notna().any())])
    margin = max(1.1, (high / low) ** 0.05)
    axis.set_view_interval(low / margin, high * margin, ignore=True)
    decades = np.log10(high / low)
    subs: tuple[float, ...] = (1.0,)
    if decades < 3.5:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0) if decades < 1 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: numbers.tick(value)))


def decade_axis(axis: Axis) -> None:
    """A logarithmic axis with powers of ten as people write them, also far below 1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: numbers.power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())


def energy_scale(picojoules: pd.Series) -> tuple[float, str]:
    """What to divide picojoules by, and the unit then, so that the largest has few digits."""
    largest = float(picojoules.max())
    return next(((size, unit) for size, unit in numbers.ENERGY_UNITS if largest >= size), (1, "pJ"))


def latency_label(rows: pd.DataFrame) -> str:
    """What a T axis is called: it says so where steps before the readout are counted in."""
    spiking = rows[rows["arm"] != "ann"]
    extra = bool((spiking["latency"] != spiking["timestep"]).any())
    return "timesteps T, observation steps included" if extra else "timesteps T"


def empty() -> pd.DataFrame:
    """No rows: the figure is left out."""
    return pd.DataFrame(columns=list(IDENTITY))


def beside(ax: Axes, x: float, y: float, text: str) -> None:
    """A value right of the end of its bar. (A space before it would be lost in an SVG.)"""
    ax.annotate(
        text,
        (x, y),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        ha="left",
        size="small",
    )


def whisker(ax: Axes, x: float, low: float, high: float, colour: str) -> None:
    """A line from low to high; an arrow from low to the top of the axes where high is open (NaN).
    Nothing where low is not known either."""
    if pd.isna(low):
        return
    if pd.notna(high):
        ax.plot([x, x], [low, high], color=colour, linewidth=0.8)
        return
    ax.update_datalim([(x, low)])
    ax.autoscale_view()
    ax.annotate(
        "",
        xy=(x, 1),
        xycoords=ax.get_xaxis_transform(),
        xytext=(x, low),
        textcoords="data",
        arrowprops={
            "arrowstyle": "->,head_length=0.5,head_width=0.25",
            "color": colour,
            "linewidth": 0.8,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
