"""Stock Feast beside the fast path, and both beside the topic: of every entity, every value.

What a view's topic told last of each entity is what Redis must hold, Feast's SDK must give and our own reader
must give. An entity that is told again while this reads is read again, so it may run beside a live platform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from features.online import OnlineReader, State
from features.views import TIMESTAMP, View
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Subscriber, records_at

if TYPE_CHECKING:
    from feast import FeatureStore

_TOGETHER = 500
"""Entities that are read in one request."""

_ROUNDS = 5
"""How often an entity is read that was told again meanwhile."""

_SHOWN = 5

Key = tuple[str, ...]
"""Values of a view's join keys."""


@dataclass(frozen=True)
class Difference:
    """A value that is not everywhere the same.

    Attributes:
        entity: Values of the view's join keys.
        feature: The feature.
        told: What the topic told last.
        fast: What our reader gives.
        feast: What stock Feast gives.
    """

    entity: Key
    feature: str
    told: Any
    fast: Any
    feast: Any


@dataclass
class Agreement:
    """How one view compares.

    Attributes:
        view: The view.
        entities: Entities that the topic tells of.
        values: Values that were compared: features times entities that are there.
        missing: Entities that the online store does not hold.
        differ: Values that are not the same on the topic, by our reader, and by Feast.
        unsettled: Entities that were told again whenever they were read, so that nothing was compared.
        first: The first differences.
    """

    view: str
    entities: int = 0
    values: int = 0
    missing: int = 0
    differ: int = 0
    unsettled: int = 0
    first: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether every value of every entity is the same in all three places."""
        return not (self.missing or self.differ or self.unsettled)


def compare(
    view: View,
    settings: Settings,
    feast: FeatureStore,
    wanted: Callable[[Record], bool] = lambda record: True,
) -> Agreement:
    """Compare what stock Feast, our reader and the topic say of every entity of a view.

    Args:
        view: The view.
        settings: Where Kafka, the registry and Redis are.
        feast: Stock Feast on the same store; see ``features.repo.store``.
        wanted: Whether an entity is compared, by its newest record; all by default.

    Raises:
        StackError: Kafka or Redis does not answer.
    """
    found = Agreement(view.name)
    reader = OnlineReader(settings)
    try:
        records = (record for record in newest(view, settings) if wanted(record))
        while some := list(islice(records, _TOGETHER)):
            found.entities += len(some)
            _compare_some(view, some, reader, feast, found)
    finally:
        reader.close()
    return found


def newest(view: View, settings: Settings) -> Iterator[Record]:
    """Of each entity of a view the record of its topic that must be online, in the topic's order.

    Raises:
        StackError: Kafka does not answer.
    """
    best: dict[Key, tuple[Any, ...]] = {}
    fields = tuple(dict.fromkeys((*view.keys, TIMESTAMP, *view.order)))
    with Subscriber(
        view.topic, settings, start="earliest", stop_at_end=True, skip_broken=True, fields=fields
    ) as subscriber:
        for got in subscriber:
            place = (got.record[TIMESTAMP], *(got.record[name] for name in view.order), got.offset)
            key = _key(view, got.record)
            if key not in best or place >= best[key][0]:
                best[key] = (place, got.partition)
    places: dict[int, set[int]] = {}
    for place, partition in best.values():
        places.setdefault(partition, set()).add(place[-1])
    return (got.record for got in records_at(view.topic, places, settings)) if places else iter(())


def _key(view: View, record: Record) -> Key:
    return tuple(record[name] for name in view.keys)


def _compare_some(
    view: View, records: Sequence[Record], reader: OnlineReader, feast: FeatureStore, found: Agreement
) -> None:
    """Compare some entities; what was written between the readings is read again."""
    left = list(records)
    for _ in range(_ROUNDS):
        before, there, times = _fast(view, left, reader)
        said = _by_feast(view, left, feast)
        after, *_ = _fast(view, left, reader)
        moved = []
        for place, record in enumerate(left):
            if before[place] != after[place]:
                moved.append(record)
            elif not there[place]:
                found.missing += 1
            else:
                # What is newer than the topic was at the beginning has nothing there to be compared with.
                told = before[place] if times[place] > record[TIMESTAMP] else _stored(view, record)
                _enter(found, _key(view, record), told, before[place], said[place])
        left = moved
        if not left:
            return
    found.unsettled += len(left)


def _enter(
    found: Agreement, entity: Key, told: dict[str, Any], fast: dict[str, Any], feast: dict[str, Any]
) -> None:
    for name, value in told.items():
        found.values += 1
        if not value == fast[name] == feast[name]:
            found.differ += 1
            if len(found.first) < _SHOWN:
                found.first.append(Difference(entity, name, value, fast[name], feast[name]))


def _fast(
    view: View, records: Sequence[Record], reader: OnlineReader
) -> tuple[list[dict[str, Any]], list[bool], list[int]]:
    """Rows of our reader, whether each is there, and their event times (ms)."""
    got = reader.get(view.name, {name: [record[name] for record in records] for name in view.keys})
    there = [bool(state != State.MISSING) for state in got.state[:, 0]]
    return got.rows, there, [int(time) for time in got.event_time[:, 0]]


def _by_feast(view: View, records: Sequence[Record], feast: FeatureStore) -> list[dict[str, Any]]:
    """Rows of stock Feast."""
    names = [field.name for field in view.features]
    columns = feast.get_online_features(
        [f"{view.name}:{name}" for name in names],
        [{name: record[name] for name in view.keys} for record in records],
    ).to_dict()
    return [{name: _seconds(columns[name][place]) for name in names} for place in range(len(records))]


def _stored(view: View, record: Record) -> dict[str, Any]:
    """The features of a record as the store holds them: times in whole seconds, as Feast has them."""
    return {
        field.name: record[field.name] // 1000
        if field.logical and record[field.name] is not None
        else record[field.name]
        for field in view.features
    }


def _seconds(value: Any) -> Any:
    return int(value.replace(tzinfo=UTC).timestamp()) if isinstance(value, datetime) else value
