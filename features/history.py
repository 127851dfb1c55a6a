"""What the online store held at a moment, by the history of its topics in the lake.

The tables ``features.*`` keep every row that a topic told, with the time at which the broker had it
(``log_time``). So they know which row of an entity was the newest then: the same that the online store's
writer would have kept. ``HistoryReader`` gives it in the shape in which ``OnlineReader`` gives the present:
code that makes a vector of the online store makes it of the past, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features import layout
from features.online import OnlineReader, Raw, Vectors, arranged, given_entities
from features.views import TIMESTAMP, Service, View
from riftstream.errors import FeatureError
from streams.schemas import Field

if TYPE_CHECKING:
    from features.training_set import Scan

Key = tuple[str, ...]
"""Values of a view's join keys."""

_LOG = ("log_time", "log_offset")
_NEVER = np.iinfo(np.int64).min
"""Log time (ms) of a row that came by no topic."""


class History:
    """Every row that a view's topic told, by entity.

    Args:
        view: The view.
        scan: Reads its table.
    """

    def __init__(self, view: View, scan: Scan) -> None:
        self.view = view
        columns = dict.fromkeys((*view.keys, TIMESTAMP, *view.order, *(f.name for f in view.features), *_LOG))
        told = scan(view.table, list(columns), None, None).rows.read_all()
        self._rows = told.sort_by([(name, "ascending") for name in view.keys])
        self._log_time = _milliseconds(self._rows["log_time"])
        self._slices = _slices(self._rows, view.keys)
        self._places = np.stack(
            [
                _milliseconds(self._rows[TIMESTAMP]),
                *(self._rows[name].to_numpy() for name in view.order),
                self._rows["log_offset"].fill_null(-1).to_numpy(),
            ],
            axis=1,
        )

    def newest(self, key: Key, at_ms: int) -> int | None:
        """The row that was the newest of an entity when the broker had all up to a moment; None for none.

        Raises:
            FeatureError: Rows of the entity were made anew since, so nobody knows when they were told.
        """
        rows = self._of(key)
        held = rows[self._log_time[rows] <= at_ms]
        if not held.size:
            return None
        return int(max(held, key=lambda row: tuple(self._places[row])))

    def told(self, key: Key, after_ms: int, until_ms: int) -> list[int]:
        """When the broker had rows of an entity within (after, until], ms since the Unix epoch.

        Raises:
            FeatureError: See ``newest``.
        """
        times = self._log_time[self._of(key)]
        return [int(time) for time in times if after_ms < time <= until_ms]

    def event_time(self, row: int) -> int:
        """Event time of a row, ms since the Unix epoch."""
        return int(self._places[row, 0])

    def values(self, row: int) -> dict[str, Any]:
        """The features of a row; times are ms since the Unix epoch."""
        return {field.name: _as_told(self._rows[field.name][row].as_py()) for field in self.view.features}

    def _of(self, key: Key) -> np.ndarray:
        start, stop = self._slices.get(key, (0, 0))
        rows = np.arange(start, stop)
        if (self._log_time[rows] == _NEVER).any():
            raise FeatureError(f"The history of {self.view.name} of {', '.join(key)} was made anew since.")
        return rows


class HistoryReader(OnlineReader):
    """Reads feature services as the online store held them at a moment.

    Args:
        histories: Histories by view, shared among readers; those that are missing are read by ``scan``.
        scan: Reads tables.
        at_ms: The moment, ms since the Unix epoch.
        earlier: Earlier moments for some views: what was told just before ``at_ms`` may not have been in the
            store yet, and each view is written by itself.

    Attributes:
        read: What was read: views, with the entities of each.
    """

    def __init__(
        self,
        histories: dict[str, History],
        scan: Scan,
        at_ms: int,
        earlier: Mapping[str, int] | None = None,
    ) -> None:
        self._plans = {}
        self._histories = histories
        self._scan = scan
        self._at_ms = at_ms
        self._earlier = earlier or {}
        self.read: dict[str, set[Key]] = {}

    def get(self, service: str | Service, entities: Sequence[str] | Mapping[str, Sequence[str]]) -> Vectors:
        """Vectors as they were then; see ``OnlineReader.get``. Ages are those of then.

        Raises:
            FeatureError: The history was made anew since, and does not know.
            StackError: The lake does not answer.
        """
        plan, hashes = self._plan(service)
        given = given_entities(plan, entities)
        number = len(next(iter(given.values())))
        answers: list[Raw] = []
        for one in hashes:
            views = {view.name: view for _, view in one.views}
            fields = [plan.parts[place] for place in one.places]
            for key in zip(*(given[name] for name in one.keys), strict=True):
                rows = {name: self._row(view, key) for name, view in views.items()}
                answer: Raw = [_encoded(field, rows[view.name]) for view, field in fields]
                answer += [None if rows[name] is None else _time(rows[name]) for name in views]
                answers.append(answer)
        return arranged(plan, hashes, given, answers, number, self._at_ms)

    def close(self) -> None:
        """Nothing is open."""

    def _row(self, view: View, key: Key) -> dict[str, Any] | None:
        self.read.setdefault(view.name, set()).add(key)
        history = self._history(view)
        row = history.newest(key, self._earlier.get(view.name, self._at_ms))
        return None if row is None else {TIMESTAMP: history.event_time(row), **history.values(row)}

    def told(self, view: str, after_ms: int) -> list[int]:
        """When the broker had rows of what was read of a view, after a moment (ms), newest first."""
        history = self._histories[view]
        times = (history.told(key, after_ms, self._at_ms) for key in self.read[view])
        return sorted(set().union(*times), reverse=True)

    def _history(self, view: View) -> History:
        if view.name not in self._histories:
            self._histories[view.name] = History(view, self._scan)
        return self._histories[view.name]


def _as_told(value: Any) -> Any:
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def _time(row: Mapping[str, Any] | None) -> bytes | None:
    return None if row is None else layout.timestamp(row[TIMESTAMP])


def _encoded(field: Field, row: Mapping[str, Any] | None) -> bytes | None:
    if row is None:
        return None
    value = row[field.name]
    if field.logical and value is not None:
        return layout.encoded("seconds", value // 1000)
    return layout.encoded(field.type, value)


def _milliseconds(column: pa.ChunkedArray) -> np.ndarray:
    times = column.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    return np.asarray(times.fill_null(_NEVER).to_numpy(), dtype=np.int64)


def _slices(rows: pa.Table, keys: Sequence[str]) -> dict[Key, tuple[int, int]]:
    """First row of each entity and the one after its last, in rows that are sorted by entity."""
    found: dict[Key, tuple[int, int]] = {}
    start = 0
    columns: Iterable[Collection[str]] = [rows[name].to_pylist() for name in keys]
    whole = list(zip(*columns, strict=True))
    for place in range(1, len(whole) + 1):
        if place == len(whole) or whole[place] != whole[start]:
            found[whole[start]] = (start, place)
            start = place
    return found
