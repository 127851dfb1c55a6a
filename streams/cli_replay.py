"""``rift replay``: play matches as if live."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from riftstream.console import JsonFlag, err
from riftstream.errors import RiftError
from streams.cli_target import event_target, summary_console

if TYPE_CHECKING:
    from rich.table import Table

    from streams.replay import Replayed


def register(app: typer.Typer) -> None:
    """Add ``rift replay``."""
    app.command(
        "replay",
        epilog="Example: rift replay --speed 60 --matches 12 --concurrent 4 --label evening",
    )(replay_)


def replay_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH|SOURCE]",
            help="File of events, folder of lol-pro, or source (lol-pro, sample, match-v5:FILE, ...); "
            "the sample of real matches by default.",
        ),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds of the match that pass in a second.")
    ] = None,
    at_once: Annotated[bool, typer.Option("--max", help="As fast as it goes, not paced.")] = False,
    matches: Annotated[int | None, typer.Option(min=0, help="Only the first matches.")] = None,
    concurrent: Annotated[int, typer.Option(min=1, help="Matches that run at once.")] = 4,
    event_time: Annotated[
        str, typer.Option(help="now: event times are when events are due; original: they are kept.")
    ] = "now",
    label: Annotated[
        str | None,
        typer.Option(help="Play each match as a new one, MATCH#LABEL; without it, what was seen is dropped."),
    ] = None,
    out_file: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Send to a file (- : standard output).")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play matches as if live: in order, several at once, at a speed.

    Events go to live-matches. The order within a match is kept; a broker that cannot keep up slows the replay
    and loses nothing.
    """
    from streams.replay import Replayed, replay
    from streams.sources import Options, open_input

    if event_time not in ("now", "original"):
        raise RiftError(f"--event-time must be now or original, not {event_time}.")
    if at_once and speed is not None:
        raise RiftError("--speed and --max exclude each other.", "Give one of them.")
    with err.status("reading matches"):
        source = open_input(what, Options(limit=matches))
        total = len(source) if matches is None else min(matches, len(source))
    progress = Replayed()
    with ExitStack() as stack:
        send = stack.enter_context(event_target(out_file))
        stack.enter_context(_shown(progress, total))
        try:
            replay(
                islice(source.matches(), matches),
                send,
                speed=math.inf if at_once else (1.0 if speed is None else speed),
                concurrent=concurrent,
                event_time="original" if event_time == "original" else "now",
                label=label,
                progress=progress,
            )
        except KeyboardInterrupt:
            err.print(
                f"stopped after {progress.events:,} events, {progress.matches} of {total} matches whole"
            )
            raise
    console = summary_console(progress.as_dict(), as_json, out_file)
    if console is None:
        return
    rate = f"{progress.events / progress.seconds:,.0f} events/s" if progress.seconds > 0 else "at once"
    console.print(
        f"{progress.matches} matches, {progress.events:,} events in {progress.seconds:,.1f} s ({rate}).",
        highlight=False,
    )
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(progress.kinds.items()))
    console.print(kinds, highlight=False)


@contextmanager
def _shown(progress: Replayed, total: int) -> Iterator[None]:
    """Show on standard error how far each match is, while it runs."""
    if not err.is_terminal:
        yield
        return
    from rich.live import Live

    with Live(
        get_renderable=lambda: _table(progress, total), console=err, refresh_per_second=5, transient=True
    ):
        yield


def _table(progress: Replayed, total: int) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_row(f"{progress.matches} of {total} matches", f"{progress.events:,} events")
    for match_id, clock in list(progress.live.items()):
        table.add_row(match_id, f"{clock // 60_000}:{clock // 1000 % 60:02d}")
    return table
