"""The live picture: one row a match, made from the records of four topics.

``Board`` keeps the state, ``render`` and ``plain`` show it; none of them reads or writes anything.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from riftstream.cli import words
from streams.avro import Record

MODEL = "win_probability"
TOPICS = ("live-matches", "match-features", "predictions", "match-results")

BLUE = "#4c8dff"
RED = "#ff5a5f"

_EIGHTHS = " ▏▎▍▌▋▊▉"
_SPARKS = "▁▂▃▄▅▆▇█"
_KEPT_AGES = 2000


@dataclass
class Row:
    """What is known of one match. Pairs are (blue, red).

    Attributes:
        match_id: The match.
        clock_ms: Highest match clock seen.
        probability: Newest probability that blue wins; None before the first prediction.
        interval: Its interval; None where the model gives none.
        history: The newest probabilities, oldest first.
        predictions: Predictions seen, each fact once.
        event_time: When the event behind the newest prediction happened (ms since the Unix epoch).
        event: Newest event worth telling, in words.
        winner: blue or red once the match ended, else None.
        ending: Id of the event that ended the match, else None.
        over: Whether the match ended and its last prediction is there. That one was made when the result was
            known, so the one before it stays on show.
    """

    match_id: str
    league: str | None = None
    blue: str | None = None
    red: str | None = None
    clock_ms: int = 0
    kills: tuple[int, int] = (0, 0)
    towers: tuple[int, int] = (0, 0)
    dragons: tuple[int, int] = (0, 0)
    barons: tuple[int, int] = (0, 0)
    gold_diff: int | None = None
    probability: float | None = None
    interval: tuple[float, float] | None = None
    history: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    predictions: int = 0
    event_time: int | None = None
    event: str = ""
    winner: str | None = None
    ending: str | None = None
    over: bool = False
    feature_offset: int = -1
    prediction_offset: int = -1
    last_predicted: str | None = None
    previous: tuple[float | None, tuple[float, float] | None] = (None, None)

    @property
    def teams(self) -> str:
        """Both teams, blue first."""
        return f"{self.blue or 'blue'} v {self.red or 'red'}"


class Board:
    """The state of all matches on show.

    Args:
        match: Show only this match; all by default.
        suffix: Show only matches whose id ends so.
    """

    def __init__(self, match: str | None = None, suffix: str = "") -> None:
        self.rows: dict[str, Row] = {}
        self.ages: deque[int] = deque(maxlen=_KEPT_AGES)
        self._match = match
        self._suffix = suffix
        self._touched: dict[str, None] = {}

    def update(self, topic: str, record: Record) -> bool:
        """Take one record of one of ``TOPICS`` in; any order of topics and any repetition is fine.

        Returns:
            Whether it changed the picture.
        """
        match = record.get("match_id")
        if not match or not match.endswith(self._suffix) or self._match not in (None, match):
            return False
        row = self.rows.get(match) or Row(match)
        take = {
            "live-matches": _take_event,
            "match-features": _take_features,
            "predictions": self._take_prediction,
            "match-results": _take_result,
        }[topic]
        if not take(row, record):
            return False
        if not row.over and row.ending is not None and row.ending == row.last_predicted:
            _close(row)
        self.rows[match] = row
        self._touched[match] = None
        return True

    def changed(self) -> list[Row]:
        """Rows that changed since the last call, in the order of their matches."""
        rows = [row for match, row in self.rows.items() if match in self._touched]
        self._touched.clear()
        return rows

    @property
    def over(self) -> bool:
        """Whether every match on show has ended and its last prediction is there."""
        return bool(self.rows) and all(row.over for row in self.rows.values())

    def _take_prediction(self, row: Row, record: Record) -> bool:
        wanted = record["subject_type"] == "match" and record["model_name"] == MODEL and not record["shadow"]
        if not wanted or record["source_offset"] <= row.prediction_offset:
            return False
        row.prediction_offset = record["source_offset"]
        row.predictions += 1
        row.previous = (row.probability, row.interval)
        row.probability = record["probability"]
        low, high = record["interval_low"], record["interval_high"]
        row.interval = None if low is None or high is None else (low, high)
        if row.probability is not None:
            row.history.append(row.probability)
        row.event_time = record["event_time"]
        row.last_predicted = record["event_id"]
        row.clock_ms = max(row.clock_ms, record["game_time_ms"])
        _name(row, record)
        if record["age_published_ms"] is not None:
            self.ages.append(record["age_published_ms"])
        return True


def _close(row: Row) -> None:
    """The match is over: go back to what was said before its end."""
    row.over = True
    if row.probability is not None:
        row.history.pop()
    row.probability, row.interval = row.previous


def _name(row: Row, record: Record) -> None:
    row.league = record.get("league") or row.league
    row.blue = record.get("blue_team") or row.blue
    row.red = record.get("red_team") or row.red


def _take_event(row: Row, record: Record) -> bool:
    _name(row, record)
    said = words.event(record, row.blue, row.red)
    row.event = said or row.event
    return bool(said)


def _take_features(row: Row, record: Record) -> bool:
    if record["source_offset"] <= row.feature_offset:
        return False
    row.feature_offset = record["source_offset"]
    row.clock_ms = max(row.clock_ms, record["clock_ms"])
    for kind in ("kills", "towers", "barons"):
        setattr(row, kind, (record[f"{kind}_blue"], record[f"{kind}_red"]))
    row.dragons = (
        record["dragons_blue"] + record["elder_dragons_blue"],
        record["dragons_red"] + record["elder_dragons_red"],
    )
    row.gold_diff = record["gold_diff"]
    _name(row, record)
    return True


def _take_result(row: Row, record: Record) -> bool:
    row.winner = record["winner"]
    row.ending = record["event_id"]
    _name(row, record)
    return True


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Nearest-rank percentile; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` probabilities as block characters, from 0 (lowest) to 1 (highest)."""
    return "".join(_SPARKS[min(7, max(0, int(value * 8)))] for value in list(values)[-width:])


