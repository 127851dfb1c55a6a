"""History for training: what the platform's own SQL makes of matches, and what was known before each of them.

The events of the matches go through the jobs' SQL in batch mode, so a model learns from exactly what it will
be served, and there is no second feature code. What was known of players, teams and champions at the start of
a match is joined by ``features.training_set``: rows of a form have the end of a match as their time, so that
no form holds the match that is to be predicted, or a later one.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.training_set import EVENT_TIME, Part, Scan, training_set
from features.views import find_view
from jobs.runner import run_batches
from streams.sources import json_lines

Event = dict[str, Any]

VIEWS = {
    "features": "match_pipeline",
    "match_summaries": "match_summary",
    "player_games": "match_summary",
    "player_stats": "player_form",
    "team_form": "team_form",
    "head_to_head": "team_form",
    "champion_meta": "champion_meta",
}
"""The job that makes each view."""

FORMS = {
    "player_stats": "player_form",
    "team_form": "team_form",
    "head_to_head": "head_to_head",
    "champion_meta": "champion_meta",
}
"""The feature view of what is known before a match, by the job's view that makes its rows."""

_TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Source:
    """Events that were read, and what the SQL makes of them.

    Attributes:
        tables: Rows of each view that was asked for, by name. Times are ms since the Unix epoch.
        sha256: SHA-256 of the canonical events: the JSON lines that ``rift import`` writes, all of them.
        events: How many that were.
    """

    tables: dict[str, pa.Table]
    sha256: str
    events: int


def run(
    matches: Iterable[list[Event]],
    views: Sequence[str],
    on_match: Callable[[list[Event]], None] = lambda _: None,
) -> Source:
    """Send matches through the SQL of some of ``VIEWS``.

    Args:
        matches: Events of each match, in log order.
        views: Names of the views.
        on_match: Called with each match that was read.

    Raises:
        JobError: Flink could not run the SQL.
    """
    digest = hashlib.sha256()

    def events() -> Iterator[Event]:
        for match in matches:
            on_match(match)
            for event in match:
                digest.update(json_lines.encode(event))
                yield event

    with tempfile.TemporaryDirectory(prefix="rift-train-") as folder:
        file = Path(folder) / "events.jsonl"
        count = json_lines.write(events(), file)
        tables = run_batches([(VIEWS[view], view, None) for view in views], file)
    return Source(dict(zip(views, tables, strict=True)), digest.hexdigest(), count)


@dataclass(frozen=True)
class _Read:
    """Rows of a table in memory, as ``features.training_set`` wants them."""

    rows: pa.RecordBatchReader
    files: int = 1
    files_in_table: int = 1
    bytes: int = 0
    bytes_in_table: int = 0


def known_before(source: Source, spine: pa.Table, parts: Sequence[Part], time: str = "started") -> pa.Table:
    """The spine with what was known at its times.

    Args:
        source: Holds the tables of the parts' views.
        spine: Rows with the parts' keys and a time in ms since the Unix epoch.
        parts: What to join, see ``part``.
        time: The column of the time.

    Returns:
        The spine's rows in its own order, with the parts' columns.
    """
    tables = {
        find_view(name).table: _timed(source.tables[view])
        for view, name in FORMS.items()
        if view in source.tables
    }
    numbered = spine.append_column("_row", pa.array(range(spine.num_rows), pa.int64()))
    with tempfile.TemporaryDirectory(prefix="rift-train-") as folder:
        file = Path(folder) / "set.parquet"
        training_set(parts, numbered, _scan(tables), file, time=time)
        return pq.read_table(file).sort_by("_row").drop_columns(["_row"])


def part(view: str, columns: Sequence[str], prefix: str, **spine_keys: str) -> Part:
    """Columns of an online view, named with a prefix; the view's keys are compared with the spine's.

    Args:
        view: Name of the feature view.
        columns: Its features to take.
        prefix: Put before their names.
        spine_keys: The spine's column for each key of the view; a key's own name by default.
    """
    of = find_view(view)
    return Part(
        of.table,
        of.keys,
        {column: f"{prefix}{column}" for column in columns},
        ttl=of.ttl,
        order=of.order,
        spine_keys=tuple(spine_keys.get(key, key) for key in of.keys),
    )


def scope_of(row: dict[str, Any]) -> str | None:
    """Patch of a match, or its season where it has none, as ``champion_meta`` has it."""
    found = row["patch"] or row["season"]
    return None if found is None else str(found)


def _timed(table: pa.Table) -> pa.Table:
    """The table with its event time as a timestamp, as Iceberg has it."""
    place = table.column_names.index(EVENT_TIME)
    return table.set_column(place, EVENT_TIME, table[EVENT_TIME].cast(pa.timestamp("ms", "UTC")).cast(_TIME))


def _scan(tables: dict[str, pa.Table]) -> Scan:
    def read(name: str, columns: Sequence[str], since: datetime | None, until: datetime | None) -> _Read:
        table = tables[name]
        for bound, within in ((since, pc.greater_equal), (until, pc.less)):
            if bound is not None:
                table = table.filter(within(table[EVENT_TIME], pa.scalar(bound, _TIME)))
        return _Read(table.select(list(columns)).to_reader())

    return read
