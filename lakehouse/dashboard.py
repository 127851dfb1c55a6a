"""One page of pictures from the tables for dashboards: accuracy, calibration, players, pipeline.

The page holds everything itself (SVG, style), so it can be sent, served or kept as it is.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import clickhouse
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS_SHOWN = 6
LEAGUES_SHOWN = 12
PLAYERS_SHOWN = 6
_EPOCH = 1970

Row = dict[str, Any]

_COLOURS = ("#2563eb", "#ea580c", "#059669", "#7c3aed", "#b45309", "#475569")
_PLOT: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "riftstream",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
body { color: #1f2937; background: white }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 0 0 .3rem }
p { margin: .2rem 0 .6rem; color: #4b5563 }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1.2rem }
section { border: 1px solid #e5e7eb; border-radius: .5rem; padding: 1rem; overflow-x: auto }
svg { width: 100%; height: auto }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
td, th { padding: .15rem .6rem .15rem 0; border-bottom: 1px solid #e5e7eb }
td { font-variant-numeric: tabular-nums }
.wide { grid-column: 1 / -1 }
"""


@dataclass(frozen=True)
class Panel:
    """A picture or a table of the page.

    Attributes:
        title: What it shows.
        about: How to read it, a sentence.
        query: What is asked of ClickHouse.
        draw: Draws the rows that came; None for a table.
    """

    title: str
    about: str
    query: str
    draw: Callable[[Axes, Sequence[Row]], None] | None = None


def page(settings: Settings | None = None) -> str:
    """The page, as HTML.

    Args:
        settings: Where ClickHouse is; the process's settings by default.

    Raises:
        QueryError: The tables for dashboards are not there: make them by ``rift lake analytics``.
        StackError: ClickHouse does not answer.
    """
    settings = settings or get_settings()
    parts = [_section(panel, clickhouse.query(panel.query, settings).to_pylist()) for panel in PANELS]
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    newest = clickhouse.query("SELECT max(at) AS at FROM analytics.progress", settings)["at"].to_pylist()[0]
    fed = f"{newest:%Y-%m-%d %H:%M} UTC" if newest and newest.year > _EPOCH else "never"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Riftstream: the lake</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Riftstream: the lake</h1>\n"
        f"<p>Drawn {now}, from tables that were fed {fed}.</p>\n"
        f"<main>\n{''.join(parts)}</main></body></html>\n"
    )


def _section(panel: Panel, rows: Sequence[Row]) -> str:
    if not rows:
        body = "<p>Nothing yet.</p>"
    elif panel.draw is None:
        body = _table(rows)
    else:
        body = _svg(panel, rows)
    kind = ' class="wide"' if panel.draw is None else ""
    title, about = html.escape(panel.title), html.escape(panel.about)
    return f"<section{kind}><h2>{title}</h2><p>{about}</p>{body}</section>\n"


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    lines = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return html.escape("" if value is None else str(value))


