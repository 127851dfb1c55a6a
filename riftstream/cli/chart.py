"""A picture of one match: win probability with its interval, what happened when, and the gold difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.cli import words
from riftstream.cli.story import Mark, Story
from riftstream.console import JsonFlag, out, print_json
from riftstream.errors import RiftError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED = "#2563eb", "#dc2626"
_SIDES = {"blue": BLUE, "red": RED}
_INK, _PALE = "#1f2937", "#9ca3af"

# Kind of mark: row from the middle line outwards, marker, size, colour (none: the side's).
_LOOKS: dict[str, tuple[int, str, float, str | None]] = {
    "Kill": (1, "|", 9, None),
    "Tower": (2, "s", 6, None),
    "Inhibitor": (2, "P", 9, None),
    "Dragon": (3, "D", 7, "#6b7280"),
    "Cloud Dragon": (3, "D", 7, "#7dd3fc"),
    "Mountain Dragon": (3, "D", 7, "#92714a"),
    "Infernal Dragon": (3, "D", 7, "#ea580c"),
    "Ocean Dragon": (3, "D", 7, "#14b8a6"),
    "Hextech Dragon": (3, "D", 7, "#6366f1"),
    "Chemtech Dragon": (3, "D", 7, "#65a30d"),
    "Elder Dragon": (3, "D", 10, "#f5f5f4"),
    "Rift Herald": (3, "^", 8, "#a855f7"),
    "Baron": (3, "h", 11, "#7e22ce"),
    "Voidgrubs": (3, "v", 8, "#a855f7"),
    "Atakhan": (3, "h", 11, "#9f1239"),
    "monster": (3, "o", 6, "#6b7280"),
}

# Kinds whose moment is drawn through the curve too.
_TURNS = ("Baron", "Elder Dragon")


def draw(story: Story) -> Figure:
    """The picture of a match.

    Args:
        story: The match; it needs one prediction at least.

    Raises:
        RiftError: There is no prediction to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not story.points:
        raise RiftError(f"The match {story.match_id} has no prediction to draw.")
    heights = [4.4, 1.9] + ([1.4] if story.gold else [])
    figure = Figure(figsize=(12, sum(heights) + 2.0), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    panels: list[Axes] = list(grid)
    _probability(panels[0], story)
    _marks(panels[1], story)
    if story.gold:
        _gold(panels[2], story)
    _clock_axis(panels[-1], story)
    _title(figure, story)
    _legend(figure, story)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.085, right=0.93, top=1 - 1.0 / height, bottom=1.02 / height, hspace=0.07)
    return figure


def save(story: Story, file: Path) -> Path:
    """Draw the match into a PNG file, its folder made where missing. Raises as ``draw`` does."""
    figure = draw(story)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png")
    return file


def _minutes(values: Sequence[int]) -> list[float]:
    return [value / 60_000 for value in values]


def _probability(axes: Axes, story: Story) -> None:
    x = _minutes([*(point.clock_ms for point in story.points), story.end_ms])
    y = [point.probability for point in story.points]
    y.append(y[-1])
    _band(axes, story, x)
    step: dict[str, Any] = {"step": "post", "interpolate": False, "linewidth": 0}
    axes.fill_between(x, 0.5, [max(value, 0.5) for value in y], color=BLUE, alpha=0.16, **step)
    axes.fill_between(x, 0.5, [min(value, 0.5) for value in y], color=RED, alpha=0.16, **step)
    axes.axhline(0.5, color=_PALE, linewidth=0.8)
    for mark in story.marks:
        if mark.kind in _TURNS:
            axes.axvline(mark.clock_ms / 60_000, color=_SIDES[mark.side], linewidth=0.9, linestyle=":")
    axes.step(x, y, where="post", color=_INK, linewidth=1.8, gid="probability")
    axes.plot(
        x[-1],
        y[-1],
        "o",
        color=_SIDES["blue" if y[-1] >= 0.5 else "red"],
        markersize=6,
        clip_on=False,
        zorder=5,
    )
    axes.annotate(
        f"{100 * y[-1]:.0f} %",
        (x[-1], y[-1]),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=11,
        fontweight="bold",
        color=_INK,
        annotation_clip=False,
    )
    axes.set_ylim(-0.01, 1.01)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel(f"{_shorten(story.blue, 17)} wins", color=_INK)
    for text, height, side in ((story.blue, 0.965, "blue"), (story.red, 0.035, "red")):
        axes.text(
            0.012,
            height,
            _shorten(text, 34),
            transform=axes.transAxes,
            color=_SIDES[side],
            fontweight="bold",
            fontsize=13,
            va="top" if side == "blue" else "bottom",
        )
    _plain(axes)