def bar(probability: float, width: int) -> Text:
    """A bar of ``width`` cells, blue's share from the left, to an eighth of a cell; it needs no colours."""
    eighths = round(min(1.0, max(0.0, probability)) * width * 8)
    full, part = divmod(eighths, 8)
    text = Text().append("█" * full + (_EIGHTHS[part] if part else ""), style=BLUE)
    return text.append("░" * (width - len(text)), style=RED)


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    rank: int  # the highest goes first where the terminal is narrow
    right: bool = False


_COLUMNS = {
    "league": _Column("League", 6, 5),
    "teams": _Column("Match", 12, 0),
    "clock": _Column("Clock", 5, 0, True),
    "kills": _Column("Kills", 5, 1, True),
    "towers": _Column("Towers", 6, 4, True),
    "dragons": _Column("Dragons", 7, 5, True),
    "barons": _Column("Barons", 6, 7, True),
    "gold": _Column("Gold", 6, 2, True),
    "wins": _Column("Blue", 5, 0, True),
    "bar": _Column("wins", 16, 1),
    "interval": _Column("Interval", 9, 6, True),
    "trend": _Column("Trend", 12, 2),
    "event": _Column("Newest event", 20, 3),
    "age": _Column("Age", 7, 4, True),
}
_LONGEST_EVENT = 37


def _widths(width: int) -> dict[str, int]:
    """The columns that fit ``width`` cells, with their widths; events get what room is left."""
    chosen = {name: column.width for name, column in _COLUMNS.items()}
    while sum(chosen.values()) + 2 * len(chosen) > width:
        least = max(chosen, key=lambda name: _COLUMNS[name].rank)
        if _COLUMNS[least].rank == 0:
            break
        del chosen[least]
    if "event" in chosen:
        room = width - sum(chosen.values()) - 2 * len(chosen)
        chosen["event"] = min(chosen["event"] + room, _LONGEST_EVENT)
    return chosen


def _score(pair: tuple[int, int]) -> Text:
    return Text.assemble((str(pair[0]), BLUE), ("–", "dim"), (str(pair[1]), RED))


