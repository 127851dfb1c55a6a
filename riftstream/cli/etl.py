"""``rift lake etl``: from raw events to the processed tables; written, audited, published.

A run takes the matches of which events came since the last one, makes their rows anew from all of their
events (``jobs/batch/processed.sql``), and puts them in the place of the old ones on a branch of each table.
Only when all suites pass is main set to the branches. So it can be stopped anywhere and run again, and
running it twice changes nothing. How far it came is a property of the table that is published last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.expressions import BooleanExpression

    from lakehouse.audit import Audit
    from lakehouse.increment import Increment

JOB = "processed"
MATCHES, SERIES = "processed.matches", "processed.series"
TABLES = (
    MATCHES,
    "processed.player_games",
    "processed.team_games",
    "processed.bans",
    "processed.objectives",
    SERIES,
)
"""In the order in which they are published: who is first with the first one is first with all."""
PROGRESS = "riftstream.etl.source-snapshot"
"""Property of the last table: the snapshot of raw.match_events up to which it was done."""

_MANY = 2_000
"""Matches from which on all are made anew, in place of a list of so many."""
_AROUND = timedelta(days=2)
"""Events of a match lie within this time of any of them."""
_ATTEMPTS = 3

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """What came of a run.

    Attributes:
        run_id: The run; empty where there was nothing to do.
        source_snapshot_id: Snapshot of ``raw.match_events`` that it read; None where there is none.
        matches: Matches of which events came; None for all that there are.
        rows: Rows that were published, by table.
        audits: What came of the audits.
    """

    run_id: str
    source_snapshot_id: int | None
    matches: int | None
    rows: dict[str, int] = field(default_factory=dict)
    audits: list[Audit] = field(default_factory=list)


def etl(
    settings: Settings | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    full: bool = False,
    tell: Progress = lambda text: None,
) -> Ran:
    """Bring the processed tables up to date with ``raw.match_events``.

    Args:
        settings: Where everything is; the process's settings by default.
        since: Make the matches with events at or after this time anew, whatever was done before.
        until: Likewise, before this time.
        full: Make all matches anew.
        tell: Told what is being done.

    Raises:
        AuditError: The rows did not pass; they lie on branches, and main is as it was.
        JobError: Flink could not run the SQL.
        StackError: The lake does not answer, or others changed the tables at each attempt.
    """
    from lakehouse import increment
    from lakehouse.catalog import connect
    from lakehouse.publish import Moved
    from lakehouse.tables import load

    settings = settings or get_settings()
    catalog = connect(settings)
    for attempt in range(1, _ATTEMPTS + 1):
        done = load(catalog, SERIES).properties.get(PROGRESS)
        ranged = since is not None or until is not None
        if ranged:
            came = increment.in_range(catalog, since, until)
        else:
            came = increment.since_snapshot(catalog, None if full or done is None else int(done))
        if came.empty:
            return Ran("", came.snapshot_id, 0)
        try:
            return _Run(settings, catalog, came, tell).run(forward=not ranged)
        except Moved:
            if attempt == _ATTEMPTS:
                raise
            tell("others changed the tables: beginning anew")
    raise AssertionError


class _Run:
    """One attempt."""

    def __init__(self, settings: Settings, catalog: Catalog, came: Increment, tell: Progress) -> None:
        from lakehouse.publish import PREFIX

        self.settings = settings
        self.catalog = catalog
        self.came = came
        self.tell = tell
        self.run_id = str(uuid4())
        self.branch = f"{PREFIX}{self.run_id}"
        many = came.matches is None or len(came.matches) > _MANY
        self.matches: set[str] | None = None if many else set(came.matches or ())
        self.since, self.until = came.since, came.until
        self.landed: list[str] = []

    def run(self, *, forward: bool) -> Ran:
        """Make, land, audit, publish.

        Args:
            forward: Whether to note how far it came.
        """
        from lakehouse.audit import AuditError, record

        self._emit("START")
        try:
            with tempfile.TemporaryDirectory(prefix="rift-etl-") as folder:
                rows = self._make(Path(folder))
                if not self._tells(rows):
                    return self._leave(forward)
                which = self._land(rows)
                counts = {name: rows[name].num_rows for name in TABLES}
            audits = self._audit(which)
            passed = all(audit.passed for audit in audits)
            if passed:
                self._publish(forward)
            record(self.catalog, audits, published=passed)
            if not passed:
                raise self._stopped(audits)
        except BaseException as error:
            self._emit("FAIL", error=str(error))
            if not isinstance(error, AuditError):
                self._drop()
            raise
        self._emit("COMPLETE", audits)
        known = self.came.matches
        return Ran(self.run_id, self.came.snapshot_id, None if known is None else len(known), counts, audits)

    def _make(self, folder: Path) -> dict[str, pa.Table]:
        """The rows of the matches that changed, and of those that turn out to be the same matches."""
        from pyiceberg.expressions import In

        from jobs import runner

        if self.matches is not None:
            self._reach(self._known(In("match_id", self.matches)))  # type: ignore[call-arg]
        attempt = 0
        while True:
            attempt += 1
            (at := folder / str(attempt)).mkdir()
            self.tell(f"making rows of {'all' if self.matches is None else len(self.matches)} matches")
            since, until = self._around()
            rows = runner.run_tables(
                JOB,
                at,
                matches=self.matches,
                since_ms=None if since is None else int(since.timestamp() * 1000),
                until_ms=None if until is None else int(until.timestamp() * 1000),
                snapshot_id=self.came.snapshot_id,
                settings=self.settings,
            )
            if self.matches is None or not self._reach(self._same(rows[MATCHES])):
                return rows

    def _tells(self, rows: dict[str, pa.Table]) -> bool:
        """Whether there is anything to write: matches that go on are in no table yet."""
        from pyiceberg.expressions import In

        if self.matches is None or any(table.num_rows for table in rows.values()):
            return True
        known = self._known(In("match_id", self.matches))  # type: ignore[call-arg]
        return bool(known.num_rows)

    def _leave(self, forward: bool) -> Ran:
        """Note how far this came, without a commit of rows."""
        from lakehouse.tables import load

        if forward:
            with load(self.catalog, SERIES).transaction() as change:
                change.set_properties({PROGRESS: str(self.came.snapshot_id)})
        self._emit("COMPLETE")
        count = len(self.came.matches or ())
        return Ran(self.run_id, self.came.snapshot_id, count, dict.fromkeys(TABLES, 0))

    def _around(self) -> tuple[datetime | None, datetime | None]:
        """Event times that can matter: partitions of others are not read."""
        if self.matches is None or self.since is None or self.until is None:
            return None, None
        return self.since - _AROUND, self.until + _AROUND

    def _reach(self, known: pa.Table) -> bool:
        """Take in matches of the lake that belong to this run; gives whether anything is new."""
        before = (self.matches, self.since, self.until)
        for row in known.to_pylist():
            self.matches = (self.matches or set()) | {row["match_id"], *(row["match_ids"] or ())}
            self.since = min(self.since or row["started"], row["started"])
            self.until = max(self.until or row["event_time"], row["event_time"])
        return before != (self.matches, self.since, self.until)

    def _same(self, made: pa.Table) -> pa.Table:
        """Matches in the lake that may be one with a match of this run: the same draft, about one time."""
        from pyiceberg.expressions import And, GreaterThanOrEqual, In, LessThan

        since, until = self._around()
        condition: BooleanExpression = In("draft", set(made["draft"].to_pylist()) or {""})  # type: ignore[call-arg]
        if since is not None and until is not None:
            begin = GreaterThanOrEqual("event_time", since.isoformat())  # type: ignore[call-arg]
            condition = And(condition, begin, LessThan("event_time", until.isoformat()))  # type: ignore[call-arg]
        return self._known(condition)

    def _known(self, rows: BooleanExpression) -> pa.Table:
        from lakehouse.tables import load

        columns = ("match_id", "match_ids", "started", "event_time", "league", "blue_team", "red_team")
        return load(self.catalog, MATCHES).scan(row_filter=rows, selected_fields=columns).to_arrow()

    def _land(self, rows: dict[str, pa.Table]) -> dict[str, BooleanExpression]:
        """Write the rows to branches; gives which rows of each table are this run's."""
        from pyiceberg.expressions import AlwaysTrue, In

        from lakehouse.publish import land

        which: dict[str, BooleanExpression] = {}
        for name in TABLES:
            if self.matches is None:
                which[name] = AlwaysTrue()
            elif name == SERIES:
                which[name] = In("pair", self._pairs(rows[SERIES]))  # type: ignore[call-arg]
            else:
                which[name] = In("match_id", self.matches)  # type: ignore[call-arg]
        properties = {"riftstream.run": self.run_id, PROGRESS: str(self.came.snapshot_id)}
        for name in TABLES:
            self.tell(f"writing {name}")
            self.landed.append(name)
            land(self.catalog, name, rows[name], which[name], self.branch, properties)
        return which

    def _pairs(self, series: pa.Table) -> set[str]:
        """Teams that met in matches of this run, as they are now and as they were."""
        from pyiceberg.expressions import In

        old = [
            "|".join((*sorted((row["blue_team"], row["red_team"])), row["league"] or ""))
            for row in self._known(In("match_id", self.matches or {""})).to_pylist()  # type: ignore[call-arg]
            if row["blue_team"] and row["red_team"]
        ]
        return {*series["pair"].to_pylist(), *old} or {""}

    def _audit(self, which: dict[str, BooleanExpression]) -> list[Audit]:
        from lakehouse import audit

        self.tell("auditing")
        return audit.audit(
            self.catalog,
            self.settings,
            self.run_id,
            which,
            branch=self.branch,
            source=self._source(),
            source_snapshot_id=self.came.snapshot_id,
        )

    def _source(self) -> pa.Table:
        """The events that the rows are made of, as far as they are reconciled with."""
        from pyiceberg.expressions import AlwaysTrue, And, GreaterThanOrEqual, In, LessThan

        from lakehouse.tables import MATCH_EVENTS, load

        condition: BooleanExpression = AlwaysTrue()
        if self.matches is not None:
            condition = In("match_id", self.matches)  # type: ignore[call-arg]
            since, until = self._around()
            if since is not None and until is not None:
                begin = GreaterThanOrEqual("event_time", since.isoformat())  # type: ignore[call-arg]
                end = LessThan("event_time", until.isoformat())  # type: ignore[call-arg]
                condition = And(condition, begin, end)
        columns = ("event_id", "match_id", "event_type", "source", "source_offset")
        lists = ("blue_players", "red_players", "blue_bans", "red_bans")
        table = load(self.catalog, MATCH_EVENTS)
        return table.scan(
            row_filter=condition, selected_fields=(*columns, *lists), snapshot_id=self.came.snapshot_id
        ).to_arrow()

    def _publish(self, forward: bool) -> None:
        from lakehouse.publish import publish

        for name in TABLES:
            self.tell(f"publishing {name}")
            last = name == SERIES and forward
            publish(self.catalog, name, self.branch, {PROGRESS: str(self.came.snapshot_id)} if last else None)

    def _stopped(self, audits: Iterable[Audit]) -> RiftError:
        from lakehouse.audit import AuditError, docs

        failures = [f"{audit.table_name}: {text}" for audit in audits for text in audit.failures]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        return AuditError(
            f"The audit stopped run {self.run_id}: {failures[0]}{more}",
            f"Main is as it was; the rows lie on branch {self.branch}. See `rift lake audits`, "
            f"{docs(self.settings)}, and `rift lake discard {self.branch}`.",
        )

    def _drop(self) -> None:
        """End the branches of an attempt that came to nothing."""
        from lakehouse.publish import discard
        from lakehouse.tables import load

        for name in self.landed:
            if self.branch in load(self.catalog, name).refs():
                discard(self.catalog, name, self.branch)

    def _emit(self, state: Any, audits: Iterable[Audit] = (), error: str = "") -> None:
        from lakehouse.tables import MATCH_EVENTS, spec
        from streams.lineage import Data, emit

        done = {audit.table_name: audit for audit in audits}
        outputs = [
            Data(
                name,
                snapshot_id=done[name].snapshot_id if name in done else None,
                row_count=done[name].row_count if name in done else None,
                columns={column.name: str(column.field_type) for column in spec(name).schema.fields},
                assertions={f"{name}: all expectations": done[name].passed} if name in done else {},
            )
            for name in TABLES
        ]
        inputs = [Data(MATCH_EVENTS, snapshot_id=self.came.snapshot_id)]
        emit(self.settings, state, self.run_id, JOB, inputs, outputs, error)