def _band(axes: Axes, story: Story, x: list[float]) -> None:
    bounds = [(p.low, p.high) for p in story.points if p.low is not None and p.high is not None]
    if len(bounds) < len(story.points):
        return
    low, high = zip(*bounds, bounds[-1], strict=True)
    axes.fill_between(x, low, high, step="post", color=_PALE, alpha=0.38, linewidth=0, gid="interval")


def apart(values: Sequence[float], gap: float, most: float) -> list[float]:
    """Positions as near to ``values`` (sorted) as may be, none closer than ``gap`` to the one before.

    Values that are too close share the shift: the middle of each bunch stays where it was, but for the last
    bunch where it would reach past ``most``.
    """
    bunches: list[tuple[float, int]] = []  # sum of values less their place in the bunch, and how many
    for value in values:
        total, count = value, 1
        while bunches:
            before_total, before_count = bunches[-1]
            before_last = before_total / before_count + (before_count - 1) * gap
            if total / count - before_last >= gap:
                break
            bunches.pop()
            total += before_total - count * before_count * gap
            count += before_count
        bunches.append((total, count))
    placed = [total / count + place * gap for total, count in bunches for place in range(count)]
    return [
        min(place, most - behind * gap)
        for behind, place in zip(reversed(range(len(placed))), placed, strict=True)
    ]


def _marks(axes: Axes, story: Story) -> None:
    axes.set_ylim(-3.75, 3.75)
    axes.axhline(0, color=_PALE, linewidth=0.8)
    end = max(story.end_ms / 60_000, 1)
    for side, sign in (("blue", 1), ("red", -1)):
        for row in (1, 2, 3):
            marks = [mark for mark in story.marks if mark.side == side and _look(mark)[0] == row]
            spread = end * (0.0, 0.012, 0.018)[row - 1]
            places = apart(_minutes([mark.clock_ms for mark in marks]), spread, end)
            for kind in dict.fromkeys(mark.kind for mark in marks):
                x = [place for mark, place in zip(marks, places, strict=True) if mark.kind == kind]
                _scatter(axes, kind, side, x, sign * row)
    axes.set_yticks([])
    for text, height, side in ((story.blue, 2, "blue"), (story.red, -2, "red")):
        axes.text(
            -0.008,
            height,
            _shorten(text, 8),
            transform=axes.get_yaxis_transform(),
            color=_SIDES[side],
            fontweight="bold",
            ha="right",
            va="center",
            fontsize=10,
        )
    _plain(axes, grid=False)


def _look(mark: Mark) -> tuple[int, str, float, str | None]:
    return _LOOKS.get(mark.kind, _LOOKS["monster"])


def _scatter(axes: Axes, kind: str, side: str, x: list[float], y: int) -> None:
    _, marker, size, colour = _LOOKS.get(kind, _LOOKS["monster"])
    tick = marker == "|"
    axes.plot(
        x,
        [y] * len(x),
        linestyle="none",
        marker=marker,
        markersize=size,
        color=colour or _SIDES[side],
        markeredgecolor=_SIDES[side] if tick else _INK if kind == "Elder Dragon" else "white",
        markeredgewidth=1.5 if tick else 1.0 if kind == "Elder Dragon" else 0.6,
        clip_on=False,
        gid=f"{kind}:{side}",
    )