def _teams(row: Row) -> Text:
    return Text.assemble(
        (row.blue or "blue", f"bold {BLUE}" if row.winner != "red" else BLUE),
        (" v ", "dim"),
        (row.red or "red", f"bold {RED}" if row.winner != "blue" else RED),
    )


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _side(value: float, middle: float = 0.0) -> str:
    return BLUE if value > middle else RED if value < middle else ""


def _cell(name: str, row: Row, now_ms: int) -> Text:
    if name == "league":
        return Text(row.league or "", style="dim")
    if name == "teams":
        return _teams(row)
    if name == "clock":
        return Text(words.clock(row.clock_ms), style="dim" if row.ending else "bold")
    if name in ("kills", "towers", "dragons", "barons"):
        return _score(getattr(row, name))
    if name == "gold":
        known = row.gold_diff is not None
        return Text(words.gold(row.gold_diff or 0), style=_side(row.gold_diff or 0)) if known else Text("")
    if name == "event":
        return Text(row.event, style="dim" if row.ending else "")
    if name == "age":
        return Text("ended" if row.over else _age(row, now_ms), style="dim")
    return _probability_cell(name, row)


def _age(row: Row, now_ms: int) -> str:
    return "" if row.event_time is None else words.age(max(0, now_ms - row.event_time))


def _probability_cell(name: str, row: Row) -> Text:
    if row.probability is None:
        return Text("")
    if name == "wins":
        return Text(_percent(row.probability), style=f"bold {_side(row.probability, 0.5)}".strip())
    if name == "bar":
        return bar(row.probability, _COLUMNS["bar"].width)
    if name == "trend":
        spark = sparkline(row.history, _COLUMNS["trend"].width)
        return Text(spark, style=_side(row.probability, 0.5))
    return Text("" if row.interval is None else _interval(row.interval), style="dim")


def _interval(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f} %"


def render(board: Board, now_ms: int, width: int = 160, title: str = "") -> RenderableType:
    """The board as a table for a terminal.

    Args:
        board: The state.
        now_ms: Wall clock for the ages, ms since the Unix epoch.
        width: Cells of the terminal; columns that do not fit are left out, least important first.
        title: A line above the table.
    """
    widths = _widths(width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for name, cells in widths.items():
        column = _COLUMNS[name]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            width=cells,
            overflow="ellipsis",
        )
    for row in board.rows.values():
        table.add_row(*(_cell(name, row, now_ms) for name in widths))
    parts: list[RenderableType] = [Text(title, style="bold")] if title else []
    return Group(*parts, table, Text(summary_line(board), style="dim"))


def summary_line(board: Board) -> str:
    """How many matches and predictions there are and how quick they came, as one line."""
    if not board.rows:
        return "Waiting for the first prediction."
    ended = sum(row.over for row in board.rows.values())
    predictions = sum(row.predictions for row in board.rows.values())
    half, most = percentile(board.ages, 50), percentile(board.ages, 99)
    matches = "1 match" if len(board.rows) == 1 else f"{len(board.rows)} matches"
    text = f"{matches}, {ended} ended · {predictions:,} predictions"
    if half is not None and most is not None:
        text += f" · event → prediction: p50 {words.age(int(half))}, p99 {words.age(int(most))}"
    return text


def plain(row: Row) -> str:
    """A row as one line of plain text, for logs and pipes."""
    parts = [words.clock(row.clock_ms), " ".join(filter(None, (row.league, row.teams)))]
    parts.append(f"kills {row.kills[0]}–{row.kills[1]}")
    parts.append(f"towers {row.towers[0]}–{row.towers[1]}")
    parts.append(f"dragons {row.dragons[0]}–{row.dragons[1]}")
    parts.append(f"barons {row.barons[0]}–{row.barons[1]}")
    if row.gold_diff is not None:
        parts.append(f"gold {words.gold(row.gold_diff)}")
    if row.probability is not None:
        said = f"{row.blue or 'blue'} wins {_percent(row.probability)}"
        parts.append(said if row.interval is None else f"{said} ({_interval(row.interval)})")
    if row.event:
        parts.append(row.event)
    return " · ".join(parts)
