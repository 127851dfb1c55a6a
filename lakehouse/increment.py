"""What came to raw.match_events since a snapshot: which matches, and over which range of event times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from lakehouse.scan import TIME, scan
from lakehouse.tables import MATCH_EVENTS, load

_COLUMNS = ("match_id", TIME)


@dataclass(frozen=True)
class Increment:
    """Matches of which events came.

    Attributes:
        snapshot_id: Snapshot up to which was looked; None where the table has none.
        matches: The matches; None for all that there are.
        since: Event time of the oldest of these events; None for no bound.
        until: That of the newest.
    """

    snapshot_id: int | None
    matches: frozenset[str] | None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return self.snapshot_id is None or self.matches == frozenset()


def since_snapshot(catalog: Catalog, after: int | None) -> Increment:
    """Matches of which events were appended after a snapshot; all where that is None or not known any more.

    Files that were put together by maintenance hold no new events, and are not looked at.

    Raises:
        StackError: There is no table of events.
    """
    table = load(catalog, MATCH_EVENTS)
    newest = table.current_snapshot()
    if newest is None:
        return Increment(None, frozenset())
    everything = Increment(newest.snapshot_id, None)
    if after is None:
        return everything
    if after == newest.snapshot_id:
        return Increment(newest.snapshot_id, frozenset())
    try:
        came = table.incremental_append_scan(
            selected_fields=_COLUMNS,
            from_snapshot_id_exclusive=after,
            to_snapshot_id_inclusive=newest.snapshot_id,
        ).to_arrow()
    except (ValueError, OSError):
        # The snapshot has expired, or files of it were put together and removed: what came cannot be told.
        return everything
    return _increment(newest.snapshot_id, [came])


def in_range(catalog: Catalog, since: datetime | None, until: datetime | None) -> Increment:
    """Matches with an event in a range of event times.

    Raises:
        StackError: There is no table of events.
    """
    newest = load(catalog, MATCH_EVENTS).current_snapshot()
    if newest is None:
        return Increment(None, frozenset())
    rows = scan(catalog, MATCH_EVENTS, _COLUMNS, since, until).rows
    return _increment(newest.snapshot_id, map(pa.Table.from_batches, ([batch] for batch in rows)))


def _increment(snapshot_id: int, parts: Iterable[pa.Table]) -> Increment:
    matches: set[str] = set()
    times: list[datetime] = []
    for part in parts:
        if part.num_rows:
            matches.update(pc.unique(part["match_id"]).to_pylist())
            times += pc.min_max(part[TIME]).as_py().values()
    if not matches:
        return Increment(snapshot_id, frozenset())
    return Increment(snapshot_id, frozenset(matches), min(times), max(times))