def _svg(panel: Panel, rows: Sequence[Row]) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    assert panel.draw is not None
    with matplotlib.rc_context(_PLOT):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.set_prop_cycle(color=_COLOURS)
        panel.draw(axes, rows)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    picture = out.getvalue()
    title = html.escape(panel.title, quote=True)
    return picture[picture.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def _lines(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    """Rows of each line, in the order in which its first one came."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _by_minute(axes: Axes, rows: Sequence[Row]) -> None:
    for model, points in _lines(rows, "model").items():
        axes.plot([one["minute"] for one in points], [one["brier"] for one in points], label=model)
    axes.axhline(0.25, color="0.6", linewidth=1, linestyle="--")
    axes.set(xlabel="minute of the match clock", ylabel="Brier score")


def _calibration(axes: Axes, rows: Sequence[Row]) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    for model, points in _lines(rows, "model").items():
        axes.plot(
            [one["predicted"] for one in points],
            [one["observed"] for one in points],
            marker="o",
            markersize=4,
            label=model,
        )
    axes.set(xlabel="said", ylabel="came true", xlim=(0, 1), ylim=(0, 1))


def _by_league(axes: Axes, rows: Sequence[Row]) -> None:
    names = [f"{row['league'] or 'not told'} ({row['predictions']:,})" for row in rows]
    axes.barh(names, [row["brier"] for row in rows], color=_COLOURS[0])
    axes.axvline(0.25, color="0.6", linewidth=1, linestyle="--")
    axes.invert_yaxis()
    axes.set(xlabel="Brier score; in brackets the predictions")


def _players(axes: Axes, rows: Sequence[Row]) -> None:
    for player, points in _lines(rows, "player_id").items():
        axes.plot(
            [one["month"] for one in points],
            [one["kda"] for one in points],
            marker="o",
            markersize=3,
            label=player,
        )
    axes.set(ylabel="(kills + assists) / deaths")
    axes.tick_params(axis="x", labelrotation=30)


def _records(axes: Axes, rows: Sequence[Row]) -> None:
    _hourly(axes, rows, "records")
    axes.set(ylabel="records an hour")


def _ages(axes: Axes, rows: Sequence[Row]) -> None:
    _hourly(axes, rows, "age_p99_s")
    axes.set(ylabel="age at the 99th percentile, s")


def _hourly(axes: Axes, rows: Sequence[Row], name: str) -> None:
    for part, points in _lines(rows, "part").items():
        axes.plot(
            [one["hour"] for one in points],
            [one[name] for one in points],
            marker="o",
            markersize=3,
            label=part,
        )
    axes.set_yscale("symlog" if name == "age_p99_s" else "log")
    axes.tick_params(axis="x", labelrotation=30)


_NEWEST_MODELS = f"""(model_name, model_version) IN (
  SELECT model_name, model_version FROM analytics.calibration_sums GROUP BY ALL
  ORDER BY sum(predictions) DESC LIMIT {MODELS_SHOWN})"""  # noqa: S608 - our own text

PANELS = (
    Panel(
        "Models",
        "Every version that has outcomes. A coin has a Brier score of 0.25 and a log loss of 0.6931.",
        """SELECT model_name AS model, model_version AS version, sum(said) AS predictions,
             sum(accuracy.brier * said) / predictions AS brier,
             sum(accuracy.log_loss * said) / predictions AS log_loss, uniq(league) AS leagues
           FROM analytics.accuracy AS accuracy
           GROUP BY ALL ORDER BY model, version""",
    ),
    Panel(
        "Accuracy by minute",
        "The lower the better; the dashed line is a coin's.",
        f"""SELECT concat(model_name, ' ', model_version) AS model, `minute`,
             sum(accuracy.brier * said) / sum(said) AS brier
           FROM analytics.accuracy AS accuracy WHERE {_NEWEST_MODELS}
           GROUP BY ALL HAVING sum(said) >= 20 ORDER BY model, `minute`""",  # noqa: S608 - our own text
        _by_minute,
    ),
    Panel(
        "Calibration",
        "What was said beside how often it came true, by tenths; the dashed line is where both are equal.",
        f"""SELECT concat(model_name, ' ', model_version) AS model, bin,
             sum(calibration.predicted * said) / sum(said) AS predicted,
             sum(calibration.observed * said) / sum(said) AS observed
           FROM analytics.calibration AS calibration WHERE {_NEWEST_MODELS}
           GROUP BY ALL ORDER BY model, bin""",  # noqa: S608 - our own text
        _calibration,
    ),
    Panel(
        "Accuracy by league",
        f"The {LEAGUES_SHOWN} leagues with the most predictions, all models of matches together.",
        f"""SELECT league, sum(said) AS predictions, sum(accuracy.brier * said) / predictions AS brier
           FROM analytics.accuracy AS accuracy WHERE model_name = 'win_probability'
           GROUP BY league ORDER BY predictions DESC, league LIMIT {LEAGUES_SHOWN}""",  # noqa: S608
        _by_league,
    ),
    Panel(
        "Players",
        f"The {PLAYERS_SHOWN} players with the most maps, month by month.",
        f"""SELECT player_id, `month`,
             (sum(kills) + sum(assists)) / greatest(sum(deaths), 1) AS kda
           FROM analytics.player_month_sums
           WHERE player_id IN (
             SELECT player_id FROM analytics.player_month_sums GROUP BY player_id
             ORDER BY sum(games) DESC, player_id LIMIT {PLAYERS_SHOWN})
           GROUP BY ALL ORDER BY player_id, `month`""",  # noqa: S608 - our own text
        _players,
    ),
    Panel(
        "What came in and went out",
        "By the hour, the newest 7 days that there are.",
        """SELECT part, hour, sum(counted) AS records
           FROM analytics.pipeline_health
           WHERE hour > (SELECT max(hour) FROM analytics.pipeline_sums) - INTERVAL 7 DAY
           GROUP BY ALL ORDER BY part, hour""",
        _records,
    ),
    Panel(
        "How old it was",
        "Events at the broker, predictions when published; imported matches are as old as they are.",
        """SELECT part, hour, max(age_p99_ms) / 1000 AS age_p99_s
           FROM analytics.pipeline_health
           WHERE hour > (SELECT max(hour) FROM analytics.pipeline_sums) - INTERVAL 7 DAY
           GROUP BY ALL ORDER BY part, hour""",
        _ages,
    ),
    Panel(
        "Sources, models, reasons",
        "All time: records by what they are, and answers of a cache or fallback.",
        """SELECT part, kind, sum(counted) AS records, sum(fallbacks) AS fallbacks, min(hour) AS since,
             max(hour) AS until
           FROM analytics.pipeline_health GROUP BY ALL ORDER BY part, records DESC""",
    ),
)
"""What is on the page, in order."""
