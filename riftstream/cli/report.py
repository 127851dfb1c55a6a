"""What ``rift demo`` says at its end, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from riftstream.cli.ledger import WARM_UP_MS, Latency, Summary
from riftstream.console import out

SPLIT = "2017 Summer"
"""The split that is played: the model was tested on it and never trained on it."""


@dataclass(frozen=True)
class Lake:
    """What of a run is in the lakehouse.

    Attributes:
        table: Iceberg table.
        rows: Rows of the run's matches.
        events: Different events among them.
    """

    table: str
    rows: int
    events: int


@dataclass(frozen=True)
class Report:
    """What ``rift demo --json`` prints.

    Attributes:
        run: What the match ids of this run end with.
        origin: Where the matches came from.
        matches: How many were played.
        speed: Seconds of match clock a second; None for as fast as it goes.
        seconds: Time from the first event to the last prediction.
        rows: The account of the rows that were read.
        summary: The account of the run.
        lake: What of the run is in the lakehouse.
        faults: What does not add up, a sentence each; empty when all is well.
        model: Model that answered.
        chart: PNG file of one match.
        chart_match: That match.
        look_next: Where to look next.
    """

    run: str
    origin: str
    matches: int
    speed: float | None
    seconds: float
    rows: dict[str, Any]
    summary: Summary
    lake: Lake
    faults: list[str]
    model: str
    chart: Path | None
    chart_match: str | None
    look_next: dict[str, str]


def show(report: Report) -> None:
    """Print a report for people."""
    out.print(Text("\nWhat came of it", style="bold"))
    _pairs(lines(report))
    out.print(Text("\nWhere to look next", style="bold"))
    _pairs(list(report.look_next.items()))


def _pairs(pairs: Sequence[tuple[str, str]]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in pairs:
        table.add_row(label, Text(text))
    out.print(table)


def lines(report: Report) -> list[tuple[str, str]]:
    """The report as labelled lines for people."""
    summary, latency, score = report.summary, report.summary.latency, report.summary.score
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items())
    total = sum(summary.rejected.values())
    found = [
        ("matches", f"{report.matches} of {SPLIT} from {report.origin}, played in {report.seconds:.0f} s"),
    ]
    if report.rows:
        rows = report.rows
        found.append(
            (
                "rows",
                f"{rows['rows_read']:,} read = {rows['rows_used']:,} used +"
                f" {rows['rows_rejected']:,} rejected; {rows['events']:,} events made of them",
            )
        )
    found += [
        ("events", f"{summary.read:,} read = {summary.accepted:,} accepted + {total:,} rejected"),
        *([("rejected", rejected)] if rejected else []),
        ("features", f"{summary.features:,} for {summary.accepted:,} accepted events"),
        ("predictions", f"{summary.predictions:,} by {report.model}"),
        ("lakehouse", f"{report.lake.rows:,} rows of {report.lake.events:,} events in {report.lake.table}"),
    ]
    if latency.count:
        text = _span(latency)
        if summary.latency_warm.count:
            text += f"; after the first {WARM_UP_MS // 1000} s {_span(summary.latency_warm)}"
        found.append(("latency", f"{text} (event happens → prediction readable)"))
    if score.brier is not None and score.brier_even is not None:
        text = f"{score.brier:.3f} (mean over {score.matches} matches); always 50 %: {score.brier_even:.3f}"
        if score.brier_base_rate is not None:
            text += f"; always how often blue wins: {score.brier_base_rate:.3f}"
        found.append(("Brier", text))
    if summary.known_before:
        text = f"what was known before entered {len(summary.known_before)} matches"
        found.append(("", f"{text}; where they were played before, that holds how they ended"))
    if report.chart is not None:
        found.append(("chart", str(report.chart)))
    return found


def _span(latency: Latency) -> str:
    return f"p50 {latency.p50_ms:,.0f} ms, p99 {latency.p99_ms:,.0f} ms"
