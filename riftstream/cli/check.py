"""``rift features check``: are the features that were served the same as those that history gives?"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Any

import structlog
import typer
from confluent_kafka import Message

from riftstream.cli import consistency
from riftstream.cli.consistency import Report
from riftstream.cli.served import RESULTS, Lake, Source, Topics
from riftstream.cli.training import day
from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError, SchemaError
from riftstream.settings import Settings, get_settings

GROUP = "feature-check"
_NICE = 10
"""How far the long-running check stands back for everything that is in a hurry."""

log = structlog.get_logger()


class CheckLoop:
    """Checks matches when they have ended, many in one batch: each batch starts a Flink, which costs seconds.

    Args:
        settings: Where everything is; the process's settings by default.
        group: Name of the consumer group that reads ``match-results``.
        gather_seconds: How long after an end to wait for more.
        most: Most matches of a batch.
        job_file: The SQL that makes features again; that of the job by default.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        group: str = GROUP,
        gather_seconds: float = 60.0,
        most: int = 500,
        job_file: Path | None = None,
    ) -> None:
        from streams.client import codec_for
        from streams.group import GroupReader

        self._settings = settings or get_settings()
        self._gather_seconds = gather_seconds
        self._most = most
        self._job_file = job_file
        self._stopping = False
        self._look = codec_for(RESULTS, self._settings).projection(("match_id",))
        self._waiting: list[Message] = []
        self._since = 0.0
        self._reader = GroupReader(group, [RESULTS], self._settings, fetch_wait_ms=500)
        self.reports: list[Report] = []

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Work until ``stop`` is called or ``until`` says so.

        Raises:
            StackError: Kafka can't be read.
        """
        self._reader.join()
        log.info("feature_check.started")
        try:
            while not self._stopping and not until():
                self._step()
        finally:
            self._reader.close()
            log.info("feature_check.stopped")

    def stop(self) -> None:
        """Leave after the batch at hand. Safe in a signal handler."""
        self._stopping = True

    def _step(self) -> None:
        taken = self._reader.take(max(1, self._most - len(self._waiting)), 1.0)
        if taken and not self._waiting:
            self._since = monotonic()
        self._waiting += taken
        waited = monotonic() - self._since >= self._gather_seconds
        if self._waiting and (waited or len(self._waiting) >= self._most):
            self._check()

    def _check(self) -> None:
        """Check what waits; where that cannot be done now, it goes on waiting."""
        matches = dict.fromkeys(filter(None, map(self._match, self._waiting)))
        try:
            report = consistency.check(list(matches), self._settings, job_file=self._job_file)
        except RiftError as away:
            log.warning("feature_check.failed", error=str(away), retry_in_s=self._gather_seconds)
            self._since = monotonic()
            return
        self.reports.append(report)
        told = log.info if report.equal else log.error
        told("feature_check", matches=len(matches), **asdict(report.total), by_feature=report.by_feature)
        self._reader.done(self._waiting)
        self._waiting = []
        self._reader.commit()

    def _match(self, message: Message) -> str | None:
        try:
            found: str = self._look(message.value() or b"")[0]
        except SchemaError as broken:
            self._reader.bury(message, broken)
            return None
        return found


def register(features: typer.Typer) -> None:
    """Add ``rift features check``."""
    features.command("check")(_check)


def _check(
    match: Annotated[
        list[str] | None, typer.Option("--match", help="Only this match, ended or not; may be repeated.")
    ] = None,
    player: Annotated[
        list[str] | None,
        typer.Option("--player", help="Only what was said of this player; may be repeated."),
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Matches that ended on this day (UTC, 2017-06-01) or later.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last such day.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Check matches as they end, many at a time, until stopped.")
    ] = False,
    lake: Annotated[
        bool, typer.Option("--lake", help="What the lake keeps of predictions, not what their topic keeps.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for predictions of all that was sent.")
    ] = 0.0,
    json: JsonFlag = False,
) -> None:
    """Compare the features that predictions were made of with the same made again from the lakehouse.

    Without an option it takes every match that ended, and all that was said of players. What differs is told
    here, by feature, and value by value on the topic feature-mismatches. Exits with 1 where anything differs.

    Example: rift features check --match TRLH1/30030
    """
    settings = get_settings()
    if follow:
        if match or player or begin or to or lake:
            raise RiftError("--follow takes matches as they end.", "Leave the other options out.")
        _follow(settings)
        return
    since = day(begin) if begin else None
    until = day(to) + timedelta(days=1) if to else None
    with err.status("waiting for predictions") as status:
        _caught_up(settings, wait)
        status.update("reading which matches ended")
        named = bool(match or player)
        source = Lake(settings) if lake else Topics(settings)
        matches = match or ([] if named else _ended(source, since, until))
        status.update(f"making the features of {len(matches):,} matches again")
        players = (player or ()) if named or begin or to else None
        report = consistency.check(matches, settings, players=players, source=source)
    if not report.total.vectors:
        raise RiftError(
            "No prediction of these matches and players can be checked.",
            "; ".join(f"{count:,} left out: {why}" for why, count in report.unchecked.items())
            or "'rift watch --once' lists the matches that have predictions.",
        )
    if json:
        print_json(_told(report))
    else:
        _show(report)
    if not report.equal:
        raise typer.Exit(1)


def _caught_up(settings: Settings, patience: float) -> None:
    """Wait until all that was sent has its prediction.

    Raises:
        RiftError: It has not within this many seconds.
    """
    deadline = monotonic() + patience
    while patience and (left := consistency.behind(settings)):
        if monotonic() > deadline:
            raise RiftError(
                f"{left:,} records were still on their way after {patience:.0f} s.",
                "Wait longer, or see 'rift status' for what does not run.",
            )
        sleep(1.0)


def _ended(source: Source, since: datetime | None, until: datetime | None) -> list[str]:
    found = consistency.ended(source, since, until)
    if not found:
        raise RiftError("No match ended in this time.", "'rift watch --once' lists matches; name one.")
    return found


def _follow(settings: Settings) -> None:
    os.nice(_NICE)
    loop = CheckLoop(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()


def _told(report: Report) -> dict[str, Any]:
    """A report as plain data; of each feature that differs the first mismatch."""
    first: dict[str, Any] = {}
    for record in report.mismatches:
        first.setdefault(record["feature"], record)
    return {
        "equal": report.equal,
        "matches": len(report.matches),
        "players": len(report.players),
        "vectors_of_players": sum(count.vectors for count in report.players.values()),
        **asdict(report.total),
        "mismatches": report.by_feature,
        "first": list(first.values()),
        "wrong_matches": [match for match, count in report.matches.items() if count.wrong],
        "unchecked": report.unchecked,
        "snapshot_id": report.snapshot_id,
        "seconds": round(report.seconds, 1),
    }


def _show(report: Report) -> None:
    from rich.table import Table

    told, total = _told(report), report.total
    checked = sum(1 for count in report.matches.values() if count.vectors)
    out.print(
        f"{checked:,} matches, {total.vectors:,} vectors that were served, "
        f"snapshot {report.snapshot_id}, {report.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
    of_players = sum(count.vectors for count in report.players.values())
    lines = {
        f"of these vectors are of {len(report.players):,} players, by the history of their forms": of_players,
        "matches without a prediction": len(report.matches) - checked,
        "events without a prediction": total.not_served,
        "vectors whose event or forms the lakehouse does not hold": total.not_recomputed,
        "vectors that differ": total.wrong,
        **{f"left out: {why}": count for why, count in report.unchecked.items()},
    }
    for what, count in lines.items():
        if count:
            out.print(f"{count:,} {what}", highlight=False)
    if not report.mismatches:
        out.print("Every one is the same, made again." if report.equal else "The others are the same.")
        return
    table = Table("feature", "values that differ", "first in", "served", "made again", box=None)
    for record in told["first"]:
        where = record["player_id"] or f"{record['match_id']} at {record['game_time_ms'] / 60_000:.1f} min"
        unknown = "not known" if record["feature"] == consistency.WHOLE else "null"
        values = (record[name] or unknown for name in ("served", "recomputed"))
        count = report.by_feature[record["feature"]]
        table.add_row(record["feature"], f"{count:,}", where, *values)
    out.print(table)
