"""Plots of results: small SVG files, equal to the byte for equal figures."""

from __future__ import annotations

import io
import statistics
from dataclasses import dataclass
from typing import Any

INK = "#222222"
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#7f7f7f")
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "riftstream",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
}
_BAR = 0.8


@dataclass(frozen=True)
class Bars:
    """Bars that lie, a group for each label: medians, with a line from the lowest to the highest figure.

    Attributes:
        unit: What the figures are.
        labels: A label for each group.
        series: For each label the figures of all rounds (none where there are none), by the series' name.
    """

    unit: str
    labels: list[str]
    series: dict[str, list[list[float]]]


@dataclass(frozen=True)
class Lines:
    """Lines.

    Attributes:
        across: What goes to the right.
        up: What goes up.
        series: Points by the line's name.
        log: Whether what goes up is on a logarithmic scale.
    """

    across: str
    up: str
    series: dict[str, list[tuple[float, float]]]
    log: bool = False


Plot = Bars | Lines


def svg(plot: Plot) -> bytes:
    """The plot as an SVG file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        height = 0.9 + 0.22 * len(plot.labels) * (len(plot.series) + 0.6) if isinstance(plot, Bars) else 3.2
        figure, axes = pyplot.subplots(figsize=(7.2, max(1.8, height)), layout="constrained")
        if isinstance(plot, Bars):
            _bars(axes, plot)
        else:
            _lines(axes, plot)
        if len(plot.series) > 1:
            axes.legend(frameon=False)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
        pyplot.close(figure)
    return out.getvalue()


def _bars(axes: Any, plot: Bars) -> None:
    thickness = _BAR / max(1, len(plot.series))
    for number, (name, groups) in enumerate(plot.series.items()):
        places = [place + (number + 0.5) * thickness - _BAR / 2 for place in range(len(groups))]
        shown = [(place, rounds) for place, rounds in zip(places, groups, strict=True) if rounds]
        middles = [statistics.median(rounds) for _, rounds in shown]
        spread = [
            [middle - min(rounds) for middle, (_, rounds) in zip(middles, shown, strict=True)],
            [max(rounds) - middle for middle, (_, rounds) in zip(middles, shown, strict=True)],
        ]
        axes.barh(
            [place for place, _ in shown],
            middles,
            thickness * 0.9,
            xerr=spread,
            label=name,
            color=COLOURS[number % len(COLOURS)],
            error_kw={"ecolor": INK, "elinewidth": 0.8},
        )
        for (place, rounds), middle in zip(shown, middles, strict=True):
            text = f" {middle:,.0f}" if middle >= 100 else f" {middle:,.1f}"
            axes.text(max(rounds), place, text, va="center", fontsize=8)
    axes.set_yticks(range(len(plot.labels)), plot.labels)
    axes.invert_yaxis()
    axes.set_xlabel(plot.unit)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.margins(x=0.12)


def _lines(axes: Any, plot: Lines) -> None:
    for number, (name, points) in enumerate(plot.series.items()):
        axes.plot(*zip(*points, strict=True), label=name, color=COLOURS[number % len(COLOURS)])
    if plot.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel(plot.across)
    axes.set_ylabel(plot.up)
    axes.grid(alpha=0.25)
