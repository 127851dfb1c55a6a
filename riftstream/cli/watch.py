"""``rift watch``: the live picture on a terminal, or lines where there is none."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated, Self

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from riftstream.cli.live import TOPICS, Board, Row, plain, render
from riftstream.cli.reading import Feed, kept, unknown_match
from riftstream.console import JsonFlag, out
from riftstream.errors import RiftError
from streams.avro import Record
from streams.clock import now_ms

_FRAME_SECONDS = 0.25
_LINE_SECONDS = 3.0


class Picture:
    """Shows a board: a table that moves on a terminal, else one line every few seconds.

    The line is about the match whose win probability has moved most since it was last told.

    Args:
        console: Where to show it.
        title: A line above the table.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self._console = console
        self._title = title
        self._due = 0.0
        self._told: dict[str, float] = {}
        moving = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if moving else None

    def show(self, board: Board, *, last: bool = False) -> None:
        """Show the board if it is time for it; for the last time, all of it."""
        if not last and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + (_LINE_SECONDS if self._live is None else _FRAME_SECONDS)
        if self._live is not None:
            self._live.update(render(board, now_ms(), self._console.width, self._title), refresh=True)
        elif last:
            for row in board.rows.values():
                self._tell(row)
        elif row_of_note := max(board.changed(), key=self._moved, default=None):
            self._tell(row_of_note)

    def _moved(self, row: Row) -> float:
        return abs((row.probability or 0.5) - self._told.get(row.match_id, 0.5))

    def _tell(self, row: Row) -> None:
        self._told[row.match_id] = row.probability or 0.5
        self._console.print(Text(plain(row)), soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        elif self._title:
            self._console.print(Text(self._title), soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def register(app: typer.Typer) -> None:
    """Add ``rift watch``."""
    app.command("watch")(_watch)


def _watch(
    match: Annotated[str | None, typer.Argument(help="Only this match; all by default.")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with all that is kept.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Show how it stands now, and leave.")] = False,
    json: JsonFlag = False,
) -> None:
    """Watch live win probability. Ends with the match, or with Ctrl-C.

    With --json every prediction is a line of its own.

    Example: rift watch TRLH1/30030
    """
    try:
        if once:
            _once(match, json)
        elif json:
            _lines(match, from_start)
        else:
            _picture(match, from_start)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _start(match: str | None, from_start: bool) -> str:
    """A single match is read from its start, so that its score and whether it ended are known."""
    return "earliest" if from_start or match else "latest"


def _picture(match: str | None, from_start: bool) -> None:
    board = Board(match)
    with Feed(start=_start(match, from_start), match=match) as feed, Picture(out) as picture:
        while not (match and board.over):
            for arrival in feed.poll():
                board.update(arrival.topic, arrival.record)
            picture.show(board)
        picture.show(board, last=True)


def _lines(match: str | None, from_start: bool) -> None:
    board = Board(match)
    begun = now_ms()
    with Feed(start=_start(match, from_start), match=match) as feed:
        while not (match and board.over):
            for arrival in feed.poll():
                fresh = board.update(arrival.topic, arrival.record) and arrival.topic == "predictions"
                if fresh and (from_start or arrival.received.time >= begun):
                    _line(arrival.record)


def _line(prediction: Record) -> None:
    sys.stdout.buffer.write(orjson.dumps(prediction, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _once(match: str | None, json: bool) -> None:
    board = Board(match)
    newest: dict[str, Record] = {}
    for topic in TOPICS:
        for received in kept(topic, key=match):
            if board.update(topic, received.record) and topic == "predictions":
                newest[received.record["match_id"]] = received.record
    if not newest:
        if match:
            raise unknown_match(match)
        raise RiftError("No match has predictions yet.", "'rift demo' or 'rift replay' brings some.")
    if json:
        for prediction in newest.values():
            _line(prediction)
        return
    out.print(render(board, now_ms(), out.width))
