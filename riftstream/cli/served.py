"""Where it is kept what was served: on the topics, for as long as they keep it, or in the lake, for good."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from riftstream.settings import Settings
from streams.avro import Record

RESULTS, PREDICTIONS, VECTORS = "match-results", "predictions", "match-features"
Place = tuple[int, int]
"""Partition and offset of a record in its topic."""


class Source(Protocol):
    """Gives what was served. Times are ms since the Unix epoch.

    Each raises ``StackError`` where Kafka or the lake does not answer.
    """

    def ends(self) -> Iterator[Record]:
        """``match_id`` and ``event_time`` of each result of a match."""

    def predictions(self, subjects: Collection[str] | None, fields: Sequence[str]) -> Iterator[Record]:
        """Each prediction about some subjects, with these fields at least; None for all."""

    def vectors(self, places: Mapping[int, Collection[int]], fields: Sequence[str]) -> dict[Place, Record]:
        """Records at some offsets of ``match-features``, with these fields at least; those that are gone are
        left out."""


class Topics:
    """What the topics keep.

    Args:
        settings: Where Kafka and the registry are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ends(self) -> Iterator[Record]:
        """See ``Source``."""
        from riftstream.cli.reading import kept

        return (got.record for got in kept(RESULTS, self._settings, fields=("match_id", "event_time")))

    def predictions(self, subjects: Collection[str] | None, fields: Sequence[str]) -> Iterator[Record]:
        """See ``Source``."""
        from riftstream.cli.reading import kept

        return (got.record for got in kept(PREDICTIONS, self._settings, subjects, fields))

    def vectors(self, places: Mapping[int, Collection[int]], fields: Sequence[str]) -> dict[Place, Record]:
        """See ``Source``."""
        from streams.client import records_at

        found = records_at(VECTORS, places, self._settings) if places else ()
        return {(got.partition, got.offset): got.record for got in found}


class Lake:
    """What the tables keep: ``raw.match_results``, ``predictions.predictions``, ``features.match_state``.

    Args:
        settings: Where the lake is.
    """

    def __init__(self, settings: Settings) -> None:
        from riftstream.cli.training import lake_scan

        self._scan = lake_scan(settings)

    def ends(self) -> Iterator[Record]:
        """See ``Source``."""
        return self._rows("raw.match_results", ("match_id", "event_time"))

    def predictions(self, subjects: Collection[str] | None, fields: Sequence[str]) -> Iterator[Record]:
        """See ``Source``."""
        rows = self._rows("predictions.predictions", tuple(dict.fromkeys((*fields, "subject_id"))))
        return (row for row in rows if subjects is None or row["subject_id"] in subjects)

    def vectors(self, places: Mapping[int, Collection[int]], fields: Sequence[str]) -> dict[Place, Record]:
        """See ``Source``."""
        if not places:
            return {}
        log = ("log_partition", "log_offset")
        rows = self._rows("features.match_state", tuple(dict.fromkeys((*log, *fields))))
        held = ((tuple(row[name] for name in log), row) for row in rows)
        return {(part, offset): row for (part, offset), row in held if offset in places.get(part, ())}

    def _rows(self, table: str, columns: Sequence[str]) -> Iterator[Record]:
        for batch in self._scan(table, columns, None, None).rows:
            for row in batch.to_pylist():
                yield {name: _as_told(value) for name, value in row.items()}


def _as_told(value: Any) -> Any:
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value
