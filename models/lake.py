"""Matches of the lake to train from: the accepted events of one snapshot of ``raw.match_events``."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS, load
from models.history import Event
from riftstream.errors import ModelError
from riftstream.settings import Settings
from streams.schemas import for_topic
from streams.sources.account import Account

NAME = "lake"

_PLACE = ("source_partition", "source_offset")


class Lake:
    """The events of a snapshot, as a source gives them.

    Args:
        snapshot_id: The snapshot of ``raw.match_events``; the newest by default.
        settings: Where the lake is; the process's settings by default.

    Attributes:
        account: Names the source.
        snapshot_id: The snapshot that is read.

    Raises:
        ModelError: The table has no such snapshot, or nothing in it.
        StackError: The lake does not answer, or has no such table.
    """

    def __init__(self, snapshot_id: int | None = None, settings: Settings | None = None) -> None:
        table = load(connect(settings), MATCH_EVENTS)
        found = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
        if found is None:
            what = "nothing in it" if snapshot_id is None else f"no snapshot {snapshot_id}"
            raise ModelError(f"{MATCH_EVENTS} has {what}.", "See 'rift lake describe raw.match_events'.")
        self.account = Account(f"{MATCH_EVENTS}, snapshot {found.snapshot_id}")
        self.snapshot_id = found.snapshot_id
        fields = [field.name for field in for_topic("live-matches").fields]
        rows = table.scan(snapshot_id=found.snapshot_id, selected_fields=(*fields, *_PLACE)).to_arrow()
        self._events = _in_order(rows).select(fields)
        self._length = pc.count_distinct(rows["match_id"]).as_py()

    def __len__(self) -> int:
        return int(self._length)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match in log order; matches by their first event's time, then by id."""
        match: list[Event] = []
        for batch in self._events.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                event = {name: value for name, value in row.items() if value is not None}
                if match and match[0]["match_id"] != event["match_id"]:
                    yield match
                    match = []
                match.append(event)
        if match:
            yield match


def _in_order(rows: pa.Table) -> pa.Table:
    """Rows with times in ms, match by match."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            millis = rows[field.name].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
            rows = rows.set_column(place, field.name, millis)
    first = rows.group_by("match_id").aggregate([("event_time", "min")])
    matches = first.sort_by([("event_time_min", "ascending"), ("match_id", "ascending")])["match_id"]
    ranked = rows.append_column("_match", pc.index_in(rows["match_id"], matches.combine_chunks()))
    return ranked.sort_by([(name, "ascending") for name in ("_match", *_PLACE)])