def _gold(axes: Axes, story: Story) -> None:
    x = _minutes([*(clock for clock, _ in story.gold), story.end_ms])
    y = [difference / 1000 for _, difference in story.gold]
    y.append(y[-1])
    for keep, colour in ((max, BLUE), (min, RED)):
        axes.fill_between(
            x, 0, [keep(value, 0.0) for value in y], color=colour, alpha=0.35, linewidth=0, step="post"
        )
    axes.step(x, y, where="post", color=_INK, linewidth=1.1, gid="gold")
    axes.axhline(0, color=_PALE, linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+.0f}k" if value else "0")
    axes.yaxis.set_major_locator(_few_ticks())
    axes.margins(y=0.12)
    axes.set_ylabel("gold lead", color=_INK)
    _plain(axes)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, integer=True, min_n_ticks=3)


def _clock_axis(axes: Axes, story: Story) -> None:
    from matplotlib.ticker import MultipleLocator

    axes.set_xlim(0, max(story.end_ms / 60_000, 1))
    axes.xaxis.set_major_locator(MultipleLocator(5))
    axes.xaxis.set_minor_locator(MultipleLocator(1))
    axes.set_xlabel("match clock, minutes", color=_INK)
    axes.tick_params(axis="x", which="both", length=3, labelbottom=True)


def _plain(axes: Axes, grid: bool = True) -> None:
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_PALE)
    axes.tick_params(colors=_INK, length=0, which="both")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.7)
    if grid:
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.7)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _title(figure: Figure, story: Story) -> None:
    height = figure.get_figheight()
    names = {"blue": _shorten(story.blue, 17), "red": _shorten(story.red, 17)}
    won = f": {names[story.winner]} wins in {words.clock(story.end_ms)}" if story.winner else ""
    figure.text(
        0.085,
        1 - 0.38 / height,
        f"{names['blue']} v {names['red']}{won}",
        fontsize=16,
        fontweight="bold",
        color=_INK,
        va="center",
    )
    about = " · ".join(filter(None, (story.league, story.season, story.match_id, story.model)))
    figure.text(0.085, 1 - 0.72 / height, _shorten(about, 120), fontsize=10, color="#6b7280", va="center")


def _legend(figure: Figure, story: Story) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drawn = {mark.kind if mark.kind in _LOOKS else "monster" for mark in story.marks}
    handles: list[Any] = []
    if story.interval_level is not None:
        handles.append(
            Patch(color=_PALE, alpha=0.38, linewidth=0, label=f"{100 * story.interval_level:.0f} % interval")
        )
    for kind, (_, marker, size, colour) in _LOOKS.items():
        if kind in drawn:
            edge = _INK if colour is None or kind == "Elder Dragon" else "white"
            look: dict[str, Any] = {"marker": marker, "markersize": size, "markeredgecolor": edge}
            handles.append(Line2D([], [], linestyle="none", color=colour or _INK, label=kind, **look))
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=len(handles) if len(handles) <= 7 else -(-len(handles) // 2),
            frameon=False,
            fontsize=9,
            bbox_to_anchor=(0.5075, 0.0),
            handletextpad=0.4,
            columnspacing=1.5,
        )


def register(app: typer.Typer) -> None:
    """Add ``rift chart``."""
    app.command("chart")(_chart)


def _chart(
    match: Annotated[str, typer.Argument(help="The match, for example TRLH1/30030.")],
    file: Annotated[Path, typer.Option("--out", help="PNG file to write.")] = Path("match.png"),
    json: JsonFlag = False,
) -> None:
    """Draw a match: win probability, kills, objectives and gold.

    Example: rift chart TRLH1/30030 --out match.png
    """
    from riftstream.cli.reading import read_match

    story = read_match(match)
    save(story, file)
    if json:
        print_json(
            {
                "match_id": match,
                "file": str(file),
                "predictions": len(story.points),
                "marks": len(story.marks),
            }
        )
        return
    out.print(
        f"{file}: {len(story.points)} predictions, {len(story.marks)} marks", highlight=False, soft_wrap=True
    )
